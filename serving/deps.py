"""How a route comes by a tenant: the only way, and it cannot forget to ask.

All of these are coroutines: FastAPI runs plain functions in a thread, which costs a lookup more
than the lookup itself, and the shelf belongs to the event loop's thread alone.
"""

from typing import Annotated

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from schema.names import Role
from schema.records import Key, Tenant
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


_BEARER = HTTPBearer(auto_error=False, description="an API key, rf_…")
Presented = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


async def caller(board: Board, presented: Presented) -> Key:
    return board.key(presented.credentials if presented else None)


Caller = Annotated[Key, Depends(caller)]
_Name = Annotated[str, Path(description="the tenant's name")]


async def seller_of(tenant: _Name, key: Caller, board: Board) -> Tenant:
    return board.tenant(tenant, key, Role.SELLER)


async def admin_of(tenant: _Name, key: Caller, board: Board) -> Tenant:
    return board.tenant(tenant, key, Role.ADMIN)


ForSeller = Annotated[Tenant, Depends(seller_of)]
ForAdmin = Annotated[Tenant, Depends(admin_of)]


async def sold_by(tenant: ForSeller, shelf: OpenShelf) -> frozenset[str] | None:
    """The product ids of the edition in force; None before the first."""
    current = shelf.current(tenant)
    return None if current is None else current[0].product_ids


Sold = Annotated[frozenset[str] | None, Depends(sold_by)]
