"""A person's word that a held delivery is right: it is imported as it came, and nothing holds it."""

from datetime import datetime

from jobs.intake import ImportReport, import_files
from schema.names import Delivered
from schema.records import Tenant
from schema.settings import IntakeSettings
from storage import durable
from storage.stores import Stores


def release(
    stores: Stores,
    tenant: Tenant,
    batch: str,
    limits: IntakeSettings,
    *,
    by: str,
    why: str,
    now: datetime,
) -> ImportReport:
    """Let a held delivery count; killed at any moment, it can be repeated.

    What a later delivery has replaced since stays: only the rest is taken.

    Raises:
        NotThere, Refused: it does not wait for anybody's word; the code says why.
        FactoryError: it cannot be used as things are now; it goes on waiting.
        Problem: it is being settled at this moment (``HOLD_BUSY``).
    """
    with durable.told(), stores.aside.settling(tenant.uid):
        held = stores.imports.delivery(tenant.tenant, batch, Delivered.HELD)
        files = stores.aside.files(tenant.uid, held.hashes)
        report = import_files(
            stores, tenant, files, limits, by=by, now=now, how=held.how, held=held, why=why
        )
        stores.aside.remove(tenant.uid, held.hashes)
    return report
