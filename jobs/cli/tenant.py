"""Register tenants, see them, tune them, turn their switch."""

import secrets
from typing import Any

import click
import orjson

from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores
from jobs.cli.leaving import left, remove, restore
from schema.config import Config
from schema.errors import Problem
from schema.names import Mode, tenant_id
from schema.records import Tenant
from schema.settings import with_changes
from storage.stores import Stores
from tenants.order import settings_of, zone


@click.group()
def tenant() -> None:
    """Register tenants, see them, and say what the factory does for them.

    Example: recfactory tenant list
    """


for command in (remove, restore, left):
    tenant.add_command(command)


@tenant.command()
@click.argument("name")
@click.option("--title", default="", help="What people call the company.")
@click.option(
    "--timezone", default="UTC", show_default=True, help="Its nights begin at midnight there."
)
@with_stores
def add(stores: Stores, config: Config, name: str, title: str, timezone: str) -> None:
    """Register a tenant.

    Example: recfactory tenant add acme --title "Acme Ltd" --timezone Europe/Zurich
    """
    zone(timezone)
    uid = f"t{secrets.token_hex(8)}"
    made = stores.ledger.register(
        tenant_id(name), uid, title or name, timezone, by=actor(), at=now()
    )
    inbox = stores.inboxes.folder(made)
    click.echo(f"{name}: registered, on. Next: recfactory data import {name} --customers … ")
    click.echo(f"Its inbox is {inbox}")


@tenant.command(name="list")
@as_json
@with_stores
def list_tenants(stores: Stores, config: Config, json: bool) -> None:
    """All tenants with their mode, last verdict and edition.

    Example: recfactory tenant list --json
    """
    nights = stores.nights.last_nights()
    rows = []
    for known in stores.ledger.tenants():
        night = nights.get(known.tenant)
        rows.append(
            {
                "tenant": known.tenant,
                "title": known.title,
                "mode": known.mode.value,
                "timezone": known.timezone,
                "night": night.night if night else None,
                "verdict": night.outcome if night else None,
                "model": known.model,
                "edition": _served(stores, known),
            }
        )
    if json:
        print_json(rows)
    else:
        table(
            "Tenants", list(rows[0]) if rows else ["tenant"], [list(row.values()) for row in rows]
        )


@tenant.command()
@click.argument("name")
@as_json
@with_stores
def show(stores: Stores, config: Config, name: str, json: bool) -> None:
    """One tenant: mode, settings (its own are marked), what it serves, who changed what.

    Example: recfactory tenant show acme
    """
    known = stores.ledger.tenant(name)
    body = _described(stores, config, known)
    if json:
        print_json(body)
        return
    facts = ("tenant", "title", "timezone", "mode", "model", "edition", "held_until")
    table(name, ["what", "value"], [[fact, body[fact]] for fact in facts])
    own = set(known.changes)
    rows = [[key, value, "own" if key in own else ""] for key, value in _flat(body["settings"])]
    table("Settings", ["setting", "value", ""], rows)
    acts = [[day(a["at"]), a["actor"], a["act"], a["detail"]] for a in body["audit"]]
    table("Audit", ["at (UTC)", "who", "act", "detail"], acts)


@tenant.command(name="set")
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="SETTING=VALUE…")
@with_stores
def set_settings(stores: Stores, config: Config, name: str, changes: tuple[str, ...]) -> None:
    """Change a tenant's own settings; VALUE is JSON, "default" takes the template's back.

    Example: recfactory tenant set acme als.factors=64 lists.length=40
    """
    known = stores.ledger.tenant(name)
    own = dict(known.changes)
    for change in changes:
        setting, _, text = change.partition("=")
        if text == "default":
            own.pop(setting, None)
        else:
            own[setting] = _value(text)
    with_changes(config.template, own)
    stores.ledger.change_settings(known.tenant, own, by=actor(), at=now())
    click.echo(f"{name}: {len(own)} own settings, from the next night on.")


@tenant.command()
@click.argument("name")
@click.argument("mode", type=click.Choice([mode.value for mode in Mode]))
@why
@with_stores
def mode(stores: Stores, config: Config, name: str, mode: str, why: str) -> None:
    """Turn a tenant on, freeze it (keep the model, stop retraining) or turn it off.

    Example: recfactory tenant mode acme freeze --why "stocktaking until Monday"
    """
    known = stores.ledger.tenant(name)
    was, now_is = stores.ledger.change_mode(known.tenant, Mode(mode), by=actor(), why=why, at=now())
    click.echo(f"{name}: {was} -> {now_is}. Undo: recfactory tenant mode {name} {was} --why …")


def _served(stores: Stores, known: Tenant) -> int | str | None:
    """The edition served; one damaged pointer must not hide the other tenants."""
    try:
        current = stores.editions.current(known.uid)
    except Problem:
        return "damaged"
    return current.edition if current else None


def _described(stores: Stores, config: Config, known: Tenant) -> dict[str, Any]:
    current = stores.editions.current(known.uid)
    chosen = next(iter(stores.nights.choices(known.tenant)), None)
    return {
        "tenant": known.tenant,
        "title": known.title,
        "timezone": known.timezone,
        "mode": known.mode.value,
        "model": known.model,
        "edition": current.edition if current else None,
        "published_at": current.published_at if current else None,
        "held_until": known.held_until,
        "changes": dict(known.changes),
        "tuned": chosen.changes if chosen else {},
        "settings": settings_of(
            config.template, known.changes, chosen.changes if chosen else {}
        ).model_dump(mode="json"),
        "audit": [line.as_json() for line in stores.audit.of(known.tenant)],
    }


def _flat(tree: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{path}{key}.")
        else:
            lines.append((f"{path}{key}", value))
    return lines


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
