"""What nights came to: in a word, as an exit status, and what is wrong with all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from jobs.brake import FLEET_BRAKE
from schema.names import Mode, Outcome, TenantId
from schema.records import NightReport

NIGHT_RUNNING = "NIGHT_RUNNING"
"""Another run has the night's lease (storage/nights.py)."""

NOT_RUN = "not run"
"""The word for a night that came to no report."""

RUNNING = "running"
"""The word for a night that another run is at."""

FAILED = (Outcome.FAILED.value, NOT_RUN)


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


def tenant_of(result: Result) -> TenantId:
    """Whose result it is."""
    return result.tenant if isinstance(result, NightReport) else result.task.tenant


def code_of(result: Result) -> str | None:
    """Why a night failed; None for one that did not."""
    return result.figures.get("code") if isinstance(result, NightReport) else result.code


def elsewhere(result: Result) -> bool:
    """Whether another run is at it: nothing failed, and what it comes to is told there."""
    return code_of(result) == NIGHT_RUNNING


def said_once(results: Sequence[Result], code: str) -> str | None:
    """What stopped many nights at once, in one sentence; None where it stopped none."""
    some = [result for result in results if code_of(result) == code]
    if not some:
        return None
    return f"{len(some):,} of {len(results):,} tenants: {some[0].because.partition(': ')[2]}"


def flagged(report: NightReport) -> bool:
    """Whether what was served turned out to be a case for a person (factory/realised.py)."""
    return bool((report.figures.get("realised") or {}).get("flagged"))


def word_of(result: Result) -> str:
    """A night's verdict in one word; its state where it has none yet."""
    if not isinstance(result, NightReport):
        return RUNNING if elsewhere(result) else NOT_RUN
    return result.outcome.value if result.outcome else result.state


def exit_status(results: Sequence[Result], *, waits: bool = False) -> int:
    """0 all well, 1 something failed, 3 a person has to look: a model is held, what was served is
    flagged after the fact, or a delivery is held (``waits``). The fleet's brake comes first: nothing
    goes on until it is released. What another run is at is for that one to tell.
    """
    mine = [result for result in results if not elsewhere(result)]
    if any(code_of(result) == FLEET_BRAKE for result in mine):
        return 3
    reports = [result for result in mine if isinstance(result, NightReport)]
    if len(reports) < len(mine) or any(r.outcome is Outcome.FAILED for r in reports):
        return 1
    return 3 if waits or any(r.outcome is Outcome.HELD or flagged(r) for r in reports) else 0


def alarm(modes: Sequence[Mode], results: Sequence[Result]) -> str | None:
    """What is wrong with a whole fleet's night, in one sentence, though each of it looks well by
    itself; None where nothing is.

    Args:
        modes: of every tenant.
    """
    if Mode.ON not in modes:
        frozen, off = modes.count(Mode.FREEZE), modes.count(Mode.OFF)
        return (
            f"no tenant is on ({frozen} frozen, {off} off): nobody gets new lists. Next: see "
            "`recfactory tenant list`, and turn on who should be."
        )
    mine = [result for result in results if not elsewhere(result)]
    codes = Counter(code for result in mine if (code := code_of(result)))
    if len(mine) > 1 and codes.total() == len(mine):
        [(code, times)] = codes.most_common(1)
        return (
            f"all {len(mine):,} nights failed, {times:,} with {code}. Next: look for what they "
            "share (disk, ledger, log) before any single one."
        )
    return None
