"""Who did what, and whether the record of it is whole."""

from collections.abc import Collection
from pathlib import Path

import click
import orjson

from jobs.cli.door import as_json, day, print_json, table, with_stores
from schema.config import Config
from schema.errors import Refused
from schema.records import Chain
from storage.stores import Stores


@click.command()
@click.argument("tenant", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="How many lines, from the newest.",
)
@click.option("--verify", is_flag=True, help="Check every line; exit status 1 if any is wrong.")
@click.option(
    "--since",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `--verify --json` printed earlier: its newest lines must still be there.",
)
@as_json
@with_stores
def audit(
    stores: Stores,
    config: Config,
    tenant: str | None,
    limit: int,
    verify: bool,
    since: Path | None,
    json: bool,
) -> None:
    """Who did what, when and why, newest first: to one tenant, or to all and the installation.

    A line that was changed, or is missing between two others, is found by --verify alone. That
    the newest lines were cut off shows only against what --verify said before: keep its output
    where the ledger's keepers cannot write, and give it with --since.

    Example: recfactory audit --verify
    """
    known = stores.ledger.tenant(tenant).tenant if tenant else None
    if verify or since:
        heads = _heads(since) if since else []
        _print_chains([c for c in stores.audit.verify(heads) if known in (None, c.tenant)], json)
        return
    lines = stores.audit.of(known, limit) if known else stores.audit.all(limit)
    if json:
        print_json([line.as_json() for line in lines])
        return
    columns = ["at (UTC)", "tenant", "line>", "who", "act", "detail"]
    rows = [
        [day(line.at), line.tenant, line.number, line.actor, line.act, dict(line.detail)]
        for line in lines
    ]
    table("Audit", columns, rows)


def _print_chains(chains: Collection[Chain], json: bool) -> None:
    if json:
        print_json(chains)
    else:
        rows = [
            [chain.tenant or "(the installation)", chain.number, chain.head[:16], fault or "whole"]
            for chain in chains
            for fault in chain.faults or [None]
        ]
        table("Audit, one chain a tenant", ["chain", "lines>", "newest", "found"], rows)
    raise SystemExit(1 if any(chain.faults for chain in chains) else 0)


def _heads(file: Path) -> list[Chain]:
    try:
        first, *rest = orjson.loads(file.read_bytes())
        return [Chain(told["tenant"], told["number"], told["head"]) for told in (first, *rest)]
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"{file} is not what `recfactory audit --verify --json` prints",
            "name a file that holds its output",
            code="FILE",
        ) from error
