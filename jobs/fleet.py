"""The whole night: who is due, in which order, on which executor."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from jobs.executors import Executor, InProcess, Processes
from jobs.night import Begun, begin, conclude
from schema.config import Config
from schema.errors import FactoryError, Problem
from schema.names import Mode, Outcome, Stage, TenantId
from schema.records import Conclusion, NightReport, Tenant
from storage.stores import Stores
from tenants.lifecycle import business_date
from tenants.order import zone

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


Result = NightReport | Failure


def executor(stores: Stores, config: Config, tasks: Sequence[Task]) -> Executor:
    """The configured one; a single tenant is not worth a process."""
    if config.nightly.executor == "in-process" or len(tasks) == 1:
        return InProcess(stores, config)
    return Processes(config)


def tonight(
    stores: Stores, names: Sequence[TenantId], night: date | None, now: datetime
) -> list[Task]:
    """One task a tenant, largest first by last night's cost, so that the last to end is small.

    Args:
        night: the business date; None takes each tenant's own, in its time zone.
    """
    cost = {
        tenant: sum(report.figures.get("seconds", {}).values())
        for tenant, report in stores.nights.last_nights().items()
    }
    tenants = [stores.ledger.tenant(name) for name in names]
    tenants.sort(key=lambda tenant: (-cost.get(tenant.tenant, 0.0), tenant.tenant))
    return [Task(tenant.tenant, night or _date_of(tenant, now)) for tenant in tenants]


def due(stores: Stores, now: datetime) -> list[Task]:
    """Nights that should be done by now: each tenant's business date, if it has none yet.

    One that was interrupted is due again; while another process is at it, it is refused politely.
    A frozen tenant is due too (its night is recorded, and only looks back at what it serves); one
    that is off is not.
    """
    last = stores.nights.last_nights()
    tasks = []
    for tenant in stores.ledger.tenants():
        night = _date_of(tenant, now)
        report = last.get(tenant.tenant)
        undone = report is None or report.night < night or report.finished_at is None
        if tenant.mode is not Mode.OFF and undone:
            tasks.append(Task(tenant.tenant, night))
    return tasks


def run_fleet(
    stores: Stores, config: Config, tasks: Sequence[Task], done: Callable[[Result], None]
) -> list[Result]:
    """Run the tasks on the configured executor.

    Returns:
        Every result, sorted by tenant.
    """
    results: list[Result] = []

    def keep(task: Task, report: NightReport | Problem) -> None:
        if isinstance(report, NightReport):
            result: Result = report
        else:
            result = Failure(task, str(FactoryError(report, task.tenant, Stage.PUBLISH)))
        results.append(result)
        done(result)

    def publish(worked: Sequence[tuple[Begun, Conclusion]]) -> None:
        reports = conclude(stores, config, worked, _clock)
        for (begun, _), report in zip(worked, reports, strict=True):
            keep(Task(begun.lease.tenant, begun.lease.night), report)

    if tasks:
        _deliver(stores)
        executor(stores, config, tasks).run(_begun(stores, config, tasks, keep), publish)
    return sorted(results, key=tenant_of)


def _begun(
    stores: Stores,
    config: Config,
    tasks: Sequence[Task],
    keep: Callable[[Task, NightReport | Problem], None],
) -> Iterator[Begun]:
    """Nights that may be worked on, begun when they are asked for; the others are told at once."""
    for some in _batched(tasks, _BEGUN_AT_ONCE):
        asks = [(task.tenant, task.night) for task in some]
        for task, begun in zip(some, begin(stores, config, asks, _clock), strict=True):
            if isinstance(begun, Begun):
                yield begun
            else:
                keep(task, begun)


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


def flagged(report: NightReport) -> bool:
    """Whether what was served turned out to be a case for a person (factory/realised.py)."""
    return bool((report.figures.get("realised") or {}).get("flagged"))


def _date_of(tenant: Tenant, now: datetime) -> date:
    return business_date(now, zone(tenant.timezone))


def tenant_of(result: Result) -> TenantId:
    """Whose result it is."""
    return result.tenant if isinstance(result, NightReport) else result.task.tenant
