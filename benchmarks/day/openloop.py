"""Requests at a fixed rate, whether or not the answers keep up.

A closed loop waits for an answer before it asks again, and so does not see the requests that a
stall would have kept waiting (coordinated omission, Tene 2013). Here each request has its moment
on a seeded Poisson clock, and its latency runs from that moment.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

_LENGTH = re.compile(rb"content-length: (\d+)\r\n")
_EDITION = re.compile(rb'"edition":(\d+)')
_MARK = re.compile(rb"-e(\d+)-P-")
_TENANT = re.compile(rb'"(t\d+)-e')


@dataclass(frozen=True, slots=True)
class Latencies:
    """What came back.

    Attributes:
        seconds: by answer, from the moment it was due.
        errors: answers other than 200, and connections that broke.
        mixed: looked-at answers that hold products of two editions or tenants.
        asked: requests sent.
    """

    seconds: NDArray[np.float64]
    errors: int
    mixed: int
    asked: int

    def milliseconds(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent) * 1e3)


class Connection(asyncio.Protocol):
    """One line to the server, with one request under way at most."""

    def __init__(self, load: "Load") -> None:
        self._load, self._buffer, self.due = load, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._load.idle.append(self)

    def ask(self, due: float, request: bytes) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        found = _LENGTH.search(self._buffer) if end > 0 else None
        if found and len(self._buffer) >= end + 4 + int(found[1]):
            answer, self._buffer = self._buffer, b""
            self._load.answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(self)


class Load:
    """The requests, each with its moment, and what became of them."""

    def __init__(
        self, requests: Sequence[bytes], rate: float, seconds: float, look: int = 10
    ) -> None:
        self.requests, self.look = requests, look
        rng = np.random.default_rng(0)
        self.due = np.cumsum(rng.exponential(1 / rate, int(rate * seconds))).tolist()
        self.idle: deque[Connection] = deque()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.seconds: list[float] = []
        self.errors = self.mixed = self.asked = 0

    async def run(self, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        self._all = [
            (await loop.create_connection(lambda: Connection(self), "127.0.0.1", port))[1]
            for _ in range(connections)
        ]
        begin = time.perf_counter() + 0.05
        while self.asked < len(self.due):
            now = time.perf_counter() - begin
            while self.asked < len(self.due) and self.due[self.asked] <= now:
                self._ask(
                    begin + self.due[self.asked], self.requests[self.asked % len(self.requests)]
                )
                self.asked += 1
            await asyncio.sleep(0.0005)
        patience = time.perf_counter() + 10
        while len(self.seconds) + self.errors < self.asked and time.perf_counter() < patience:
            await asyncio.sleep(0.01)
        self.errors += self.asked - len(self.seconds) - self.errors  # never answered
        self._done = True
        for connection in self._all:
            connection._transport.close()

    _done = False

    def _ask(self, due: float, request: bytes) -> None:
        if self.idle:
            self.idle.popleft().ask(due, request)
        else:
            self.waiting.append((due, request))

    def answered(self, connection: Connection, answer: bytes) -> None:
        if answer.startswith(b"HTTP/1.1 200"):
            self.seconds.append(time.perf_counter() - connection.due)
            if len(self.seconds) % self.look == 0:
                self.mixed += mixed(answer)
        else:
            self.errors += 1
        if self.waiting:
            connection.ask(*self.waiting.popleft())
        else:
            self.idle.append(connection)

    def lost(self, connection: Connection) -> None:
        if not self._done:
            self.errors += 1


def mixed(answer: bytes) -> bool:
    """Whether an answer holds products of two editions or tenants, or of another than it says."""
    edition = _EDITION.search(answer)
    marks, tenants = set(_MARK.findall(answer)), set(_TENANT.findall(answer))
    return edition is None or marks != {edition[1]} or len(tenants) != 1


def measure(
    port: int,
    requests: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    connections: int = 64,
    look: int = 10,
) -> Latencies:
    """Send requests, in turn, at a rate per second; look into every so manyth answer."""
    load = Load(requests, rate, seconds, look)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load.run(port, connections))
    return Latencies(np.array(load.seconds), load.errors, load.mixed, load.asked)


def get(path: str, key: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
