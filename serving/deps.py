"""How a route comes by what it works with: the tenant and the caller as the guard found them.

All of these are coroutines: FastAPI runs plain functions in a thread, which costs a lookup more
than the lookup itself, and the shelf belongs to the event loop's thread alone.
"""

from typing import Annotated

from fastapi import Depends, Path, Request

from schema.records import Caller, Tenant
from serving.control import Switchboard
from serving.metrics import Metrics
from serving.shelf import Shelf
from storage.stores import Stores


async def stores(request: Request) -> Stores:
    found: Stores = request.app.state.stores
    return found


async def switchboard(request: Request) -> Switchboard:
    found: Switchboard = request.app.state.switchboard
    return found


async def shelf(request: Request) -> Shelf:
    found: Shelf = request.app.state.shelf
    return found


async def metrics(request: Request) -> Metrics:
    found: Metrics = request.app.state.metrics
    return found


Board = Annotated[Switchboard, Depends(switchboard)]
OpenShelf = Annotated[Shelf, Depends(shelf)]
AllStores = Annotated[Stores, Depends(stores)]
Seen = Annotated[Metrics, Depends(metrics)]


async def caller(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


async def tenant_asked(
    request: Request, tenant: Annotated[str, Path(description="the tenant's name")]
) -> Tenant:
    """Not looked up by the name: the guard did, for this caller."""
    found: Tenant = request.state.tenant
    return found


WhoAsks = Annotated[Caller, Depends(caller)]
TheTenant = Annotated[Tenant, Depends(tenant_asked)]


async def sold_by(tenant: TheTenant, shelf: OpenShelf) -> frozenset[str] | None:
    """The product ids of the edition in force; None before the first."""
    current = await shelf.current(tenant)
    return None if current is None else current.edition.product_ids


Sold = Annotated[frozenset[str] | None, Depends(sold_by)]
