"""The tenant's switches and its record: mode, rules, nights, models, editions, rollback."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from schema.records import Rule, Tenant
from schema.rules import state, written
from serving.bodies import (
    Because,
    EditionLine,
    ModeChange,
    ModelLine,
    ModeState,
    NewRule,
    Night,
    QualityLine,
    RuleLine,
    RuleState,
)
from serving.deps import AllStores, Board, TheTenant, WhoAsks
from serving.guard import Guarded
from storage import held
from storage.rollback import activate
from storage.rules import add_rule
from storage.stores import Stores
from tenants.order import zone

Number = Annotated[int, Path(gt=-(2**31), lt=2**31)]

router = APIRouter(route_class=Guarded, prefix="/tenants/{tenant}", tags=["tenant's admin"])


@router.get("/mode", summary="What the switch says")
def mode(tenant: TheTenant) -> ModeState:
    """on, freeze or off."""
    return ModeState(tenant=tenant.tenant, mode=tenant.mode)


@router.put("/mode", summary="Turn recommendations on, freeze them, or turn them off")
def change_mode(
    change: ModeChange, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> ModeState:
    """In force with the next lookup, within a second on every worker, and before the answer is
    sent it holds against a night that is already running.
    """
    stores.ledger.change_mode(
        tenant.tenant, change.mode, by=caller.actor, why=change.why, at=datetime.now(UTC)
    )
    board.refresh()
    return ModeState(tenant=tenant.tenant, mode=change.mode)


@router.get("/rules", summary="The tenant's rules about its lists")
def rules(tenant: TheTenant, stores: AllStores) -> list[RuleLine]:
    """By number; an expired one stays until it is removed, and does nothing."""
    now = datetime.now(UTC)
    return [
        _rule(tenant, rule, state(rule, now)) for rule in stores.ledger.tenant(tenant.tenant).rules
    ]


@router.post("/rules", summary="Exclude, pin, boost, bury or limit products")
def new_rule(
    body: NewRule, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> RuleLine:
    """In force with the next lookup; the next night ranks by it, so that lists stay full.

    A rule moves or hides products, and never changes the probability shown. What hides wins over
    what pins.
    """
    now = datetime.now(UTC)
    rule = written(
        body.action,
        product=body.product_id,
        category=body.category,
        value=body.value,
        until=body.until,
        why=body.why,
        zone=zone(tenant.timezone),
        by=caller.actor,
        at=now,
    )
    kept = add_rule(stores, tenant, rule, now=now)
    board.refresh()
    return _rule(tenant, kept, state(kept, now))


@router.delete("/rules/{number}", summary="Take a rule away")
def remove_rule(
    number: Number, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> RuleLine:
    """What it moved stands as before with the next lookup; what it hid comes back with the night."""
    now = datetime.now(UTC)
    gone = stores.ledger.remove_rule(tenant.tenant, number, by=caller.actor, at=now)
    board.refresh()
    return _rule(tenant, gone, "removed")


@router.get("/nights", summary="What happened in the last nights, and why")
def nights(tenant: TheTenant, stores: AllStores) -> list[Night]:
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
def models(tenant: TheTenant, stores: AllStores) -> list[ModelLine]:
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


@router.post("/models/{number}/promote", summary="Put a held model in force")
def promote_model(
    number: Number, body: Because, tenant: TheTenant, caller: WhoAsks, stores: AllStores
) -> ModelLine:
    """The gate held it as too good to be true; you looked, and there is no leak. The next night
    judges and ranks with it; what is served now stays until then.
    """
    now = datetime.now(UTC)
    held.promote(stores, tenant, number, by=caller.actor, why=body.why, now=now)
    return _model(stores, tenant, number)


@router.post("/models/{number}/discard", summary="Throw a held model away")
def discard_model(
    number: Number, body: Because, tenant: TheTenant, caller: WhoAsks, stores: AllStores
) -> ModelLine:
    """Its files are removed and the model in force stays; the verdict is kept for ever."""
    now = datetime.now(UTC)
    held.discard(stores, tenant, number, by=caller.actor, why=body.why, now=now)
    return _model(stores, tenant, number)


def _model(stores: Stores, tenant: Tenant, number: int) -> ModelLine:
    return next(line for line in models(tenant, stores) if line.model == number)


@router.get("/quality", summary="What really happened, beside what the gate had predicted")
def quality(tenant: TheTenant, stores: AllStores) -> list[QualityLine]:
    """One line for each edition that has come due, newest night first."""
    return [
        QualityLine(tenant=tenant.tenant, **point.as_json())
        for point in stores.nights.realised(tenant.tenant)
    ]


@router.get("/editions", summary="Published lists, and which of them are served")
def editions(tenant: TheTenant, stores: AllStores) -> list[EditionLine]:
    """Newest first."""
    current = stores.editions.current(tenant.uid)
    return [
        _line(tenant.tenant, row, current.edition if current else None)
        for row in stores.nights.editions(tenant.tenant)
    ]


@router.post("/editions/{number}/activate", summary="Go back to an earlier edition")
def activate_edition(
    number: Number,
    body: Because,
    tenant: TheTenant,
    caller: WhoAsks,
    stores: AllStores,
    request: Request,
) -> EditionLine:
    """Serve this edition and its model from the next lookup on. The coming night trains and
    judges, but does not publish over it until the hold ends.
    """
    hold = timedelta(hours=request.app.state.config.publishing.hold_hours)
    now = datetime.now(UTC)
    activate(stores, tenant, number, hold=hold, by=caller.actor, why=body.why, now=now)
    return _edition(stores, tenant.tenant, number)


def _rule(tenant: Tenant, rule: Rule, state: RuleState) -> RuleLine:
    local = zone(tenant.timezone)
    return RuleLine(
        tenant=tenant.tenant,
        rule=rule.number,
        action=rule.action,
        product_id=rule.product,
        category=rule.category,
        value=rule.value,
        state=state,
        expires_at=rule.expires_at.astimezone(local) if rule.expires_at else None,
        why=rule.why,
        created_by=rule.created_by,
        created_at=rule.created_at.astimezone(local),
    )


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
