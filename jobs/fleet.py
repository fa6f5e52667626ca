"""The whole night: who is due, in which order, on which executor."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from jobs.again import ready
from jobs.erasing import finish
from jobs.executors import Executor, InProcess, Processes
from jobs.night import Begun, begin, conclude, search_due
from jobs.room import check_room
from schema.config import Config
from schema.errors import FactoryError, Problem
from schema.names import Mode, Outcome, Stage, TenantId
from schema.records import Conclusion, Lease, NightReport, Tenant
from schema.settings import TenantSettings
from storage.database import LedgerAway
from storage.stores import Stores
from tenants.lifecycle import business_date
from tenants.order import settings_of, zone

log = logging.getLogger("recfactory.fleet")


_BEGUN_AT_ONCE = 32
"""Leases taken in one transaction."""


@dataclass(frozen=True, slots=True)
class Task:
    """One tenant's night."""

    tenant: TenantId
    night: date


@dataclass(frozen=True, slots=True)
class Failure:
    """A night that came to no report of its own: refused, or overtaken."""

    task: Task
    because: str
    code: str


Result = NightReport | Failure


def executor(stores: Stores, config: Config, tasks: Sequence[Task]) -> Executor:
    """The configured one; a single tenant is not worth a process."""
    if config.nightly.executor == "in-process" or len(tasks) == 1:
        return InProcess(stores, config)
    return Processes(config)


def tonight(
    stores: Stores, names: Sequence[TenantId], night: date | None, now: datetime
) -> list[Task]:
    """One task a tenant, largest first, so that the last to end is small.

    By last night's cost; before a first night, by how much data there is.

    Args:
        night: the business date; None takes each tenant's own, in its time zone.
    """
    cost = {
        tenant: sum(report.figures.get("seconds", {}).values())
        for tenant, report in stores.nights.last_nights().items()
    }
    known = {tenant.tenant: tenant for tenant in stores.ledger.tenants()}
    tenants = [known.get(name) or stores.ledger.tenant(name) for name in names]
    weight = {
        tenant.tenant: stores.datasets.weight(tenant.uid)
        for tenant in tenants
        if not cost.get(tenant.tenant)
    }
    tenants.sort(
        key=lambda tenant: (
            -cost.get(tenant.tenant, 0.0),
            -weight.get(tenant.tenant, 0),
            tenant.tenant,
        )
    )
    return [Task(tenant.tenant, night or _date_of(tenant, now)) for tenant in tenants]


def due(stores: Stores, now: datetime) -> list[Task]:
    """Nights that should be done by now: each tenant's business date, if it has none yet.

    One that was interrupted is due again; while another process is at it, it is refused politely.
    One that failed is due again as jobs/again.py has it, and not for ever.
    A frozen tenant is due too (its night is recorded, and only looks back at what it serves); one
    that is off is not.
    """
    last = stores.nights.last_nights()
    tasks = []
    for tenant in stores.ledger.tenants():
        night = _date_of(tenant, now)
        report = last.get(tenant.tenant)
        undone = report is None or report.night < night or report.finished_at is None
        again = report is not None and report.night == night and ready(stores, tenant, report, now)
        if tenant.mode is not Mode.OFF and (undone or again):
            tasks.append(Task(tenant.tenant, night))
    return tasks


def run_fleet(
    stores: Stores, config: Config, tasks: Sequence[Task], done: Callable[[Result], None]
) -> list[Result]:
    """Run the tasks on the configured executor.

    Returns:
        Every result, sorted by tenant.

    Raises:
        Problem: there is too little room on disk (``DISK_SPACE``); nothing was begun.
    """
    results: list[Result] = []

    def keep(task: Task, report: NightReport | Problem) -> None:
        if isinstance(report, NightReport):
            result: Result = report
        else:
            because = str(FactoryError(report, task.tenant, Stage.PUBLISH))
            result = Failure(task, because, report.code)
        results.append(result)
        done(result)

    if tasks:
        run = _Run(stores, config, keep)
        asks = [(task.tenant, task.night) for task in tasks]
        check_room(stores, config.nightly, asks, run.last)
        _deliver(stores)
        finish(stores, datetime.now(UTC))  # before: who is erased is in no list of tonight
        executor(stores, config, tasks).run(run.begun(tasks), run.publish)
    return sorted(results, key=tenant_of)


class _Run:
    """One run of the fleet: begins nights when they are asked for, and publishes what they came to."""

    def __init__(
        self, stores: Stores, config: Config, keep: Callable[[Task, NightReport | Problem], None]
    ) -> None:
        self._stores, self._config, self._keep = stores, config, keep
        self._lease = timedelta(minutes=config.nightly.tenant_minutes)
        self.last = stores.nights.last_nights()
        self._searched = Counter(
            report.night for report in self.last.values() if report.figures.get("searched")
        )
        self._held: dict[TenantId, Lease] = {}
        self._extended = _clock()

    def begun(self, tasks: Sequence[Task]) -> Iterator[Begun]:
        """Nights that may be worked on; the others are told at once."""
        left = list(_batched(tasks, _BEGUN_AT_ONCE))
        while left:
            some = left.pop(0)
            asks = [(task.tenant, task.night) for task in some]
            try:
                found = begin(self._stores, self._config, asks, _clock)
            except LedgerAway as away:  # nothing more can be begun: a later run does these
                for task in [*some, *(task for batch in left for task in batch)]:
                    self._keep(task, away)
                return
            started = [self._rationed(night) for night in found if isinstance(night, Begun)]
            self._held |= {night.tenant.tenant: night.lease for night in started}
            for task, night in zip(some, found, strict=True):
                if not isinstance(night, Begun):
                    self._keep(task, night)
            yield from started

    def _rationed(self, night: Begun) -> Begun:
        """Let it look for hyper-parameters only while the date's ration lasts: in a fleet whose
        first nights all fall on one date, every search would be due on every such date. What was
        searched before a kill counts, so that the same tenants are in the end.
        """
        left = self._config.nightly.searches - self._searched[night.lease.night]
        searches = left > 0 and may_search(self._config.template, night)
        self._searched[night.lease.night] += searches
        return replace(night, searches=searches)

    def publish(self, worked: Sequence[tuple[Begun, Conclusion]]) -> None:
        """Publish nights that were worked on, and keep the leases of those that wait."""
        try:
            reports = conclude(self._stores, self._config, worked, _clock) if worked else []
        except LedgerAway as away:
            reports = [away] * len(worked)
        for (night, _), report in zip(worked, reports, strict=True):
            self._held.pop(night.lease.tenant, None)
            self._keep(Task(night.lease.tenant, night.lease.night), report)
        self._extend()

    def _extend(self) -> None:
        """A lease is as long as one night may take; those behind a long one have theirs extended."""
        now = _clock()
        if now < self._extended + self._lease / 3:
            return
        try:
            self._stores.nights.extend([*self._held.values()], now + self._lease)
        except LedgerAway as away:  # who takes them over now works twice, and publishes once
            log.warning("%s", away)
        self._extended = now


def may_search(template: TenantSettings, night: Begun) -> bool:
    """Whether a search is due that may come to something: too small a tenant, or one where nothing
    was found to try of late, takes no other's place.
    """
    before, date_ = night.before, night.lease.night
    try:
        settings = settings_of(template, before.tenant.changes)
    except Problem:  # its night tells why
        return False
    last = next(iter(before.published), None)
    if last is not None and last.outcome is Outcome.TOO_SMALL:
        return False
    since = date_ - timedelta(days=settings.tuning.every_days)
    vain = before.choice is None and any(
        report.figures.get("searched") for report in before.published if report.night > since
    )
    return not vain and search_due(before, settings, date_)


def _batched(tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    for start in range(0, len(tasks), size):
        yield tasks[start : start + size]


def _clock() -> datetime:
    return datetime.now(UTC)


def _deliver(stores: Stores) -> None:
    """Feedback that a server left in its spool belongs to tonight's data; the night runs anyway."""
    try:
        stores.feedback.deliver()
    except (Problem, OSError) as error:
        log.warning("spooled feedback waits for another night: %s", error)


def exit_status(results: Sequence[Result]) -> int:
    """0 all well, 1 something failed, 3 a person has to look: a model is held, or what was served
    is flagged after the fact.
    """
    reports = [result for result in results if isinstance(result, NightReport)]
    if len(reports) < len(results) or any(r.outcome is Outcome.FAILED for r in reports):
        return 1
    return 3 if any(r.outcome is Outcome.HELD or flagged(r) for r in reports) else 0


def alarm(stores: Stores, results: Sequence[Result]) -> str | None:
    """What is wrong with a whole fleet's night, in one sentence, though each of it looks well by
    itself; None where nothing is.
    """
    modes = Counter(tenant.mode for tenant in stores.ledger.tenants())
    if not modes[Mode.ON]:
        frozen, off = modes[Mode.FREEZE], modes[Mode.OFF]
        return (
            f"no tenant is on ({frozen} frozen, {off} off): nobody gets new lists. Next: see "
            "`recfactory tenant list`, and turn on who should be."
        )
    codes = Counter(failure for result in results if (failure := _failure(result)))
    if len(results) > 1 and codes.total() == len(results):
        [(code, times)] = codes.most_common(1)
        return (
            f"all {len(results):,} nights failed, {times:,} with {code}. Next: look for what they "
            "share (disk, ledger, log) before any single one."
        )
    return None


def _failure(result: Result) -> str | None:
    """The code that a night failed with."""
    if not isinstance(result, NightReport):
        return result.code
    return result.figures.get("code", "") if result.outcome is Outcome.FAILED else None


def flagged(report: NightReport) -> bool:
    """Whether what was served turned out to be a case for a person (factory/realised.py)."""
    return bool((report.figures.get("realised") or {}).get("flagged"))


def _date_of(tenant: Tenant, now: datetime) -> date:
    return business_date(now, zone(tenant.timezone))


def tenant_of(result: Result) -> TenantId:
    """Whose result it is."""
    return result.tenant if isinstance(result, NightReport) else result.task.tenant
