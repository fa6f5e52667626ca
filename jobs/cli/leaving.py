"""Tenants that leave: part of `recfactory tenant`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores, writing
from jobs.leaving import finish, leave, named, objects
from schema.config import Config
from schema.names import TenantId
from schema.records import Left
from storage.stores import Stores


@click.command()
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="The tenant's name once more: do it.")
@click.option("--why", metavar="SENTENCE", help="Kept in the audit trail.")
@click.option(
    "--export-to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its data and lists are written before.",
)
@click.option("--more", is_flag=True, help="Also beyond leaving.most_a_day.")
@as_json
@with_stores
def remove(
    stores: Stores,
    config: Config,
    name: str,
    confirm: str | None,
    why: str | None,
    export_to: Path | None,
    more: bool,
    json: bool,
) -> None:
    """Name everything there is of a tenant; with --confirm, export it, disable it, and delete it
    when leaving.grace_days are over.

    Disabled means at once: no lookups (404), no keys, no nights. Until it is deleted, `recfactory
    tenant restore` takes it back.

    Example: recfactory tenant remove acme --confirm acme --why "contract ended" --export-to out
    """
    known = named(stores, name)
    told = objects(stores, known)
    if json:
        print_json(told)
    else:
        _list(told)
    if confirm is None:
        click.echo(
            f"Nothing was changed. To do it: recfactory tenant remove {name} --confirm {name} "
            "--why … --export-to FOLDER",
            err=True,
        )
        return
    if confirm != known.tenant:
        raise click.UsageError(f"--confirm {confirm!r} is not the name of the tenant, {name!r}")
    if not (why or "").strip() or export_to is None:
        raise click.UsageError("say --why, and with --export-to where its data go before")
    with writing(export_to):
        made = leave(
            stores,
            config.leaving,
            known,
            export_to,
            more=more,
            by=actor(),
            why=str(why).strip(),
            now=now(),
        )
    ends = now() + timedelta(days=config.leaving.grace_days)
    for file in made:
        click.echo(file, err=json)
    click.echo(
        f"{name}: disabled; everything is deleted after {ends:%Y-%m-%d}. "
        f"Undo until then: recfactory tenant restore {name} --why …",
        err=json,
    )


@click.command()
@click.argument("name")
@why
@with_stores
def restore(stores: Stores, config: Config, name: str, why: str) -> None:
    """Take a tenant back that was removed, as long as it is not deleted: off, and without keys.

    Example: recfactory tenant restore acme --why "removed in error"
    """
    stores.leaving.restore(TenantId(name), by=actor(), why=why, at=now())
    click.echo(
        f"{name}: back, and off. Next: recfactory tenant mode {name} on --why …; "
        f"recfactory key create {name}"
    )


@click.command()
@click.option("--finish", "go_on", is_flag=True, help="Delete those whose grace is over.")
@as_json
@with_stores
def left(stores: Stores, config: Config, go_on: bool, json: bool) -> None:
    """Tenants that were removed: when they are deleted, or the certificate that they were.

    Example: recfactory tenant left
    """
    if go_on:
        finish(stores, config.leaving, now())
    grace = timedelta(days=config.leaving.grace_days)
    told = [_told(each, grace) for each in stores.leaving.left()]
    if json:
        print_json(told)
        return
    columns = ["tenant", "removed (UTC)", "deleted after (UTC)", "deleted (UTC)", "certificate"]
    names = ["tenant", "removed_at", "deleted_after", "deleted_at"]
    rows = [[each[name] and day(each[name]) for name in names] + [_short(each)] for each in told]
    table("Removed", columns, rows)


def _told(left: Left, grace: timedelta) -> dict[str, Any]:
    return {
        "tenant": left.tenant,
        "removed_at": left.left_at,
        "deleted_at": left.deleted_at,
        "deleted_after": left.left_at + grace,
        "certificate": left.told if left.deleted_at else None,
    }


def _short(told: dict[str, Any]) -> str:
    found = told["certificate"]
    return f"{sum(found['rows'].values()):,} rows, SHA-256 {found['sha256']}" if found else ""


def _list(told: dict[str, Any]) -> None:
    rows: list[list[object]] = [[p["place"], p["files"], p["bytes"]] for p in told["files"]]
    table(f"{told['tenant']}, {told['uid']}", ["place", "files>", "bytes>"], rows)
    counts = {**told["rows"], "spooled events": told["spooled_events"]}
    table("In the ledger", ["table", "rows>"], list(counts.items()))
    click.echo(f"Keys: {', '.join(told['keys']) or 'none'}")
