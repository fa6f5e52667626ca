"""What the button shows."""

import click

from jobs.cli.door import as_json, print_json, table, with_stores
from schema.config import Config
from schema.errors import NotThere
from schema.names import Bought
from storage.stores import Stores
from tenants.answer import Shown, answer, ask
from tenants.lifecycle import serves


@click.command()
@click.argument("tenant")
@click.argument("customer")
@click.option("--limit", default=10, show_default=True, help="How many products.")
@click.option(
    "--bought",
    default=Bought.INCLUDE.value,
    show_default=True,
    type=click.Choice([word.value for word in Bought]),
    help="Products bought before.",
)
@as_json
@with_stores
def recs(
    stores: Stores, config: Config, tenant: str, customer: str, limit: int, bought: str, json: bool
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
        shown = Shown(edition.number, edition.model, current.published_at, edition.segments)
        own = edition.lists.of(customer)
        body = answer(
            tenant, customer, known.mode, shown, own, edition.popular, edition.products, asked
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
    table(title, ["rank>", "product", "name", "probability>", "why"], rows)
