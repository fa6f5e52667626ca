"""How a tenant's files look, as its admin declares it."""

from datetime import UTC, datetime

from fastapi import APIRouter

from serving.bodies import MappingChange, MappingState
from serving.deps import AllStores, Board, TheTenant, WhoAsks
from serving.guard import Guarded

router = APIRouter(route_class=Guarded, prefix="/tenants/{tenant}/data", tags=["tenant's admin"])


@router.get("/mapping", summary="How the tenant's files look")
def mapping(tenant: TheTenant, stores: AllStores) -> MappingState:
    """Empty where they are in the universal form."""
    found = stores.ledger.tenant(tenant.tenant).mapping
    return MappingState(tenant=tenant.tenant, mapping=dict(found))


@router.put("/mapping", summary="Declare how the tenant's files look")
def change_mapping(
    change: MappingChange, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> MappingState:
    """It takes the place of all that was declared, from the next import on."""
    made = change.mapping.as_json()
    stores.ledger.change_mapping(
        tenant.tenant, made, by=caller.actor, why=change.why, at=datetime.now(UTC)
    )
    board.refresh()
    return MappingState(tenant=tenant.tenant, mapping=made)
