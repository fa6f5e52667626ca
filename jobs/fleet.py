"""The whole night: who is due, in which order, on which executor."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from jobs.erasing import finish
from jobs.executors import Executor, InProcess, Processes, Result, Task
from schema.config import Config
from schema.errors import Problem
from schema.names import Mode, Outcome, TenantId
from schema.records import NightReport, Tenant
from storage.stores import Stores
from tenants.lifecycle import business_date
from tenants.order import zone

log = logging.getLogger("recfactory.fleet")


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

    def keep(result: Result) -> None:
        results.append(result)
        done(result)

    if tasks:
        _deliver(stores)
        finish(stores, datetime.now(UTC))  # before: who is erased is in no list of tonight
        executor(stores, config, tasks).run(tasks, keep)
    return sorted(results, key=tenant_of)


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
