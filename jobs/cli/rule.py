"""The tenant's own rules about its lists."""

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores
from schema.config import Config
from schema.names import Action
from schema.rules import state, told, written
from storage.rules import add_rule
from storage.stores import Stores
from tenants.order import zone


@click.group()
def rule() -> None:
    """Exclude, pin, boost, bury or limit products; in force with the next lookup.

    Example: recfactory rule list acme
    """


@rule.command()
@click.argument("tenant")
@click.argument("action", type=click.Choice([action.value for action in Action]))
@click.option("--product", metavar="ID", help="The product it is about.")
@click.option("--category", metavar="NAME", help="The category it is about.")
@click.option(
    "--value",
    type=float,
    help="boost, bury: factor on the odds; pin --category: places; min_price: amount; "
    "min_margin: share of the price; max_per_category: count.",
)
@click.option(
    "--until", metavar="DATE", help="Last day it holds, or a moment, in the tenant's zone."
)
@why
@with_stores
def add(
    stores: Stores,
    config: Config,
    tenant: str,
    action: str,
    product: str | None,
    category: str | None,
    value: float | None,
    until: str | None,
    why: str,
) -> None:
    """Add a rule. It moves or hides products; the probability shown stays the model's own.

    exclude, pin, boost, bury are about a product or a category; min_price, min_margin,
    max_per_category about a category, or everything.

    Example: recfactory rule add acme boost --category Stout --value 2 --until 2026-12-24 --why "stout weeks"
    """
    known = stores.ledger.tenant(tenant)
    moment = now()
    made = written(
        Action(action),
        product=_text(product),
        category=_text(category),
        value=value,
        until=until,
        why=why,
        zone=zone(known.timezone),
        by=actor(),
        at=moment,
    )
    kept = add_rule(stores, known, made, now=moment)
    click.echo(f"{tenant}: rule {kept.number}, {told(kept)}, in force with the next lookup.")
    click.echo(f"Undo: recfactory rule remove {tenant} {kept.number}")


@rule.command(name="list")
@click.argument("tenant")
@as_json
@with_stores
def list_rules(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """All rules by number; times in the tenant's zone. What they did: recfactory why TENANT.

    Example: recfactory rule list acme
    """
    known = stores.ledger.tenant(tenant)
    local = zone(known.timezone)
    rows = [
        {
            "tenant": known.tenant,
            "rule": found.number,
            "action": found.action.value,
            "product_id": found.product,
            "category": found.category,
            "value": found.value,
            "state": state(found, now()),
            "expires_at": found.expires_at.astimezone(local) if found.expires_at else None,
            "why": found.why,
            "created_by": found.created_by,
            "created_at": found.created_at.astimezone(local),
        }
        for found in known.rules
    ]
    if json:
        print_json(rows)
        return
    lines = [
        [found.number, told(found), row["state"], day(row["expires_at"] or ""), found.why, found.created_by]
        for found, row in zip(known.rules, rows, strict=True)
    ]  # fmt: skip
    columns = ["rule>", "what", "", f"ends ({known.timezone})", "why", "by"]
    table(f"Rules of {tenant}", columns, lines)


@rule.command()
@click.argument("tenant")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@with_stores
def remove(stores: Stores, config: Config, tenant: str, number: int) -> None:
    """Take a rule away: what it moved stands as before at once, what it hid comes back tonight.

    Example: recfactory rule remove acme 3
    """
    known = stores.ledger.tenant(tenant)
    gone = stores.ledger.remove_rule(known.tenant, number, by=actor(), at=now())
    click.echo(f"{tenant}: rule {number}, {told(gone)}, removed.")


def _text(value: str | None) -> str | None:
    """What a shell hands over may be any bytes."""
    return None if value is None else value.encode("utf-8", "replace").decode()
