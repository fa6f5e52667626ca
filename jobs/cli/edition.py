"""Published lists: see them, go back to one."""

from datetime import timedelta
from typing import Any

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores
from schema.config import Config
from schema.errors import Problem
from schema.records import Tenant
from storage.rollback import activate as go_back
from storage.stores import Stores


@click.group()
def edition() -> None:
    """Published lists: list, go back to one, release the hold.

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
