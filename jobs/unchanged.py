"""Whether anything came since the lists in force were made; if nothing did, they stay."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.metadata import version

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from jobs.data import fingerprint
from schema.dates import midnight
from schema.names import Outcome
from schema.records import Before, Conclusion, Lease, Rule
from schema.settings import TenantSettings
from storage.stores import Stores
from tenants.lifecycle import trains
from tenants.order import zone

_CODE = version("recfactory")

_LIKELY = ("lists", "bytes")
"""Figures by which a fleet plans the next night that makes something, beside what it may take."""


def unchanged(
    stores: Stores, before: Before, settings: TenantSettings, lease: Lease, now: datetime
) -> Conclusion | None:
    """The night's conclusion where it would only do the last one over again; None where not.

    The same content (a fingerprint, not a count), all of it known to the last night already, the
    same settings, rules and program, and lists whose days are not over: what they promise runs
    from their night for ``horizon_days`` days.

    Args:
        settings: without what the tenant's own search found, which comes from the same data.
    """
    tenant, night = before.tenant, lease.night
    last = next(iter(before.published), None)
    if last is None or settings.unchanged != "keep" or not trains(tenant.mode):
        return None
    told = last.figures
    known_until, days = told.get("newest"), told.get("horizon_days")
    if known_until is None or days is None or night >= last.night + timedelta(days=days):
        return None
    current = stores.editions.current(tenant.uid)
    if current is None or (current.edition, tenant.model) != (last.edition, last.model):
        return None
    if datetime.fromisoformat(known_until) >= midnight(last.night, zone(tenant.timezone)):
        return None  # time alone has brought rows to light that the last night was not to see
    data = fingerprint(stores, tenant, night, lease.feedback_until, heard=before.heard)
    if (data, made_from(settings, tenant.rules, now)) != (
        told.get("data_fingerprint"),
        told.get("made_from"),
    ):
        return None
    kept = {name: told[name] for name in _LIKELY if name in told}
    return Conclusion(
        Outcome.UNCHANGED,
        f"no new data since the night of {last.night}; its model and lists stay",
        {
            "data_fingerprint": data,
            "feedback_until": lease.feedback_until.isoformat(),
            "spared": last.seconds,
            **kept,
        },
    )


def newest(interactions: pa.Table) -> str | None:
    """When the newest interaction occurred, ISO 8601; None where there is none."""
    latest: datetime | None = pc.max(interactions["occurred_at"]).as_py()
    return None if latest is None else latest.isoformat()


def made_from(settings: TenantSettings, rules: Sequence[Rule], now: datetime) -> str:
    """A digest of all that lists are made from, beside data: settings, rules in force, program."""
    acting = [rule for rule in rules if rule.expires_at is None or rule.expires_at > now]
    told = {"settings": settings.model_dump(mode="json"), "rules": acting, "program": _CODE}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
