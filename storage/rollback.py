"""Go back to an edition: one act for the command line and for HTTP."""

from datetime import datetime, timedelta
from typing import Any

from schema.errors import Problem
from schema.records import Tenant
from storage.editions import Current
from storage.stores import Stores


def activate(
    stores: Stores,
    tenant: Tenant,
    number: int,
    *,
    hold: timedelta,
    by: str,
    why: str,
    now: datetime,
) -> None:
    """Serve an edition that was published before, after checking every byte of it.

    Raises:
        NotThere: there is no such edition.
        Problem: its files, or its model's, are gone or damaged; what is served stays.
    """

    def point(row: Any, fence: int) -> None:
        try:
            stores.models.load(tenant.uid, row.model)
        except Problem as problem:
            if problem.code != "MODEL_VERSION":  # its bytes are whole; the next night starts again
                raise
        stores.editions.check(tenant.uid, number, row.manifest_sha256)
        stores.editions.point(tenant.uid, Current(number, row.manifest_sha256, fence, now))

    stores.nights.activate(tenant.tenant, number, point, hold=hold, by=by, why=why, now=now)
