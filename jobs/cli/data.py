"""Import a tenant's files, and see what became of them."""

from pathlib import Path

import click

from jobs.cli.door import actor, as_json, now, print_json, table, with_stores
from jobs.cli.held import discard, quarantine, release
from jobs.cli.report import lines, print_report, settle
from jobs.example import write_example
from jobs.intake import import_files
from schema.config import Config
from schema.names import Delivered
from schema.tables import TABLES
from storage.stores import Stores
from tenants.order import settings_of

_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def data() -> None:
    """Import a tenant's files, and see what became of them.

    Example: recfactory data show acme
    """


for command in (release, discard, quarantine):
    data.add_command(command)

HELD = 3
"""Exit status: nothing failed, and a person has to look."""


@data.command(name="import")
@click.argument("tenant")
@click.option("--customers", type=_file, help="Replaces the customers.")
@click.option("--products", type=_file, help="Replaces the catalogue.")
@click.option("--interactions", type=_file, help="Adds to the interactions.")
@click.option("--dry-run", is_flag=True, help="Check and report; keep nothing.")
@as_json
@with_stores
def import_(
    stores: Stores,
    config: Config,
    tenant: str,
    customers: Path | None,
    products: Path | None,
    interactions: Path | None,
    dry_run: bool,
    json: bool,
) -> None:
    """Take CSV or Parquet files in: rows that do not fit are quarantined with a reason, files
    that cannot be used are refused whole, and what was there stays. What does not look like the
    tenant's other deliveries is held for a person: exit status 3.

    Example: recfactory data import acme --customers c.csv --products p.csv --interactions i.csv
    """
    given = {"customers": customers, "products": products, "interactions": interactions}
    files = {name: path for name, path in given.items() if path is not None}
    known = stores.ledger.tenant(tenant)
    report = import_files(
        stores,
        known,
        files,
        settings_of(config.template, known.changes).intake,
        by=actor(),
        now=now(),
        dry_run=dry_run,
    )
    if json:
        print_json(report.as_json())
    else:
        print_report(report.as_json(), report.as_json()["reasons"], report.state)
    if report.state is Delivered.HELD:
        raise SystemExit(HELD)


@data.command()
@click.argument("tenant")
@click.argument("batch", required=False)
@as_json
@with_stores
def show(stores: Stores, config: Config, tenant: str, batch: str | None, json: bool) -> None:
    """What a tenant delivered, newest first, and what became of it; or one delivery's report.

    Example: recfactory data show acme
    """
    known = stores.ledger.tenant(tenant)
    if batch is not None:
        found = stores.imports.delivery(known.tenant, batch)
        if json:
            print_json(found.as_json())
        else:
            print_report(found.report, found.reasons, found.state)
        return
    reports = stores.imports.reports(known.tenant)
    if json:
        print_json(reports)
        return
    columns = [
        "imported (UTC)",
        "batch",
        "state",
        "table",
        "read>",
        "accepted>",
        "quarantined>",
        "because",
    ]
    table(f"Deliveries of {tenant}", columns, [row for report in reports for row in lines(report)])
    for waiting in stores.imports.deliveries(known.tenant, None, states=[Delivered.HELD]):
        click.echo(f"Batch {waiting.batch} waits for you: {settle(tenant, waiting.batch)}")


@data.command()
@as_json
def schema(json: bool) -> None:
    """The universal schema: every column that may be sent.

    Example: recfactory data schema
    """
    if json:
        print_json(list(TABLES.values()))
        return
    for definition in TABLES.values():
        rows = [
            [
                column.name,
                column.kind.value,
                "required" if column.required else "",
                column.unit,
                ", ".join(column.choices) or _range(column.least, column.most),
                column.meaning,
            ]
            for column in definition.columns
        ]
        columns = ["column", "kind", "", "unit", "values", "meaning"]
        table(f"{definition.name}: {definition.meaning}", columns, rows)


@data.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def example(folder: Path) -> None:
    """Write a made-up brewery's customers.csv, products.csv and interactions.csv into FOLDER.

    Example: recfactory data example brewery-data
    """
    for path in write_example(folder):
        click.echo(path)


def _range(least: float | None, most: float | None) -> str:
    return "" if least is None or most is None else f"{least:g} to {most:g}"
