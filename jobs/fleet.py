"""The whole night: who is due, in which order, on which executor."""

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zlib import crc32

from jobs.again import ready
from jobs.brake import Alike, Waves, braked, signs, waves
from jobs.deadline import DEADLINE, in_time, late
from jobs.erasing import finish
from jobs.executors import Executor, InProcess, Processes, workers
from jobs.night import Begun, begin, conclude, failed, unmake
from jobs.results import Failure, Result, Task, tenant_of
from jobs.room import check_room
from schema.config import Config
from schema.errors import FactoryError, Problem, Refused
from schema.names import Again, Mode, Outcome, Stage, TenantId
from schema.records import Before, Conclusion, Lease, NightReport, Tenant
from storage.database import LedgerAway, patiently
from storage.stores import Stores
from tenants.lifecycle import business_date
from tenants.order import zone

log = logging.getLogger("recfactory.fleet")


_AT_ONCE = 64
"""Leases taken, or nights published, in one transaction."""

_WEEK = 7


_T = TypeVar("_T")


def executor(stores: Stores, config: Config, tasks: Sequence[Task]) -> Executor:
    """The configured one; a single tenant is not worth a process."""
    if config.nightly.executor == "in-process" or len(tasks) == 1:
        return InProcess(stores, config)
    return _cluster(config) if config.nightly.executor == "ray" else Processes(config)


def _cluster(config: Config) -> Executor:
    try:  # an extra: only who wants it waits for it
        cluster = importlib.import_module("jobs.cluster")
    except ModuleNotFoundError as missing:
        raise Refused(
            f"nightly.executor is ray, and {missing.name} is not installed",
            "install requirements-ray.lock beside requirements.lock: docs/cluster.md",
            code="RAY_MISSING",
        ) from missing
    made: Executor = cluster.Ray(config)
    return made


def tonight(
    stores: Stores, names: Sequence[TenantId], night: date | None, now: datetime
) -> list[Task]:
    """One task a tenant, largest first, so that the last to end is small.

    By last night's cost; before a first night, by how much data there is.

    Args:
        night: the business date; None takes each tenant's own, in its time zone.
    """
    last = stores.nights.last_nights()
    cost = {tenant: report.likely_seconds for tenant, report in last.items()}
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

    One that was interrupted is due again, or stopped by the fleet's brake; while another process is
    at it, it is refused politely. One that failed is due again as jobs/again.py has it, and not for
    ever.
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
        run = patiently(stores.engine, lambda: _Run(stores, config, keep))
        asks = [(task.tenant, task.night) for task in tasks]
        check_room(stores, config.nightly, asks, run.last)
        _deliver(stores)
        # before: who is erased is in no list of tonight
        patiently(stores.engine, lambda: finish(stores, datetime.now(UTC)))
        if brake := patiently(stores.engine, stores.brakes.on):
            for task in tasks:
                keep(task, braked(brake.because))
        else:
            run.run(executor(stores, config, tasks), tasks)
    return sorted(results, key=tenant_of)


class _Stopped(Exception):
    """Nothing more of a run is published; raised through the executor, whose workers end with it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class _Run:
    """One run of the fleet: begins nights when they are asked for, and publishes what they came to."""

    def __init__(
        self, stores: Stores, config: Config, keep: Callable[[Task, NightReport | Problem], None]
    ) -> None:
        self._stores, self._config, self._keep = stores, config, keep
        self._lease = timedelta(minutes=config.nightly.tenant_minutes)
        self.last = stores.nights.last_nights()
        self._at_once = len(stores.ledger.tenants()) <= config.nightly.searches
        self._left: list[Task] = []
        self._held: dict[TenantId, Begun] = {}
        self._sealed: list[tuple[Begun, Conclusion]] = []
        self._waves = Waves([[]], config.nightly.brake)
        self._began = self._extended = _clock()

    def run(self, executor: Executor, tasks: Sequence[Task]) -> None:
        """All of it; where it is stopped, every night that is left is told so."""
        try:
            executor.run(self.begun(tasks), self.publish)
            self.publish([])  # the last ones may have waited for one that could not be begun
        except _Stopped as stopped:
            self._stop(stopped.problem)

    def begun(self, tasks: Sequence[Task]) -> Iterator[Begun]:
        """Nights that may be worked on; the others are told at once."""
        self._left = self._planned(tasks)
        for night in self._leased():
            yield self._in_turn(night)

    def _leased(self) -> Iterator[Begun]:
        """Take the leases of the tasks that are left; those that need none, or get none, are told."""
        while self._left:
            some, self._left = self._left[:_AT_ONCE], self._left[_AT_ONCE:]
            asks = [(task.tenant, task.night) for task in some]
            try:
                found = begin(self._stores, self._config, asks, _clock)
            except LedgerAway as away:  # nothing more can be begun: a later run does these
                for task in [*some, *self._left]:
                    self._without(task, away)
                self._left = []
                return
            started = [night for night in found if isinstance(night, Begun)]
            self._held |= {night.tenant.tenant: night for night in started}
            for task, night in zip(some, found, strict=True):
                if not isinstance(night, Begun):
                    self._without(task, night)
            yield from started

    def _without(self, task: Task, told: NightReport | Problem) -> None:
        self._waves.without(task.tenant)
        self._keep(task, told)

    def _planned(self, tasks: Sequence[Task]) -> list[Task]:
        """Wave after wave; those that will hardly be in time, and those that were done, at the end."""
        known = {task for task in tasks if _done(self.last.get(task.tenant), task)}
        new = [task for task in tasks if task not in known]
        after: list[Task] = []
        if minutes := self._config.nightly.deadline_minutes:
            budget = minutes * 60 * workers(self._config.nightly)
            value = _values(self._stores, self._config, self.last)
            cost = {tenant: report.likely_seconds for tenant, report in self.last.items()}
            new, after = in_time(new, cost, value, budget)
        rule = self._config.nightly.brake
        *samples, rest = waves(new, rule, max((task.night for task in new), default=None))
        order = [*samples, [*rest, *after]]
        self._waves = Waves([[task.tenant for task in wave] for wave in order], rule)
        return [task for wave in order for task in wave] + [t for t in tasks if t in known]

    def _in_turn(self, night: Begun) -> Begun:
        """Let it look for hyper-parameters, in a large fleet only on a night of its own: else all
        whose first night falls on one date would do so on that date, and again and again.
        """
        every = self._config.template.tuning.every_days
        return replace(night, searches=self._at_once or in_turn(night.before, night.lease, every))

    def publish(self, worked: Sequence[tuple[Begun, Conclusion]]) -> None:
        """Publish nights that were worked on, as soon as their wave may be; keep the leases of
        those that wait.

        Raises:
            _Stopped: the brake, or the deadline, says that no more is published.
        """
        for night, conclusion in worked:
            self._judge(night, conclusion)
        self._sealed += worked
        if alike := self._waves.alike():
            self._brake(alike)
        ready = [one for one in self._sealed if self._waves.may_publish(one[0].tenant.tenant)]
        for some in _batched(ready, _AT_ONCE):
            self._in_time()
            self._conclude(some)
        self._in_time()
        self._extend()

    def _judge(self, night: Begun, conclusion: Conclusion) -> None:
        if conclusion.edition is None and conclusion.outcome is not Outcome.FAILED:
            self._waves.without(night.tenant.tenant)  # frozen or off: it tells nothing
            return
        last = (r.figures for r in night.before.published if "lists" in r.figures)
        found = signs(conclusion, next(last, {}), self._config.nightly.brake)
        self._waves.ended(night.tenant.tenant, found)

    def _conclude(self, some: Sequence[tuple[Begun, Conclusion]]) -> list[NightReport | Problem]:
        try:
            serves = any(conclusion.edition for _, conclusion in some)
            if serves and (brake := self._stores.brakes.on()):  # another driver's
                raise _Stopped(braked(brake.because))
            reports = conclude(self._stores, self._config, some, _clock)
        except LedgerAway as away:
            reports = [away] * len(some)
        told = {night.tenant.tenant for night, _ in some}
        self._sealed = [one for one in self._sealed if one[0].tenant.tenant not in told]
        for (night, _), report in zip(some, reports, strict=True):
            self._held.pop(night.lease.tenant, None)
            self._keep(Task(night.lease.tenant, night.lease.night), report)
        return reports

    def _brake(self, alike: Alike) -> None:
        try:
            self._stores.brakes.pull(alike.wave, alike.sign, alike.because, at=_clock())
        except LedgerAway as away:  # this run stops all the same
            log.error("the brake could not be kept for later runs: %s", away)
        raise _Stopped(braked(alike.because))

    def _in_time(self) -> None:
        minutes = self._config.nightly.deadline_minutes
        if minutes and _clock() >= self._began + timedelta(minutes=minutes):
            raise _Stopped(late(minutes))

    def _stop(self, problem: Problem) -> None:
        """Nights that are sealed or were at work have failed; what they would have served is removed.

        Those that were never begun are recorded at a deadline only: then they are due again
        tomorrow, while a brake that a person releases lets them run.
        """
        log.error("%s", problem)
        if problem.code == DEADLINE:
            for _ in self._leased():
                pass
        own = {night.tenant.tenant: end for night, end in self._sealed if end.edition is None}
        while self._held:
            some = [*self._held.values()][:_AT_ONCE]
            ends = [own.get(night.tenant.tenant) or _untimely(night, problem) for night in some]
            reports = self._conclude([*zip(some, ends, strict=True)])
            for night, report in zip(some, reports, strict=True):
                if isinstance(report, NightReport):
                    unmake(self._stores, night)
        for task in self._left:
            self._keep(task, problem)

    def _extend(self) -> None:
        """A lease is as long as one night may take; those that wait have theirs extended."""
        now = _clock()
        if now < self._extended + self._lease / 3:
            return
        try:
            leases = [night.lease for night in self._held.values()]
            self._stores.nights.extend(leases, self._lease, now=now)
        except LedgerAway as away:  # who takes them over now works twice, and publishes once
            log.warning("%s", away)
        self._extended = now


def _untimely(night: Begun, problem: Problem) -> Conclusion:
    told = str(FactoryError(problem, night.tenant.tenant, Stage.PUBLISH))
    again = Again.BY_HAND if problem.code == DEADLINE else Again.SOON
    return failed(night.lease, told, problem.code, attempts=night.lease.attempts, again=again)


def _done(report: NightReport | None, task: Task) -> bool:
    return (
        report is not None
        and report.night == task.night
        and report.outcome not in (None, Outcome.FAILED)
    )


def _values(
    stores: Stores, config: Config, last: Mapping[TenantId, NightReport]
) -> dict[TenantId, float]:
    """What a tenant's night is worth: its setting, or how many customers have lists."""
    lists = {tenant: report.figures.get("lists", 0) for tenant, report in last.items()}
    worth = {
        tenant.tenant: tenant.changes.get("value", config.template.value)
        or lists.get(tenant.tenant, 0)
        for tenant in stores.ledger.tenants()
    }
    return {tenant: value for tenant, value in worth.items() if value}


def in_turn(before: Before, lease: Lease, every_days: int) -> bool:
    """Whether a night on which the tenant may look for hyper-parameters came since its last one.

    Its first search has one night of ``every_days``, by its name; later ones are due so long after
    it, and where its lists got worse before that, on its day of the week. It depends on nothing
    that other tenants do, nor on who runs the night or how often.
    """
    last = next(iter(before.published), None)
    nights = (lease.night - last.night).days if last else 1
    days = every_days if before.choice is None else _WEEK
    return (lease.night.toordinal() - crc32(lease.tenant.encode())) % days < nights


def _batched(many: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(many), size):
        yield many[start : start + size]


def _clock() -> datetime:
    return datetime.now(UTC)


def _deliver(stores: Stores) -> None:
    """Feedback that a server left in its spool belongs to tonight's data; the night runs anyway."""
    try:
        stores.feedback.deliver()
    except (Problem, OSError) as error:
        log.warning("spooled feedback waits for another night: %s", error)


def _date_of(tenant: Tenant, now: datetime) -> date:
    return business_date(now, zone(tenant.timezone))
