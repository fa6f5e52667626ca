"""The nightly wave: every tenant's night at its own local midnight, by APScheduler.

One job runs every few minutes and starts whatever is due by then: time zones lie whole quarters
of an hour apart, a restart catches up by itself, and a clock change can neither skip nor double a
night, because a night is named by its tenant and business date and the ledger lets it run once.
"""

import logging
from datetime import UTC, datetime

from apscheduler.schedulers.blocking import BlockingScheduler

from jobs.fleet import due, run_fleet
from jobs.upkeep import look_after
from schema.config import Config
from schema.errors import FactoryError, Problem
from schema.names import TenantId
from schema.records import NightReport
from storage.stores import Stores

log = logging.getLogger("recfactory.schedule")


def wave(stores: Stores, config: Config, now: datetime) -> int:
    """Run what is due at this moment; returns how many tenants that were."""
    tasks = due(stores, now)
    for result in run_fleet(stores, config, tasks, lambda _: None):
        if isinstance(result, NightReport):
            log.info("%s, %s: %s, %s", result.tenant, result.night, result.outcome, result.because)
        else:
            log.error("%s, %s: %s", result.task.tenant, result.task.night, result.because)
    for task in tasks:
        _look_after(stores, task.tenant, now)
    return len(tasks)


def _look_after(stores: Stores, name: TenantId, now: datetime) -> None:
    """Once a day, after the tenant's night; what goes wrong is told, and tried again tomorrow."""
    try:
        look_after(stores, name, now)
    except (Problem, FactoryError, OSError) as error:
        log.error("%s, upkeep: %s", name, error)


def scheduler(stores: Stores, config: Config) -> BlockingScheduler:
    """A scheduler that runs a wave now and then every ``nightly.wave_minutes``."""
    clock = BlockingScheduler(timezone=UTC)
    clock.add_job(
        lambda: wave(stores, config, datetime.now(UTC)),
        "cron",
        minute=f"*/{config.nightly.wave_minutes}",
        next_run_time=datetime.now(UTC),
        coalesce=True,  # waves missed in a long one are made up by the next
        max_instances=1,
        misfire_grace_time=None,  # the default drops a wave that is a second late
    )
    return clock
