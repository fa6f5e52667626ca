"""A run over many tenants' nights, from beginning to end: whoever asks for one, asks here, so that
each is told, kept and measured alike.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from jobs.fleet import run_fleet
from jobs.metrics import tell
from jobs.progress import Progress, expected
from jobs.results import FAILED, Result, Task, alarm, elsewhere, tenant_of, word_of
from jobs.summary import Summary, summarize
from schema.config import Config
from schema.errors import Problem
from schema.logs import about
from schema.names import Stage, TenantId
from schema.records import NightReport
from storage.runs import Earlier, Run
from storage.stores import Stores

log = logging.getLogger("recfactory.fleet")

_TELL_EVERY = 30.0
"""Seconds between two lines of the log that say how far a run has come."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to: every night, and all of them in short."""

    results: list[Result]
    summary: Summary


def run(
    stores: Stores,
    config: Config,
    tasks: Sequence[Task],
    done: Callable[[Result, Progress], None] = lambda *_: None,
    *,
    by: str,
    whole: bool,
) -> Ran:
    """Run the tasks (jobs/fleet.py), tell of them while they run, and keep what they came to.

    Args:
        done: called with each night that ended, and how far the run has come with it.
        by: who began it: night, schedule, demo.
        whole: whether these are all that were due, not some that a person named: only these are
            what metrics and `recfactory night --last` speak of.
    """
    begun, start = datetime.now(UTC), time.monotonic()
    earlier = _earlier(stores, tasks)
    tenants = stores.ledger.tenants()
    held = stores.imports.held()
    progress = Progress(_costs(stores, tasks, earlier))
    told = start

    def ended(result: Result) -> None:
        nonlocal told
        progress.add(result)
        _log(result)
        if time.monotonic() - told > _TELL_EVERY:
            told = time.monotonic()
            log.info("%d of %d: %s", progress.done, progress.total, progress.told())
        done(result, progress)

    results = run_fleet(stores, config, tasks, ended)
    modes = [tenant.mode for tenant in tenants]
    summary = summarize(results, earlier, modes, held, begun, datetime.now(UTC))
    if whole and not summary.braked and (wrong := alarm(modes, results)):
        log.error("%s", wrong)
        summary = replace(summary, alarm=wrong, status=1)
    mine = not all(map(elsewhere, results))
    if mine:
        _keep(stores, summary, by, whole=whole)
    if mine and whole:
        tell(stores.disk, config.nightly, summary)
    return Ran(results, summary)


def _earlier(stores: Stores, tasks: Sequence[Task]) -> dict[TenantId, Earlier]:
    """What each tenant's night before this one came to; a fleet has two or three dates at once."""
    before = {night: stores.runs.nights_before(night) for night in {task.night for task in tasks}}
    return {
        task.tenant: before[task.night][task.tenant]
        for task in tasks
        if task.tenant in before[task.night]
    }


def _costs(
    stores: Stores, tasks: Sequence[Task], earlier: dict[TenantId, Earlier]
) -> dict[TenantId, float]:
    def sizes() -> dict[TenantId, float]:
        known = stores.ledger.named([task.tenant for task in tasks])
        return {name: stores.datasets.weight(tenant.uid) for name, tenant in known.items()}

    nothing = Earlier("", 0.0)
    seconds = {task.tenant: earlier.get(task.tenant, nothing).seconds for task in tasks}
    return dict(expected(seconds, sizes))


def _log(result: Result) -> None:
    """One line a night, whatever it came to."""
    night = result.night if isinstance(result, NightReport) else result.task.night
    failed = word_of(result) in FAILED
    level = logging.ERROR if failed else logging.INFO
    tenant = tenant_of(result)
    said = result.because.removeprefix(f"{tenant}, ").partition(":")[0]  # a FactoryError's address
    stage = said if failed and said in set(Stage) else Stage.PUBLISH
    with about(tenant=tenant, night=night, stage=stage):
        log.log(level, "%s, %s: %s, %s", tenant, night, word_of(result), result.because)


def _keep(stores: Stores, summary: Summary, by: str, *, whole: bool) -> None:
    """A ledger that is away by now loses this summary, not the nights; metrics and screen have it."""
    kept = summary.without_sentences().as_json()
    try:
        stores.runs.record(Run(by, whole, summary.begun_at, summary.ended_at, kept))
    except Problem as problem:
        log.warning("the summary of this run is not kept: %s", problem)
