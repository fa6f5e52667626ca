"""Who did what: all of it for the operator, each tenant's own for its admin."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from schema.names import Role
from schema.records import Key
from serving.bodies import InstallationAct, TenantAct
from serving.control import Denied
from serving.deps import AllStores, Caller, ForAdmin

router = APIRouter()

Before = Annotated[int | None, Query(gt=0, lt=2**63, description="only lines before this one")]
Limit = Annotated[int, Query(ge=1, le=1000)]


async def operator(key: Caller) -> Key:
    """Only the whole installation's keeper.

    Raises:
        Denied: 403, the key is a tenant's.
    """
    if key.role is not Role.OPERATOR:
        raise Denied(
            403,
            f"a key with the role {key.role} may not do this",
            f"ask for a key with the role {Role.OPERATOR}",
            "ROLE",
        )
    return key


@router.get(
    "/audit",
    tags=["operator"],
    summary="Who did what, in every tenant and to the installation",
    dependencies=[Depends(operator)],
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
    tenant: ForAdmin, stores: AllStores, before: Before = None, limit: Limit = 100
) -> list[TenantAct]:
    """Newest first; ``before`` is a ``number``, which counts this tenant's lines alone."""
    return [
        TenantAct(**line.as_json()) for line in stores.audit.of(tenant.tenant, limit, before=before)
    ]
