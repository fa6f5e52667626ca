"""Erase a customer, let one come back, and see the receipts: part of `recfactory data`."""

import click

from jobs.cli.door import actor, as_json, day, now, print_json, table, why, with_stores
from jobs.erasing import finish
from schema.config import Config
from schema.names import TenantId
from schema.records import Erasure
from storage.erase import erase as erase_one
from storage.erase import unerase as let_back
from storage.stores import Stores


@click.command()
@click.argument("tenant")
@click.argument("customer")
@why
@as_json
@with_stores
def erase(stores: Stores, config: Config, tenant: str, customer: str, why: str, json: bool) -> None:
    """Erase a customer: a stranger to every lookup at once, and removed from all that is stored.

    Neither an import nor feedback brings them back. What a running night holds up is finished by
    the next one; the receipt tells. Again is harmless.

    Example: recfactory data erase acme C-1042 --why "request 17 of 3 March"
    """
    known = stores.ledger.tenant(tenant)
    made = erase_one(stores, known, customer, by=actor(), why=why, now=now())
    finish(stores, now(), only=known.tenant)
    _tell([stores.erasures.one(known.tenant, made.receipt)], json=json)
    if not made.known:
        click.echo("Nothing of this id is known: check its spelling. Undo: recfactory data unerase")


@click.command()
@click.argument("tenant")
@click.argument("customer")
@why
@with_stores
def unerase(stores: Stores, config: Config, tenant: str, customer: str, why: str) -> None:
    """Let an erased customer come back, as under a new contract: with the next import.

    Example: recfactory data unerase acme C-1042 --why "new contract of 1 May"
    """
    known = stores.ledger.tenant(tenant)
    made = let_back(stores, known, customer, by=actor(), why=why, now=now())
    click.echo(f"{tenant}: receipt {made.receipt}: may come back, with the next import.")


@click.command()
@click.argument("tenant", required=False)
@click.option("--finish", "go_on", is_flag=True, help="Look for all of them once more, and remove.")
@as_json
@with_stores
def erasures(stores: Stores, config: Config, tenant: str | None, go_on: bool, json: bool) -> None:
    """The receipts: who asked, when, why, and what was removed where. They name no customer.

    --finish does now what a night does, and after a backup was put back removes everybody again.

    Example: recfactory data erasures acme
    """
    only = None if tenant is None else stores.ledger.tenant(tenant).tenant
    if go_on:
        finish(stores, now(), only=only, again=True)
    names = [known.tenant for known in stores.ledger.tenants()] if only is None else [only]
    receipts = [made for name in names for made in stores.erasures.of(TenantId(name))]
    _tell(receipts, json=json)
    raise SystemExit(1 if go_on and any(made.pending for made in receipts) else 0)


def _tell(receipts: list[Erasure], *, json: bool) -> None:
    told = [made.as_json() for made in receipts]
    if json:
        print_json(told)
        return
    rows = [
        [t["tenant"], t["receipt"], t["state"], day(t["asked_at"]), t["asked_by"], t["why"], _counts(t["removed"])]
        for t in told
    ]  # fmt: skip
    columns = ["tenant", "receipt>", "state", "asked (UTC)", "by", "why", "removed"]
    table("Erasures", columns, rows)


def _counts(removed: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in removed.items() if count)
