"""Look after accepted data: many small files become few, and what nobody needs any more goes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schema.errors import during
from schema.names import Stage, TenantId
from storage.stores import Stores

GRACE = timedelta(hours=6)
"""How long a file stays that no longer counts: no night and no export reads for so long."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done for one tenant.

    Attributes:
        merged: small files of interactions that became few.
        removed: files that had not counted for GRACE.
    """

    tenant: TenantId
    merged: int
    removed: int


def look_after(stores: Stores, name: TenantId, now: datetime) -> Upkeep:
    """Merge and clear one tenant's files, and the lines about deliveries that never counted; what
    counts, and its fingerprint, stay as they are.

    Raises:
        FactoryError: its data are damaged.
    """
    tenant = stores.ledger.tenant(name)
    with during(Stage.UPKEEP, tenant.tenant):
        merged = stores.datasets.compact(tenant.uid)
        removed = stores.datasets.clear(tenant.uid, now, GRACE)
        stores.imports.trim(tenant.tenant)
    return Upkeep(tenant.tenant, merged, len(removed))
