"""Is it alive, can it serve."""

from fastapi import APIRouter, Response

from schema.names import Mode
from serving.bodies import Health
from serving.deps import Board, OpenShelf
from serving.guard import Guarded

router = APIRouter(route_class=Guarded, prefix="/health", tags=["health"])


@router.get("/live", summary="This process answers")
async def live() -> Health:
    """Depends on nothing."""
    return Health(status="ok")


@router.get("/ready", summary="Lists can be served", responses={503: {"model": Health}})
async def ready(board: Board, shelf: OpenShelf, response: Response) -> Health:
    """503 while no tenant that is not off has an edition; never depends on the database."""
    if any(shelf.published(t) for t in board.tenants if t.mode is not Mode.OFF):
        return Health(status="ok")
    response.status_code = 503
    return Health(status="not ready")
