"""What became of recommendations."""

import click

from jobs.cli.door import as_json, now, print_json, table, with_stores
from schema.config import Config
from storage.stores import Stores
from tenants.lifecycle import business_date
from tenants.order import zone

COLUMNS = (
    "day", "edition>", "shown>", "clicked>", "accepted>", "dismissed>", "acceptance>", "bought>",
    "revenue>", "without value>",
)  # fmt: skip


@click.command()
@click.argument("tenant")
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=30,
    show_default=True,
    help="Today and the days before it, in the tenant's time zone.",
)
@as_json
@with_stores
def outcomes(stores: Stores, config: Config, tenant: str, days: int, json: bool) -> None:
    """What the salespeople's screens told of what they showed, by day and edition, newest first.

    "Bought" and "revenue" are purchases from recommendations: those that name the edition the
    product was shown from. A purchase told without a value counts, but adds no revenue.

    Example: recfactory outcomes acme --days 7
    """
    known = stores.ledger.tenant(tenant)
    local = zone(known.timezone)
    lines = stores.feedback.outcomes(known.tenant, business_date(now(), local), days, local)
    if json:
        print_json([{"tenant": known.tenant, **line.as_json()} for line in lines])
        return
    rows = [
        [
            line.day,
            line.edition,
            line.shown,
            line.clicked,
            line.accepted,
            line.dismissed,
            "" if line.acceptance_rate is None else f"{line.acceptance_rate:.1%}",
            line.bought,
            f"{line.revenue:,.2f}",
            line.without_value,
        ]
        for line in lines
    ]
    table(f"What became of {tenant}'s recommendations", COLUMNS, rows)
    if not lines:
        click.echo("No screen told anything: see POST /tenants/{tenant}/feedback.")
