"""What the button shows."""

import click
import orjson

from jobs.cli.door import as_json, now, print_json, table, with_stores
from jobs.export import opened
from schema.config import Config
from schema.names import Bought
from storage.stores import Stores
from tenants.answer import answer, ask, nothing
from tenants.lifecycle import serves


@click.command()
@click.argument("tenant")
@click.argument("customer")
@click.option("--limit", default=10, show_default=True, help="How many products.")
@click.option(
    "--bought",
    type=click.Choice([word.value for word in Bought]),
    help="Products bought before; without it, as the tenant has it.",
)
@click.option("--category", help="Only products of this category.")
@as_json
@with_stores
def recs(
    stores: Stores,
    config: Config,
    tenant: str,
    customer: str,
    limit: int,
    bought: str | None,
    category: str | None,
    json: bool,
) -> None:
    """What the button shows for one customer: the same answer as over HTTP.

    Example: recfactory recs acme C-1042 --bought exclude
    """
    known = stores.ledger.tenant(tenant)
    customer = customer.encode("utf-8", "replace").decode()  # a shell may hand over any bytes
    asked = ask(limit, bought, category)
    if serves(known.mode):
        at, days = now(), config.serving.stale_days
        with opened(stores, known, None, at, days) as source:
            own, stale = source.own(customer), source.shown.stale(at)
            found = answer(tenant, customer, known.mode, source.shown, own, asked, stale=stale)
    else:
        found = nothing(tenant, customer)
    body = orjson.loads(found)
    if json:
        print_json(body)
        return
    rows = [
        [r["rank"], r["product_id"], r["name"], f"{r['probability']:.4f}", r["reason"]["text"]]
        for r in body["recommendations"]
    ]
    title = f"{tenant}, customer {customer}: {body['source'] or body['mode']}, edition {body['edition']}"
    if body["bought"] not in (None, Bought.INCLUDE.value):
        title += f", bought before: {body['bought']}"
    if body["stale"]:
        title += ", stale"
    table(title, ["rank>", "product", "name", "probability>", "why"], rows)
