"""Read SalesCore's own database."""

from contextlib import closing

import click

from jobs.cli.door import actor, as_json, now, print_json, table, with_stores
from jobs.pull import Pull, exit_status, pull_all
from schema.config import Config
from schema.errors import Refused
from storage.source import Source
from storage.stores import Stores


@click.command()
@click.argument("tenants", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every tenant.")
@click.option("--dry-run", is_flag=True, help="Check and report; keep nothing.")
@as_json
@with_stores
def pull(
    stores: Stores,
    config: Config,
    tenants: tuple[str, ...],
    everyone: bool,
    dry_run: bool,
    json: bool,
) -> None:
    """Take what is new in SalesCore's own database in (source in config.yaml).

    One tenant's failure stops no other. Exit status 0 all well, 1 something failed, 3 a delivery is
    held for a person.

    Example: recfactory data pull --all
    """
    if bool(tenants) == everyone:
        raise Refused("name tenants, or say --all", "see recfactory data pull --help", code="USAGE")
    known = stores.ledger.tenants() if everyone else [stores.ledger.tenant(n) for n in tenants]
    with closing(Source(config.source)) as source:
        pulls = list(
            pull_all(stores, config, known, source, by=actor(), now=now(), dry_run=dry_run)
        )
    if json:
        print_json([pulled.as_json() for pulled in pulls])
    else:
        _print(pulls, dry_run=dry_run)
    raise SystemExit(exit_status(pulls))


def _print(pulls: list[Pull], *, dry_run: bool) -> None:
    columns = ["tenant", "state", "table", "read>", "accepted>", "quarantined>", "because"]
    rows: list[list[object]] = []
    for pulled in pulls:
        tables = [found for report in pulled.reports for found in report.tables]
        counts = [[t.table, t.read, t.accepted, t.quarantined] for t in tables]
        for line in counts or [["", None, None, None]]:
            rows += [[pulled.tenant, pulled.came.value, *line, pulled.because]]
    table("What would come from the source" if dry_run else "From the source", columns, rows)
