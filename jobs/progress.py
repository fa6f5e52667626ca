"""How far a run over many tenants' nights has come, and how long it still takes."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.results import NOT_RUN, RUNNING, Result, tenant_of, word_of
from schema.names import Outcome, TenantId

_SHOWN = (Outcome.PROMOTED.value, Outcome.HELD.value, Outcome.FAILED.value, RUNNING)


@dataclass(slots=True)
class Progress:
    """Counts the nights that ended.

    Attributes:
        costs: what each tenant's night is expected to take, in whatever unit: the largest go first,
            so a mean of those that are done would foretell far too much.
    """

    costs: Mapping[TenantId, float]
    done: int = 0
    words: Counter[str] = field(default_factory=Counter)
    _spent: float = 0.0

    def add(self, result: Result) -> None:
        self.done += 1
        self.words[word_of(result)] += 1
        self._spent += self.costs[tenant_of(result)]

    @property
    def total(self) -> int:
        return len(self.costs)

    def left(self, elapsed: float) -> float | None:
        """Seconds; None before there is anything to go by."""
        whole = sum(self.costs.values())
        return elapsed * (whole - self._spent) / self._spent if self._spent else None

    def told(self) -> str:
        """Verdicts so far: "promoted 12, kept 30, held 1, failed 2"."""
        counts = {word: self.words[word] for word in _SHOWN}
        counts[Outcome.FAILED.value] += self.words[NOT_RUN]
        kept = self.done - sum(counts.values())
        named = {_SHOWN[0]: counts[_SHOWN[0]], "kept": kept, **counts}
        return ", ".join(
            f"{word} {number:,}"
            for word, number in named.items()
            if number or word not in (Outcome.HELD.value, RUNNING)
        )


def expected(
    seconds: Mapping[TenantId, float], sizes: Callable[[], Mapping[TenantId, float]]
) -> Mapping[TenantId, float]:
    """What each tenant's night will take: as long as the one before, or as the others' did; where
    nobody had one yet, in proportion to how much data it has.

    Args:
        seconds: of the night before; 0 where there was none.
        sizes: bytes of data of each.
    """
    known = [taken for taken in seconds.values() if taken]
    if not known:
        return {tenant: max(size, 1.0) for tenant, size in sizes().items()}
    usual = sum(known) / len(known)
    return {tenant: taken or usual for tenant, taken in seconds.items()}
