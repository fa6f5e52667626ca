"""A night that failed: tried again soon, once other data came, or only by a person.

What may pass by itself (a worker that was lost, a disk or a ledger that was away) is tried again by
the waves of ``recfactory schedule``, after a pause that grows and is not the same for all, and
``nightly.attempts`` times a date in all. What would fail again is not. A driver that was killed
counts for none of the nights it had begun: nobody can tell which of them were at work.
"""

import random
from dataclasses import replace
from datetime import datetime, timedelta

from jobs.brake import FLEET_BRAKE
from jobs.deadline import DEADLINE
from schema.config import Nightly
from schema.errors import Problem
from schema.names import Again, Outcome
from schema.records import Conclusion, NightReport, Tenant
from storage.stores import Stores


def with_fate(conclusion: Conclusion, nightly: Nightly, now: datetime) -> Conclusion:
    """A failed night that shall be tried again: not before when, or given up after so many attempts."""
    figures = conclusion.figures
    if figures.get("again") != Again.SOON or conclusion.outcome is not Outcome.FAILED:
        return conclusion
    attempts = figures["attempts"]
    if attempts >= nightly.attempts:
        return replace(conclusion, figures={**figures, "again": Again.BY_HAND.value})
    minutes = nightly.wave_minutes * 2 ** (attempts - 1)
    pause = timedelta(minutes=minutes * random.uniform(1, 2))  # noqa: S311 (spread, not secret)
    return replace(conclusion, figures={**figures, "again_at": (now + pause).isoformat()})


def ready(stores: Stores, tenant: Tenant, report: NightReport, now: datetime) -> bool:
    """Whether a wave takes this night up again by itself."""
    if report.figures.get("code") == FLEET_BRAKE:
        return True  # a person has released it
    match report.figures.get("again"):
        case Again.SOON:
            return now >= datetime.fromisoformat(report.figures["again_at"])
        case Again.DATA:
            # what an earlier version refused did not note it, and is worth one more look
            known = report.figures.get("accepted_fingerprint")
            return bool(accepted_fingerprint(stores, tenant) != known)
    return False


def accepted_fingerprint(stores: Stores, tenant: Tenant) -> str:
    """Of the accepted data; empty where there are none, or none that can be read."""
    try:
        dataset = stores.datasets.of(tenant.uid)
    except Problem:
        return ""
    return dataset.fingerprint if dataset else ""


def given_up(report: NightReport) -> bool:
    """Whether only a person tries it again: a dead letter."""
    told = report.figures
    return told.get("again") == Again.BY_HAND and told.get("code") != DEADLINE


def outlook(report: NightReport) -> str:
    """What becomes of a night that failed, and what a person can do, in one sentence."""
    figures = report.figures
    by_hand = f"`recfactory night {report.tenant} --date {report.night}`"
    if figures.get("code") == FLEET_BRAKE:
        return "see `recfactory fleet show`, mend the cause, then `recfactory fleet release`"
    if figures.get("code") == DEADLINE:
        return f"nothing, its next night does it; or run {by_hand}"
    match figures.get("again"):
        case Again.SOON:
            at = datetime.fromisoformat(figures["again_at"])
            return f"`recfactory schedule` tries again after {at:%H:%M} UTC; or mend the cause above, then run {by_hand}"
        case Again.DATA:
            return f"mend the data or settings, then run {by_hand}; `recfactory schedule` does once other data came"
        case Again.BY_HAND:
            times = figures["attempts"]
            return f"given up after {times} attempt{'s' * (times != 1)}; mend the cause above, then repeat by hand with {by_hand}"
    return f"mend the cause above, then run {by_hand}"
