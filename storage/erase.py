"""Erase a customer: one act for the command line and for HTTP. What it stops, it stops at once;
what is still stored, ``jobs.erasing`` removes.
"""

import re
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from schema.errors import Problem, Refused
from schema.records import Erasure, Tenant
from storage.stores import Stores


def erase(
    stores: Stores, tenant: Tenant, customer: str, *, by: str, why: str, now: datetime
) -> Erasure:
    """Show nothing of a customer from now on, take nothing in about them, and give a receipt.

    First for every server of this home, then in the ledger: as a key is revoked.

    Raises:
        Refused: the reason names the customer, and would be kept for ever (``WHY_NAMES``).
        Problem: the ledger is away (``LEDGER``); the customer is shown nowhere all the same.
    """
    if re.search(rf"(?<!\w){re.escape(customer)}(?!\w)", why):
        raise Refused(
            "the reason names the customer, and the audit trail would keep it for ever",
            "give a reason without the id, as the number of the request",
            code="WHY_NAMES",
        )
    mark = stores.erased.of(tenant.uid).of(customer)
    known = _known(stores, tenant, customer)
    stores.erased.add(tenant.uid, [mark])
    try:
        return stores.erasures.record(tenant.tenant, mark, known=known, by=by, why=why, at=now)
    except SQLAlchemyError as error:
        raise Problem(
            "the customer is shown nowhere any more, but the ledger could not be told",
            "erase them again when the ledger is back: that gives the receipt",
            code="LEDGER",
        ) from error


def unerase(
    stores: Stores, tenant: Tenant, customer: str, *, by: str, why: str, now: datetime
) -> Erasure:
    """Let a customer come back, as under a new contract: with the next import, and as a stranger.

    Raises:
        NotThere, Refused: see ``storage.erasures``.
    """
    mark = stores.erased.of(tenant.uid).of(customer)
    return stores.erasures.back(
        tenant.tenant,
        mark,
        lambda: stores.erased.remove(tenant.uid, mark),
        by=by,
        why=why,
        at=now,
    )


def _known(stores: Stores, tenant: Tenant, customer: str) -> bool:
    """Whether anything is stored or served under this id. What cannot be read, counts as yes."""
    try:
        return (
            stores.datasets.knows(tenant.uid, customer)
            or stores.editions.lists_of(tenant.uid, customer)
            or stores.feedback.knows(tenant.tenant, customer)
        )
    except (Problem, SQLAlchemyError):
        return True
