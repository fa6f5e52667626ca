"""Add a tenant's rule: one act for the command line and for HTTP."""

from datetime import datetime

import pyarrow.compute as pc

from schema.errors import Refused
from schema.records import Rule, Tenant
from storage.stores import Stores


def add_rule(stores: Stores, tenant: Tenant, rule: Rule, *, now: datetime) -> Rule:
    """Keep a rule that was written (``schema.rules.written``), if it is about something there is.

    A rule about a product or category that is not in the accepted catalogue is refused: a
    misspelt one would do nothing, and nobody would notice. If its product leaves the catalogue
    later, the rule stays and waits.

    Returns:
        The rule with its number.

    Raises:
        Refused: there is no such product or category (``RULE_UNKNOWN_REF``), no catalogue yet
            (``DATA_MISSING``), or the rule does not go with the others.
    """
    for column, name in (("product_id", rule.product), ("category", rule.category)):
        if name is None:
            continue
        known = stores.datasets.read(tenant.uid, "products")[column]
        if not pc.any(pc.equal(known, name)).as_py():
            word = column.removesuffix("_id")
            raise Refused(
                f"there is no {word} {name[:80]!r} in the catalogue",
                "write it as in the imported products, or import them first",
                code="RULE_UNKNOWN_REF",
            )
    return stores.ledger.add_rule(tenant.tenant, rule, at=now)
