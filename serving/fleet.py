"""All tenants at once: who they are, and how fresh what they serve is."""

import secrets
from collections import Counter
from datetime import UTC, datetime

from fastapi import APIRouter

from schema.errors import Problem
from schema.names import Mode, tenant_id
from schema.records import NightReport, Tenant
from serving.bodies import Fleet, FleetLine, NewTenant, TenantLine
from serving.deps import AllStores, Board, WhoAsks
from serving.guard import Guarded
from storage.stores import Stores
from tenants.order import zone

router = APIRouter(route_class=Guarded, tags=["fleet"])


@router.get("/tenants", summary="Every tenant")
def tenants(stores: AllStores) -> list[TenantLine]:
    """By name."""
    return [_line(tenant) for tenant in stores.ledger.tenants()]


@router.post("/tenants", summary="Register a tenant")
def new_tenant(body: NewTenant, caller: WhoAsks, stores: AllStores, board: Board) -> TenantLine:
    """It is on, with the template's settings, and serves after its first delivery and night."""
    zone(body.timezone)
    made = stores.ledger.register(
        tenant_id(body.tenant),
        f"t{secrets.token_hex(8)}",
        body.title or body.tenant,
        body.timezone,
        by=caller.actor,
        at=datetime.now(UTC),
    )
    stores.inboxes.folder(made)
    board.refresh()
    return _line(made)


@router.get("/fleet", summary="What every tenant serves, how old it is, and why")
def fleet(stores: AllStores) -> Fleet:
    """Counts over all, and a line for each by name."""
    now, nights = datetime.now(UTC), stores.nights.last_nights()
    lines = [
        _served(stores, tenant, nights.get(tenant.tenant), now)
        for tenant in stores.ledger.tenants()
    ]
    return Fleet(
        tenants=len(lines),
        modes={mode: sum(line.mode is mode for line in lines) for mode in Mode},
        verdicts=Counter(line.verdict for line in lines if line.verdict),
        without_edition=sum(line.edition is None for line in lines),
        lines=lines,
    )


def _line(tenant: Tenant) -> TenantLine:
    return TenantLine(
        tenant=tenant.tenant, title=tenant.title, timezone=tenant.timezone, mode=tenant.mode
    )


def _served(stores: Stores, tenant: Tenant, night: NightReport | None, now: datetime) -> FleetLine:
    """One damaged pointer must not hide the other tenants: it shows as no edition, with its code."""
    current, problem = None, None
    try:
        current = stores.editions.current(tenant.uid)
    except Problem as found:
        problem = found.code
    return FleetLine(
        tenant=tenant.tenant,
        mode=tenant.mode,
        edition=current.edition if current else None,
        published_at=current.published_at if current else None,
        age_hours=(now - current.published_at).total_seconds() / 3600 if current else None,
        problem=problem,
        night=night.night if night else None,
        verdict=night.outcome if night else None,
        because=night.because if night else None,
    )
