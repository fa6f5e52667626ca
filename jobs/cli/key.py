"""API keys."""

from datetime import timedelta

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, with_stores
from schema.config import Config
from schema.errors import Refused
from schema.names import Role
from storage.stores import Stores
from tenants.access import make_key


@click.group()
def key() -> None:
    """Make, list and revoke API keys.

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
    """Make a key and show it, this once. An operator's key names no tenant.

    Example: recfactory key create acme --role seller --label "call centre"
    """
    if (tenant is None) != (Role(role) is Role.OPERATOR):
        raise Refused(
            "an operator's key has no tenant, any other needs one",
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
    if json:
        print_json({"key_id": made.key_id, "tenant": made.tenant, "role": role, "key": secret})
    else:
        click.echo(secret)
        click.echo("Shown once and kept only as a hash; store it now.", err=True)


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
        }
        for found in stores.ledger.keys(known)
    ]
    if json:
        print_json(rows)
    else:
        columns = ["key", "tenant", "role", "label", "created (UTC)", "expires", "revoked"]
        table("Keys", columns, [[day(v) if v else "" for v in row.values()] for row in rows])


@key.command()
@click.argument("key_id")
@with_stores
def revoke(stores: Stores, config: Config, key_id: str) -> None:
    """Stop a key, on every worker within a second.

    Example: recfactory key revoke 0a1b2c3d4e5f
    """
    stores.ledger.revoke_key(key_id, by=actor(), at=now())
    click.echo(f"{key_id}: revoked. This cannot be undone; make a new key.")
