"""Why a tenant did or did not get a new model or edition."""

from datetime import date

import click

from jobs.cli.door import as_json, console, now, print_json, with_stores
from jobs.cli.nights import as_line, rule_line
from jobs.summary import Case, read
from jobs.why import Facts, screen
from jobs.why import as_json as in_words
from schema.config import Config
from schema.names import Delivered
from schema.records import NightReport, Tenant
from storage.stores import Stores
from tenants.lifecycle import business_date
from tenants.order import zone


@click.command()
@click.argument("tenant")
@as_json
@with_stores
def why(stores: Stores, config: Config, tenant: str, json: bool) -> None:
    """One screen: whether there is a new model and edition, why not, and what to do.

    Example: recfactory why acme
    """
    known = stores.ledger.tenant(tenant)
    facts = _facts(stores, known)
    if json:
        current = facts.served
        print_json(
            {
                "tenant": known.tenant,
                "mode": known.mode.value,
                "edition": current.edition if current else None,
                "published_at": current.published_at if current else None,
                "model": known.model,
                "held_until": known.held_until,
                "nights": [as_line(report) for report in facts.nights],
                "waiting": [delivery.as_json() for delivery in facts.waiting],
                **in_words(facts),
            }
        )
        return
    acted = facts.nights[0].figures.get("rules", ()) if facts.nights else ()
    for line in screen(facts, [*map(rule_line, acted)], console().width):
        click.echo(line)


def _facts(stores: Stores, known: Tenant) -> Facts:
    nights = stores.nights.nights(known.tenant, 7)
    moment = now()
    return Facts(
        tenant=known,
        served=stores.editions.current(known.uid),
        nights=nights,
        deliveries=stores.imports.deliveries(known.tenant, 1),
        waiting=stores.imports.deliveries(known.tenant, None, states=[Delivered.HELD]),
        left_out=_left_out(stores, known, nights),
        today=business_date(moment, zone(known.timezone)),
        now=moment,
    )


def _left_out(stores: Stores, known: Tenant, nights: list[NightReport]) -> Case | None:
    """Why the last run came to nothing here, where the night itself does not tell: a brake, a
    deadline, a ledger that was away.
    """
    run = stores.runs.last()
    if run is None:
        return None
    done = max((night.night for night in nights if night.outcome is not None), default=date.min)
    cases = read(run.summary).failures
    return next((c for c in cases if c.tenant == known.tenant and c.night > done), None)
