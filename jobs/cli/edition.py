"""Published lists: see them, export one, go back to one."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores, writing
from jobs.export import ENDINGS, export, opened
from schema.config import Config
from schema.errors import Problem
from schema.names import Bought
from schema.records import Tenant
from storage.rollback import activate as go_back
from storage.stores import Stores


@click.group()
def edition() -> None:
    """Published lists: list, export, go back to one, release the hold.

    Example: recfactory edition list acme
    """


@edition.command(name="list")
@click.argument("tenant")
@as_json
@with_stores
def list_editions(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """All editions, newest first; the one served is marked.

    Example: recfactory edition list acme
    """
    known = stores.ledger.tenant(tenant)
    rows = _listed(stores, known)
    if json:
        print_json(rows)
        return
    lines = [
        [r["edition"], r["night"], r["model"], r["lists"], day(r["published_at"]), "served" if r["current"] else "" if r["on_disk"] else "expired"]
        for r in rows
    ]  # fmt: skip
    columns = ["edition>", "night", "model>", "lists>", "made (UTC)", ""]
    table(f"Editions of {tenant}", columns, lines)


@edition.command()
@click.argument("tenant")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@why
@with_stores
def activate(stores: Stores, config: Config, tenant: str, number: int, why: str) -> None:
    """Serve an earlier edition and its model at once; the next night does not publish over it.

    Example: recfactory edition activate acme 30 --why "odd lists since yesterday"
    """
    known = stores.ledger.tenant(tenant)
    served = [row["edition"] for row in _listed(stores, known) if row["current"]]
    hold = timedelta(hours=config.publishing.hold_hours)
    go_back(stores, known, number, hold=hold, by=actor(), why=why, now=now())
    click.echo(
        f"{tenant}: serves edition {number}, held for {config.publishing.hold_hours:g} hours."
    )
    if served:
        click.echo(f"Undo: recfactory edition activate {tenant} {served[0]} --why …")


def _table(_ctx: click.Context, _param: click.Parameter, value: Path) -> Path:
    if value.suffix not in ENDINGS:
        raise click.BadParameter(f"let the name end with {' or '.join(ENDINGS)}")
    return value


@edition.command(name="export")
@click.argument("tenant")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_table,
    metavar="FILE",
    help="Where to: .parquet, or .csv.",
)
@click.option(
    "--bought",
    default=Bought.INCLUDE.value,
    show_default=True,
    type=click.Choice([word.value for word in Bought]),
    help="Products bought before.",
)
@click.option("--edition", "number", type=click.IntRange(1, 2**31 - 1), help="Not the one served.")
@with_stores
def export_lists(
    stores: Stores, config: Config, tenant: str, out: Path, bought: str, number: int | None
) -> None:
    """Every customer's list as a table: what a lookup would show now, whole.

    Columns: customer_id, rank, product_id, probability, bought_before, reason, reason_kind.

    Example: recfactory edition export acme --out lists.parquet --bought exclude
    """
    known = stores.ledger.tenant(tenant)
    with (
        opened(stores, known, number, now()) as source,
        Progress(console=Console(stderr=True)) as progress,
        writing(out),
    ):
        bar = progress.add_task("export", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        customers, rows = export(source, out, Bought(bought), advance)
    edition = source.shown.edition
    click.echo(f"{tenant}: edition {edition}, {rows:,} rows of {customers:,} customers -> {out}")


@edition.command()
@click.argument("tenant")
@with_stores
def release(stores: Stores, config: Config, tenant: str) -> None:
    """End the hold of a rollback: the next night publishes again.

    Example: recfactory edition release acme
    """
    known = stores.ledger.tenant(tenant)
    stores.ledger.release(known.tenant, by=actor(), at=now())
    click.echo(f"{tenant}: released; the next night publishes again.")


def _listed(stores: Stores, tenant: Tenant) -> list[dict[str, Any]]:
    """Every edition, whether it is served and still on disk; a damaged pointer serves none."""
    try:
        current = stores.editions.current(tenant.uid)
    except Problem as problem:
        click.echo(f"{tenant.tenant}: {problem}", err=True)
        current = None
    served = current.edition if current else None
    kept = set(stores.editions.numbers(tenant.uid))
    return [
        {**row, "current": row["edition"] == served, "on_disk": row["edition"] in kept}
        for row in stores.nights.editions(tenant.tenant)
    ]
