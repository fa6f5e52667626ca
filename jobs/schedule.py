"""The nightly wave: every tenant's night at its own local midnight, by APScheduler.

One job runs every few minutes and starts whatever is due by then: time zones lie whole quarters
of an hour apart, a restart catches up by itself, and a clock change can neither skip nor double a
night, because a night is named by its tenant and business date and the ledger lets it run once.
"""

import logging
from contextlib import closing
from datetime import UTC, datetime

from apscheduler.schedulers.blocking import BlockingScheduler

from jobs import erasing, leaving
from jobs.brake import braked
from jobs.collect import Collected, collect_fleet, waiting
from jobs.fleet import due, tonight
from jobs.pull import Came, pull_all
from jobs.runs import run
from jobs.upkeep import look_after
from schema.config import Config
from schema.errors import FactoryError, Problem, Refused
from schema.names import TenantId
from schema.records import Tenant
from storage.source import Source
from storage.stores import Stores

log = logging.getLogger("recfactory.schedule")


def wave(stores: Stores, config: Config, now: datetime) -> int:
    """Take in what was delivered, then run what is due; returns how many tenants that were.

    An inbox is looked into whenever something whole lies in it, and before its tenant's night.
    """
    erasing.finish(stores, now)  # what was erased by day is removed within the hour, whoever is due
    leaving.finish(stores, config.leaving, now)
    brake = stores.brakes.on()
    if brake is not None:
        log.error("%s", braked(brake.because))
    ready = [] if brake else [task.tenant for task in due(stores, now)]
    tasks = tonight(stores, ready, None, now)
    if tasks and config.source.given:
        _pull(stores, config, [stores.ledger.tenant(task.tenant) for task in tasks], now)
    names = {task.tenant for task in tasks}
    delivered = [t for t in stores.ledger.tenants() if t.tenant in names or _waits(stores, t)]
    collect_fleet(stores, config, [tenant.tenant for tenant in delivered], _tell)
    try:
        run(stores, config, tasks, by="schedule", whole=True)
    except Problem as problem:
        log.error("no night was begun: %s", problem)
        return 0
    for task in tasks:
        _look_after(stores, task.tenant, now)
    return len(tasks)


def _pull(stores: Stores, config: Config, tenants: list[Tenant], now: datetime) -> None:
    """What is new at the source comes first; a night goes on with what is there if nothing comes."""
    try:
        with closing(Source(config.source)) as source:
            for pulled in pull_all(stores, config, tenants, source, by="schedule", now=now):
                level = logging.ERROR if pulled.came in (Came.FAILED, Came.HELD) else logging.INFO
                log.log(level, "%s, pull: %s, %s", pulled.tenant, pulled.came, pulled.because)
    except Refused as problem:
        log.error("pull: %s", problem)


def _waits(stores: Stores, tenant: Tenant) -> bool:
    try:
        return waiting(stores, tenant)
    except OSError as error:  # one tenant's folder must not stop the others
        log.error("%s: its deliveries cannot be looked at: %s", tenant.tenant, error)
        return False


def _tell(found: Collected) -> None:
    level = logging.INFO if found.outcome == "accepted" else logging.WARNING
    said = found.problem or {"code": (found.report or {}).get("batch"), "message": found.outcome}
    files = ", ".join(found.files)
    log.log(level, "%s, %s: %s, %s", found.tenant, files, said["code"], said["message"])


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
