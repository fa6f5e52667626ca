"""API keys."""

import re
from datetime import timedelta

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, with_stores
from schema.config import Config, read_config
from schema.errors import Problem, Refused
from schema.names import Role
from schema.records import Key
from storage.durable import Disk
from storage.revoked import Revoked
from storage.revoked import revoke as revoke_key
from storage.stores import Stores, open_stores
from tenants.access import EVERY_TENANT, make_key, successor


@click.group()
def key() -> None:
    """Make, list, rotate and revoke API keys.

    Example: recfactory key list acme
    """


@key.command()
@click.argument("tenant", required=False)
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.SELLER.value,
    show_default=True,
)
@click.option("--label", default="", help="Whose it is or what it is for.")
@click.option("--days", type=click.IntRange(1, 3650), help="Ends after so many days.")
@as_json
@with_stores
def create(
    stores: Stores,
    config: Config,
    tenant: str | None,
    role: str,
    label: str,
    days: int | None,
    json: bool,
) -> None:
    """Make a key and show it, this once. An operator's or auditor's key names no tenant.

    Example: recfactory key create acme --role seller --label "call centre"
    """
    if (tenant is None) != (Role(role) in EVERY_TENANT):
        raise Refused(
            "an operator's or auditor's key has no tenant, any other needs one",
            "name the tenant, or say --role operator",
            code="USAGE",
        )
    known = stores.ledger.tenant(tenant) if tenant else None
    moment = now()
    ends = moment + timedelta(days=days) if days else None
    made, secret = make_key(
        known.tenant if known else None,
        Role(role),
        label,
        stores.pepper,
        at=moment,
        expires_at=ends,
    )
    stores.ledger.add_key(made, by=actor())
    _show(made, secret, json)


def _show(made: Key, secret: str, json: bool) -> None:
    if json:
        print_json(
            {"key_id": made.key_id, "tenant": made.tenant, "role": made.role.value, "key": secret}
        )
    else:
        click.echo(secret)
        click.echo("Shown once and kept only as a hash; store it now.", err=True)


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        units = {"m": "minutes", "h": "hours", "d": "days"}
        found = re.fullmatch(r"(\d{1,4})([mhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time like 30m, 24h or 7d", param, ctx)
        return timedelta(**{units[found[2]]: int(found[1])})


@key.command()
@click.argument("key_id")
@click.option("--overlap", type=_Duration(), default="24h", show_default=True, help="30m, 24h, 7d")
@as_json
@with_stores
def rotate(stores: Stores, config: Config, key_id: str, overlap: timedelta, json: bool) -> None:
    """Make a key that takes another one's place, and show it; the old one ends after the overlap.

    Example: recfactory key rotate 0a1b2c3d4e5f --overlap 24h
    """
    moment = now()
    made, secret = successor(stores.ledger.key(key_id), stores.pepper, at=moment)
    old = stores.ledger.rotate_key(key_id, made, moment + overlap, by=actor())
    _show(made, secret, json)
    click.echo(f"{key_id} ends on {day(old.expires_at)} UTC.", err=True)


@key.command(name="list")
@click.argument("tenant", required=False)
@as_json
@with_stores
def list_keys(stores: Stores, config: Config, tenant: str | None, json: bool) -> None:
    """All keys, or one tenant's; never the secrets.

    Example: recfactory key list acme
    """
    known = stores.ledger.tenant(tenant).tenant if tenant else None
    rows = [
        {
            "key_id": found.key_id,
            "tenant": found.tenant,
            "role": found.role.value,
            "label": found.label,
            "created_at": found.created_at,
            "expires_at": found.expires_at,
            "revoked_at": found.revoked_at,
            "last_used_at": found.last_used_at,
        }
        for found in stores.ledger.keys(known)
    ]
    if json:
        print_json(rows)
    else:
        columns = [
            "key",
            "tenant",
            "role",
            "label",
            "created (UTC)",
            "expires",
            "revoked",
            "last used",
        ]
        table("Keys", columns, [[day(v) if v else "" for v in row.values()] for row in rows])


@key.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Stop a key, on every worker of this home within a second, also while the ledger is away.

    Example: recfactory key revoke 0a1b2c3d4e5f
    """
    config = read_config()
    revoked = Revoked(config.home / "revoked", Disk())
    revoked.add(key_id)  # before the ledger is opened: that may be what does not work
    try:
        stores = open_stores(config)
    except Problem as problem:
        raise Problem(
            f"the key is stopped on every server of this home, but the ledger was not told: {problem.what}",
            "revoke it again when the ledger is back",
            problem.code,
        ) from problem
    try:
        revoke_key(revoked, stores.ledger, key_id, by=actor(), at=now())
    finally:
        stores.engine.dispose()
    click.echo(f"{key_id}: revoked. This cannot be undone; make a new key.")
