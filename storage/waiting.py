"""A person's word that a held delivery is of no use: one act for the command line and for HTTP.

The other word, release, imports the delivery again and is a job (jobs/release.py).
"""

from datetime import datetime

from schema.names import Delivered
from schema.records import Tenant
from storage.stores import Stores


def discard(
    stores: Stores, tenant: Tenant, batch: str, *, by: str, why: str, now: datetime
) -> None:
    """Remove a held delivery's files; its report stays.

    Raises:
        NotThere, Refused: it does not wait for anybody's word; the code says why.
        Problem: it is being released at this moment (``HOLD_BUSY``).
    """
    with stores.aside.settling(tenant.uid):
        held = stores.imports.delivery(tenant.tenant, batch, Delivered.HELD)
        stores.imports.settle(
            tenant.tenant, held.number, Delivered.DISCARDED, by=by, why=why, at=now
        )
        stores.aside.remove(tenant.uid, held.hashes)
