"""What the button shows."""

import click

from jobs.cli.door import as_json, now, print_json, table, with_stores
from schema.config import Config
from schema.errors import NotThere
from schema.names import Bought
from schema.rules import ruling
from storage.stores import Stores
from tenants.answer import Shown, answer, ask
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
@as_json
@with_stores
def recs(
    stores: Stores,
    config: Config,
    tenant: str,
    customer: str,
    limit: int,
    bought: str | None,
    json: bool,
) -> None:
    """What the button shows for one customer: the same answer as over HTTP.

    Example: recfactory recs acme C-1042 --bought exclude
    """
    known = stores.ledger.tenant(tenant)
    customer = customer.encode("utf-8", "replace").decode()  # a shell may hand over any bytes
    asked = ask(limit, bought)
    current = stores.editions.current(known.uid)
    if not serves(known.mode):
        body = answer(tenant, customer, known.mode, None, None, (), (), asked)
    elif current is None:
        raise NotThere(
            f"nothing was published for {tenant} yet",
            f"run `recfactory night {tenant}`",
            "NO_EDITION",
        )
    else:
        edition = stores.editions.open(known.uid, current.edition, current.manifest_sha256)
        sellable = stores.datasets.sellable(known.uid)
        if sellable is not None:
            edition = edition.as_sold(sellable)
        shown = Shown(
            edition.number, edition.model, current.published_at, edition.segments, edition.bought
        )
        own = edition.lists.of(customer)
        products = edition.products
        rules = ruling(known.rules, products, now())
        body = answer(
            tenant, customer, known.mode, shown, own, edition.popular, products, asked, rules
        )
        edition.lists.close()
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
    table(title, ["rank>", "product", "name", "probability>", "why"], rows)
