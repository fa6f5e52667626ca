"""A person's word on a held model: one act each for the command line and for HTTP.

The gate stays the only automatic way into force.
"""

from datetime import datetime

from schema.errors import Refused
from schema.records import Tenant
from storage.stores import Stores


def promote(
    stores: Stores, tenant: Tenant, number: int, *, by: str, why: str, now: datetime
) -> None:
    """Put a held model in force, after checking every byte of it; the next night ranks with it.

    Raises:
        NotThere, Refused: it does not wait for anybody's word; the code says why.
        Problem: its files are damaged; the model in force stays.
    """

    def check() -> None:
        _refuse_gone(stores, tenant, number)
        stores.models.load(tenant.uid, number)

    stores.nights.promote(tenant.tenant, number, check, by=by, why=why, now=now)


def discard(
    stores: Stores, tenant: Tenant, number: int, *, by: str, why: str, now: datetime
) -> None:
    """Throw a held model's files away; its verdict stays for ever.

    Raises:
        NotThere, Refused: it does not wait for anybody's word; the code says why.
    """

    def remove() -> None:
        _refuse_gone(stores, tenant, number)
        stores.models.discard(tenant.uid, number)

    stores.nights.discard(tenant.tenant, number, remove, by=by, why=why, now=now)


def _refuse_gone(stores: Stores, tenant: Tenant, number: int) -> None:
    if number not in stores.models.numbers(tenant.uid):
        raise Refused(
            f"the files of model {number} are gone: discarded, or older than the kept ones",
            "wait for the next night's challenger",
            code="MODEL_GONE",
        )
