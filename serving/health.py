"""Is it alive, can it serve."""

from fastapi import APIRouter, Response

from schema.errors import Problem
from schema.names import Mode
from schema.records import Tenant
from serving.bodies import Health
from serving.deps import Board, OpenShelf
from serving.guard import Guarded
from serving.shelf import Shelf

router = APIRouter(route_class=Guarded, prefix="/health", tags=["health"])


@router.get("/live", summary="This process answers")
async def live() -> Health:
    """Depends on nothing."""
    return Health(status="ok")


@router.get("/ready", summary="Lists can be served", responses={503: {"model": Health}})
async def ready(board: Board, shelf: OpenShelf, response: Response) -> Health:
    """503 while no tenant that is not off has lists that can be read. ``degraded`` means that lists
    are served while the database is away: changes wait, and so does what needs it.
    """
    for tenant in board.tenants:
        if tenant.mode is not Mode.OFF and await _serves(shelf, tenant):
            return Health(status="ok" if board.reachable else "degraded")
    response.status_code = 503
    return Health(status="not ready")


async def _serves(shelf: Shelf, tenant: Tenant) -> bool:
    try:
        return await shelf.current(tenant) is not None
    except (Problem, OSError):  # the shelf has logged it; another tenant's lists may be sound
        return False
