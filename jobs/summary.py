"""What a run over many tenants' nights came to, in one value: for a screen, for the ledger, for metrics."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter

from jobs.again import given_up, outlook
from jobs.brake import FLEET_BRAKE
from jobs.results import (
    FAILED,
    NIGHT_RUNNING,
    RUNNING,
    Result,
    code_of,
    elsewhere,
    exit_status,
    flagged,
    said_once,
    tenant_of,
    word_of,
)
from schema.names import Mode, Outcome, TenantId
from schema.records import NightReport
from storage.runs import Earlier

_MOST = 10
"""Slowest tenants that are told."""

_FIGURE = re.compile(r"[-+−]?\d+(?:[-.,:/]\d+)*")


@dataclass(frozen=True, slots=True)
class Reason:
    """Nights that came to the same for the same reason.

    Attributes:
        because: a code where there is one, else the sentence without its figures.
        tenant: one of them.
    """

    word: str
    because: str
    tenants: int
    tenant: TenantId


@dataclass(frozen=True, slots=True)
class Case:
    """One tenant that a person has to look at.

    Attributes:
        code: of what failed; or what waits: MODEL_HELD, FLAGGED, DELIVERY_HELD.
        because: one sentence; empty where it is read from the ledger, which does not keep it here.
    """

    tenant: TenantId
    night: date
    code: str
    because: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Slow:
    """Seconds of work that one tenant took."""

    tenant: TenantId
    seconds: float


@dataclass(frozen=True, slots=True)
class Large:
    """Memory that one tenant's work took at most, in bytes."""

    tenant: TenantId
    memory: int


@dataclass(frozen=True, slots=True)
class Compared:
    """Tenants against their own nights before, so that it holds for a part of the fleet as well.

    Attributes:
        tenants: that had one.
        words: how many more came to each word, or fewer.
        seconds_before, seconds: of work, over those that were worked on both times.
    """

    tenants: int
    newly_failing: tuple[TenantId, ...]
    recovered: tuple[TenantId, ...]
    words: Mapping[str, int]
    seconds_before: float
    seconds: float

    @property
    def slower(self) -> float | None:
        """By what share of the time before; None where there is nothing to compare."""
        return self.seconds / self.seconds_before - 1 if self.seconds_before else None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Attributes:
        tenants: whose night was asked for; worked: of them, those that were not done before.
        words: tenants by verdict, or "not run".
        modes: all tenants of the installation by their switch, as the run began.
        stages: seconds of work by stage, over all tenants.
        slowest: the longest first.
        largest: None where memory was not measured.
        failures: what is to be mended; codes: how many of each. waiting: for a person's word.
        given_up: failed nights that only a person tries again.
        elsewhere: what another run is at, in one sentence.
        alarm: what is wrong with all of it (jobs.results.alarm).
        status: exit status: 0 all well, 1 something failed, 3 a person has to look.
    """

    begun_at: datetime
    ended_at: datetime
    nights: tuple[date, ...]
    tenants: int
    worked: int
    published: int
    words: Mapping[str, int]
    reasons: tuple[Reason, ...]
    modes: Mapping[str, int]
    stages: Mapping[str, float]
    slowest: tuple[Slow, ...]
    largest: Large | None
    failures: tuple[Case, ...]
    codes: Mapping[str, int]
    waiting: tuple[Case, ...]
    compared: Compared
    status: int
    alarm: str = ""
    elsewhere: str = ""
    given_up: int = 0

    @property
    def braked(self) -> bool:
        """Whether the fleet's brake stopped it."""
        return FLEET_BRAKE in self.codes

    @property
    def seconds(self) -> float:
        """Wall time."""
        return (self.ended_at - self.begun_at).total_seconds()

    @property
    def per_minute(self) -> float:
        """Tenants worked on."""
        return 60 * self.worked / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON; ``read`` makes it a summary again."""
        made: dict[str, Any] = _FORM.dump_python(self, mode="json")
        more = {"seconds": self.seconds, "per_minute": self.per_minute, "braked": self.braked}
        compared = {**made["compared"], "slower": self.compared.slower}
        return {**made, **more, "compared": compared}

    def without_sentences(self) -> "Summary":
        """For the ledger: a sentence may hold what a tenant's data hold, and its night has it, where
        erasing a customer and leaving find it.
        """
        bare = [
            tuple(replace(case, because="") for case in cases)
            for cases in (self.failures, self.waiting)
        ]
        return replace(self, failures=bare[0], waiting=bare[1])


def read(kept: Mapping[str, Any]) -> Summary:
    """The summary that ``as_json`` was asked of."""
    return _FORM.validate_python(kept)


def summarize(
    results: Sequence[Result],
    earlier: Mapping[TenantId, Earlier],
    modes: Sequence[Mode],
    held: Mapping[TenantId, str],
    begun_at: datetime,
    ended_at: datetime,
) -> Summary:
    """Count what the results of a run say.

    Args:
        earlier: what each tenant's night before came to.
        modes: of every tenant.
        held: deliveries that wait for a person, by tenant.
    """
    reports = [result for result in results if isinstance(result, NightReport)]
    seconds = {report.tenant: report.seconds for report in reports}
    failures = tuple(_failure(result) for result in results if word_of(result) in FAILED)
    waiting = tuple(case for result in results for case in _waiting(result, held))
    return Summary(
        begun_at=begun_at,
        ended_at=ended_at,
        nights=tuple(sorted({_night_of(result) for result in results})),
        tenants=len(results),
        worked=sum(r.finished_at is not None and r.finished_at >= begun_at for r in reports),
        published=sum(report.published for report in reports),
        words=dict(Counter(map(word_of, results)).most_common()),
        reasons=_reasons(results),
        modes={mode.value: list(modes).count(mode) for mode in Mode},
        stages=_stages(reports),
        slowest=_slowest(seconds),
        largest=_largest(reports),
        failures=failures,
        codes=dict(Counter(case.code for case in failures).most_common()),
        waiting=waiting,
        compared=_compared(results, seconds, earlier),
        status=exit_status(results, waits=any(case.code == "DELIVERY_HELD" for case in waiting)),
        given_up=sum(map(given_up, reports)),
        elsewhere=said_once(results, NIGHT_RUNNING) or "",
    )


def next_step_of(because: str, tenant: TenantId) -> str:
    """What a failure's sentence says to do."""
    _, said, step = because.rpartition(" Next: ")
    return step.rstrip(".") if said else f"see `recfactory why {tenant}`"


def _failure(result: Result) -> Case:
    tenant = tenant_of(result)
    step = next_step_of(result.because, tenant)
    if isinstance(result, NightReport) and given_up(result):
        step = outlook(result)
    return Case(tenant, _night_of(result), code_of(result) or "FAILED", result.because, step)


def _waiting(result: Result, held: Mapping[TenantId, str]) -> list[Case]:
    tenant, night, cases = tenant_of(result), _night_of(result), []
    if isinstance(result, NightReport) and result.outcome is Outcome.HELD:
        step = f"look for a leak (`recfactory model list {tenant}`), then model promote or discard"
        cases.append(Case(tenant, night, "MODEL_HELD", result.because, step))
    if isinstance(result, NightReport) and flagged(result):
        because = result.figures["realised"]["because"]
        step = f"see `recfactory model quality {tenant}`"
        cases.append(Case(tenant, night, "FLAGGED", because, step))
    if tenant in held:
        because = f"delivery {held[tenant]} is held: nothing of it counts"
        step = f"`recfactory data release {tenant} {held[tenant]} --why …`, or data discard"
        cases.append(Case(tenant, night, "DELIVERY_HELD", because, step))
    return cases


def _reasons(results: Sequence[Result]) -> tuple[Reason, ...]:
    """By word and reason, the most frequent first."""
    found: dict[tuple[str, str], list[TenantId]] = {}
    for result in results:
        word = word_of(result)
        because = code_of(result) or without_figures(result.because)
        found.setdefault((word, because), []).append(tenant_of(result))
    made = [Reason(*key, len(tenants), tenants[0]) for key, tenants in found.items()]
    return tuple(sorted(made, key=lambda reason: (-reason.tenants, reason.word, reason.because)))


def without_figures(because: str) -> str:
    """A verdict's sentence as far as many tenants share it.

    >>> without_figures("the challenger's error is lower: RMSE 0.026717 against 0.026740")
    "the challenger's error is lower"
    >>> without_figures("no window holds 200 purchases to judge by; the als model serves")
    'no window holds … purchases to judge by; the als model serves'
    """
    return _FIGURE.sub("…", because.split(": ")[0])


def _stages(reports: Sequence[NightReport]) -> dict[str, float]:
    total = Counter[str]()
    for report in reports:
        total.update(report.figures.get("seconds", {}))
    return {stage: round(seconds, 3) for stage, seconds in total.items()}


def _slowest(seconds: Mapping[TenantId, float]) -> tuple[Slow, ...]:
    order = sorted(seconds, key=lambda tenant: -seconds[tenant])[:_MOST]
    return tuple(Slow(tenant, round(seconds[tenant], 3)) for tenant in order if seconds[tenant])


def _largest(reports: Sequence[NightReport]) -> Large | None:
    measured = [
        Large(r.tenant, int(r.figures["memory"])) for r in reports if r.figures.get("memory")
    ]
    return max(measured, key=lambda one: one.memory, default=None)


def _compared(
    results: Sequence[Result],
    seconds: Mapping[TenantId, float],
    earlier: Mapping[TenantId, Earlier],
) -> Compared:
    words = {tenant_of(result): word_of(result) for result in results if not elsewhere(result)}
    known = sorted(tenant for tenant in words if tenant in earlier)
    fails = {tenant: words[tenant] in FAILED for tenant in known}
    failed = {tenant: earlier[tenant].word in (*FAILED, RUNNING) for tenant in known}
    more = Counter(words[tenant] for tenant in known)
    more.subtract(earlier[tenant].word for tenant in known)
    both = [tenant for tenant in known if earlier[tenant].seconds and seconds.get(tenant)]
    return Compared(
        tenants=len(known),
        newly_failing=tuple(t for t in known if fails[t] and not failed[t]),
        recovered=tuple(t for t in known if failed[t] and not fails[t]),
        words={word: number for word, number in sorted(more.items()) if number},
        seconds_before=round(sum(earlier[tenant].seconds for tenant in both), 3),
        seconds=round(sum(seconds[tenant] for tenant in both), 3),
    )


def _night_of(result: Result) -> date:
    return result.night if isinstance(result, NightReport) else result.task.night


_FORM = TypeAdapter(Summary)
