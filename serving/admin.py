"""The tenant's switches and its record: mode, nights, models, editions, rollback."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from serving.bodies import (
    Because,
    EditionLine,
    ModeChange,
    ModelLine,
    ModeState,
    Night,
    QualityLine,
)
from serving.deps import AllStores, Board, Caller, ForAdmin
from storage.rollback import activate
from storage.stores import Stores

EditionNumber = Annotated[int, Path(gt=-(2**31), lt=2**31)]

router = APIRouter(prefix="/tenants/{tenant}", tags=["tenant's admin"])


@router.get("/mode", summary="What the switch says")
def mode(tenant: ForAdmin) -> ModeState:
    """on, freeze or off."""
    return ModeState(tenant=tenant.tenant, mode=tenant.mode)


@router.put("/mode", summary="Turn recommendations on, freeze them, or turn them off")
def change_mode(
    change: ModeChange, tenant: ForAdmin, key: Caller, stores: AllStores, board: Board
) -> ModeState:
    """In force with the next lookup, within a second on every worker, and before the answer is
    sent it holds against a night that is already running.
    """
    stores.ledger.change_mode(
        tenant.tenant, change.mode, by=f"key {key.key_id}", why=change.why, at=datetime.now(UTC)
    )
    board.refresh()
    return ModeState(tenant=tenant.tenant, mode=change.mode)


@router.get("/nights", summary="What happened in the last nights, and why")
def nights(tenant: ForAdmin, stores: AllStores) -> list[Night]:
    """Newest first, at most sixty."""
    return [
        Night(
            tenant=report.tenant,
            night=report.night,
            state=report.state,
            verdict=report.outcome,
            because=report.because,
            published=report.published,
            edition=report.edition,
            model=report.model,
            started_at=report.started_at,
            finished_at=report.finished_at,
            figures=dict(report.figures),
        )
        for report in stores.nights.nights(tenant.tenant)
    ]


@router.get("/models", summary="Every model and the verdict it got")
def models(tenant: ForAdmin, stores: AllStores) -> list[ModelLine]:
    """Newest first."""
    in_force = stores.ledger.tenant(tenant.tenant).model
    return [
        ModelLine(
            tenant=tenant.tenant,
            model=row["model"],
            night=row["night"],
            kind=row["kind"],
            trained_through=row["trained_through"],
            verdict=row["verdict"],
            because=row["because"],
            in_force=row["model"] == in_force,
        )
        for row in stores.nights.models(tenant.tenant)
    ]


@router.get("/quality", summary="What really happened, beside what the gate had predicted")
def quality(tenant: ForAdmin, stores: AllStores) -> list[QualityLine]:
    """One line for each edition that has come due, newest night first."""
    return [
        QualityLine(tenant=tenant.tenant, **point.as_json())
        for point in stores.nights.realised(tenant.tenant)
    ]


@router.get("/editions", summary="Published lists, and which of them are served")
def editions(tenant: ForAdmin, stores: AllStores) -> list[EditionLine]:
    """Newest first."""
    current = stores.editions.current(tenant.uid)
    return [
        _line(tenant.tenant, row, current.edition if current else None)
        for row in stores.nights.editions(tenant.tenant)
    ]


@router.post("/editions/{number}/activate", summary="Go back to an earlier edition")
def activate_edition(
    number: EditionNumber,
    body: Because,
    tenant: ForAdmin,
    key: Caller,
    stores: AllStores,
    request: Request,
) -> EditionLine:
    """Serve this edition and its model from the next lookup on. The coming night trains and
    judges, but does not publish over it until the hold ends.
    """
    hold = timedelta(hours=request.app.state.config.publishing.hold_hours)
    now = datetime.now(UTC)
    activate(stores, tenant, number, hold=hold, by=f"key {key.key_id}", why=body.why, now=now)
    return _edition(stores, tenant.tenant, number)


def _edition(stores: Stores, tenant: Any, number: int) -> EditionLine:
    rows = stores.nights.editions(tenant)
    return _line(tenant, next(row for row in rows if row["edition"] == number), number)


def _line(tenant: str, row: dict[str, Any], current: int | None) -> EditionLine:
    return EditionLine(
        tenant=tenant,
        edition=row["edition"],
        night=row["night"],
        model=row["model"],
        lists=row["lists"],
        published_at=row["published_at"],
        current=row["edition"] == current,
    )
