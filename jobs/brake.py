"""The fleet's own brake: nights are published in waves, and too much that is wrong alike stops all.

What is shared breaks everywhere at once (a new version, a library, a disk), and no gate of one
tenant sees it. So the first waves are samples that wait, sealed, until they were judged as a
whole: a bad one publishes nothing. The rest is published as it comes, and watched.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from factory.shown import WORSE, worse
from schema.config import Brake
from schema.errors import Problem
from schema.names import Outcome, TenantId
from schema.records import Conclusion

FLEET_BRAKE = "FLEET_BRAKE"

_OWN = frozenset(
    [
        "HELD",
        "NIGHT_TIME",
        "NIGHT_MEMORY",
        "TRAIN_TOO_SMALL",
        "SETTINGS",
        "TIMEZONE",
        "TENANT_MISMATCH",
        "PARQUET_UNSUPPORTED",
        "DATA_MISSING",
        "DATA_BROKEN",
        "DATA_LIMIT",
    ]
)
"""What a tenant's own data, size or settings may well bring about: it takes more of them."""

_LEAST = 2
"""One tenant is never alike."""

_T = TypeVar("_T")


def waves(order: Sequence[_T], rule: Brake, seed: object) -> list[list[_T]]:
    """Samples of what is to be done, then the rest; each in the order given.

    Every so many-th of an order by size is a sample with as many large and small ones as there
    are in all of it (systematic sampling); the seed, the date, decides where it begins.

    Returns:
        As many as ``rule.waves`` and one more, which may be empty: a small fleet is one wave.
    """
    left, made = list(order), []
    for share in rule.waves:
        size = max(rule.tenants, round(share * len(order)))
        if len(left) < 2 * size:  # too few would be left to be judged by themselves
            size = len(left)
        offset = random.Random(f"{seed} {share}").random()  # noqa: S311 (a sample, no secret)
        places = {int((place + offset) * len(left) / size) for place in range(size)}
        made.append([one for place, one in enumerate(left) if place in places])
        left = [one for place, one in enumerate(left) if place not in places]
    return [*made, left]


def signs(conclusion: Conclusion, before: Mapping[str, Any], rule: Brake) -> tuple[str, ...]:
    """What is wrong with a night, in words that are the same for all that went wrong alike.

    Args:
        before: figures of the tenant's last night that was published; empty where there is none.
    """
    found = []
    if conclusion.outcome is Outcome.FAILED:
        found.append(str(conclusion.figures.get("code")))
    if conclusion.outcome is Outcome.HELD:
        found.append("HELD")
    if "shown" in conclusion.figures:
        found += worse(conclusion.figures, before, rule)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Alike:
    """Too many nights had the same sign."""

    wave: int
    sign: str
    nights: int
    of: int

    @property
    def because(self) -> str:
        what = WORSE.get(self.sign, "models too good to be true" if self.sign == "HELD" else "")
        what = what or "their nights failed alike"
        return f"in wave {self.wave}, {what}: {self.nights} of {self.of} tenants ({self.sign})"


def braked(because: str) -> Problem:
    """What is told of every night that the brake stops."""
    return Problem(
        f"the fleet's brake is on, old editions go on ({because})",
        "mend what these tenants share, then `recfactory fleet release --why …`",
        FLEET_BRAKE,
    )


class Waves:
    """How one run goes on: which wave may be published by now, and whether it must stop."""

    def __init__(self, waves: Sequence[Collection[TenantId]], rule: Brake) -> None:
        self._rule = rule
        self._of = {tenant: number for number, wave in enumerate(waves) for tenant in wave}
        self._size = [len(wave) for wave in waves]
        self._awaited = list(self._size)
        self._open, self._last = 0, len(self._size) - 1
        self._ended = 0
        self._signs: Counter[str] = Counter()

    def without(self, tenant: TenantId) -> None:
        """A night that tells nothing: refused, done before, or of a tenant that is not on."""
        if tenant in self._of:
            self._size[self._of[tenant]] -= 1
            self._awaited[self._of[tenant]] -= 1
        self._go_on()

    def ended(self, tenant: TenantId, signs: Collection[str]) -> None:
        """A night that was worked on, whichever wave it is of."""
        if tenant in self._of:
            self._awaited[self._of[tenant]] -= 1
        self._ended += 1
        self._signs.update(signs)
        self._go_on()

    def _go_on(self) -> None:
        """To the next wave, once a sample was judged: as soon as those of it that are still at work
        could not stop it any more, so that one that takes long does not keep all others waiting.
        """
        while self._open < self._last and self._sure():
            self._open += 1

    def alike(self) -> Alike | None:
        """What stops the run; None while all is well."""
        of = self._judged()
        for sign, nights in self._signs.most_common():
            if nights >= self._stops(sign, of):
                return Alike(self._open + 1, sign, nights, of)
        return None

    def may_publish(self, tenant: TenantId) -> bool:
        """Whether its sample was judged, or no sample is awaited any more."""
        return self._open == self._last or self._of.get(tenant, self._last) < self._open

    def _judged(self) -> int:
        """Of how many nights the signs are a share: all that ended, the samples so far at least."""
        return max(self._ended, sum(self._size[: min(self._open + 1, self._last)]))

    def _stops(self, sign: str, of: int) -> float:
        """So many nights with a sign are too many.

        A handful of tenants that fail alike say little, and failing publishes nothing; but where
        the lists of most of them got worse alike, that is no accident.
        """
        share = self._rule.own if sign in _OWN else self._rule.alike
        if of < self._rule.tenants:
            if sign not in WORSE:
                return math.inf
            share = max(share, 0.5)
        return max(_LEAST, math.floor(share * of) + 1)

    def _sure(self) -> bool:
        of = self._judged()
        awaited = sum(self._awaited[: self._open + 1])
        found = {"LISTS_EMPTY": 0, **self._signs}  # the least that any sign needs
        return all(nights + awaited < self._stops(sign, of) for sign, nights in found.items())
