"""Erase a customer, and see what became of it."""

from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from schema.records import Erasure
from serving.address import CUSTOMER_ALONE
from serving.admin import Number
from serving.bodies import Because, Receipt
from serving.deps import AllStores, OpenShelf, TheTenant, WhoAsks
from serving.guard import Guarded
from storage.erase import erase

router = APIRouter(route_class=Guarded, prefix="/tenants/{tenant}", tags=["tenant's admin"])


@router.delete(CUSTOMER_ALONE, summary="Erase a customer")
async def erase_customer(
    customer: str,
    body: Because,
    tenant: TheTenant,
    caller: WhoAsks,
    stores: AllStores,
    shelf: OpenShelf,
) -> Receipt:
    """A stranger from the next lookup on, on every worker within a second, also while the ledger
    is away; no import and no feedback brings them back. What is stored about them follows with the
    next night or upkeep: the receipt tells. Again gives the same receipt.
    """
    now = datetime.now(UTC)
    act = partial(erase, stores, tenant, customer, by=caller.actor, why=body.why, now=now)
    try:
        made = await run_in_threadpool(act)
    finally:  # the ledger may be away, and they are a stranger all the same
        shelf.look_again(tenant)
    return _receipt(made)


@router.get("/erasures/{number}", summary="What was removed where")
def receipt(number: Number, tenant: TheTenant, stores: AllStores) -> Receipt:
    """By the number that was given when the customer was erased."""
    return _receipt(stores.erasures.one(tenant.tenant, number))


def _receipt(made: Erasure) -> Receipt:
    return Receipt(**made.as_json())
