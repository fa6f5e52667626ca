"""How much a worker takes on at once, and whom it refuses first when that is too much."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from serving.control import Denied


class Kind(StrEnum):
    """What a request is for, the first to be refused first."""

    ADMIN = "admin"
    SELLER = "seller"  # feedback, and lists that are ranked during the call
    LOOKUP = "lookup"
    HEALTH = "health"


PLACES = {Kind.ADMIN: 8, Kind.SELLER: 32}
"""At work at once; together the threads there are for them, so that nobody queues for one.

Lookups have no places: one takes microseconds and never waits for anything, so their only queue
is the connections, and these are counted (serving/wire.py).
"""

LAG = {Kind.ADMIN: 0.05, Kind.SELLER: 0.1}
"""Seconds the event loop may be behind, all the time, before this kind is refused."""

_LOOK = 0.05  # seconds
_LOOKS = 20  # a second's, where the loop is not behind


def kind_of(method: str, path: str) -> Kind:
    """By the address alone: this is asked before anything else is known."""
    if path.startswith("/health/") or path == "/metrics":
        return Kind.HEALTH
    if path.endswith("/recs"):
        return Kind.LOOKUP if method == "GET" else Kind.SELLER
    return Kind.SELLER if path.endswith("/feedback") else Kind.ADMIN


class Load:
    """What this worker is at, and how far its event loop is behind.

    Behind is the least delay of twenty timers, a second at least (the standing queue of CoDel,
    RFC 8289): a single long step, after which the loop catches up, turns nobody away.
    """

    def __init__(self) -> None:
        self.at_work = dict.fromkeys(PLACES, 0)
        self.behind = 0.0
        self._least, self._looks = math.inf, 0

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look from now on, until the loop ends."""
        due = loop.time() + _LOOK

        def look() -> None:
            self.late(loop.time() - due)
            self.watch(loop)

        loop.call_at(due, look)

    def late(self, seconds: float) -> None:
        """Note that a timer came so late."""
        self._least, self._looks = min(self._least, seconds), self._looks + 1
        if self._looks == _LOOKS:
            self.behind, self._least, self._looks = self._least, math.inf, 0

    def admit(self, kind: Kind) -> None:
        """Whether there is room for one more.

        Raises:
            Denied: 503 (``OVERLOADED``), come again in a second.
        """
        if kind in PLACES and (self.at_work[kind] >= PLACES[kind] or self.behind > LAG[kind]):
            raise overloaded()

    @contextmanager
    def at(self, kind: Kind) -> Iterator[None]:
        """Hold a place while a request is at work."""
        self.admit(kind)
        if kind not in PLACES:
            yield
            return
        self.at_work[kind] += 1
        try:
            yield
        finally:
            self.at_work[kind] -= 1


def overloaded() -> Denied:
    return Denied(
        503,
        "there is too much to do at the moment",
        "try again in a second, and then less often",
        "OVERLOADED",
        retry_after=1,
    )
