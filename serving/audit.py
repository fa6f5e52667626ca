"""Who did what: all of it for the operator, each tenant's own for its admin."""

from typing import Annotated

from fastapi import APIRouter, Query

from serving.bodies import InstallationAct, TenantAct
from serving.deps import AllStores, TheTenant
from serving.guard import Guarded

router = APIRouter(route_class=Guarded)

Before = Annotated[int | None, Query(gt=0, lt=2**63, description="only lines before this one")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get(
    "/audit",
    tags=["operator"],
    summary="Who did what, in every tenant and to the installation",
)
def audit(stores: AllStores, before: Before = None, limit: Limit = 100) -> list[InstallationAct]:
    """Newest first; ``before`` is an ``id``. ``recfactory audit --verify`` checks the chains."""
    return [
        InstallationAct(id=line.id, **line.as_json())
        for line in stores.audit.all(limit, before=before)
    ]


@router.get(
    "/tenants/{tenant}/audit", tags=["tenant's admin"], summary="Who did what to this tenant"
)
def tenant_audit(
    tenant: TheTenant, stores: AllStores, before: Before = None, limit: Limit = 100
) -> list[TenantAct]:
    """Newest first; ``before`` is a ``number``, which counts this tenant's lines alone."""
    return [
        TenantAct(**line.as_json()) for line in stores.audit.of(tenant.tenant, limit, before=before)
    ]
