"""Feedback over a real wire, while processes die and the ledger goes away."""

import http.client
import json
import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from schema.names import Role, TenantId
from tests.scenarios.test_http import Server, command, server
from tests.serving.morning import Night, one_night, until
from tests.world import ACME, BETA, World

EVENTS, LETTER, RESENT = 5_000, 25, 0.3
KILLS = 4


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def world(night: Night, tmp_path: Path) -> Iterator[World]:
    made = night.world(tmp_path)
    yield made
    made.stores.engine.dispose()


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Another program holds the ledger."""
    other = sqlite3.connect(world.config.home / "ledger.db", isolation_level=None, timeout=60)
    other.execute("begin exclusive")
    try:
        yield
    finally:
        other.close()


def event(name: str, tenant: TenantId = ACME) -> dict[str, Any]:
    return {
        "event_id": name,
        "customer_id": "C-0001",
        "product_id": f"{tenant}-P-01",
        "kind": "shown",
        "edition": 1,
        "rank": 1,
    }


def told(made: Server, *names: str, tenant: TenantId = ACME) -> dict[str, Any]:
    events = [event(name, tenant) for name in names]
    path = f"/tenants/{tenant}/feedback"
    found = made.ask("POST", path, (tenant, Role.SELLER), {"events": events})
    assert found.status == 200, found.body
    receipt: dict[str, Any] = found.json
    return receipt


def counted(world: World, tenant: TenantId = ACME) -> Counter[str]:
    """How often the ledger has every event: by SQL, past our own code."""
    with sqlite3.connect(world.config.home / "ledger.db", timeout=60) as ledger:
        rows = ledger.execute("select event_id from feedback where tenant = ?", (tenant,))
        found = Counter(row[0] for row in rows)
    ledger.close()
    return found


def kill(made: Server) -> None:
    """The power of the process is gone; its children, too."""
    family = [*psutil.Process(made.process.pid).children(recursive=True), made.process]
    for process in family:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    made.process.wait()


def doctor(world: World) -> dict[str, str]:
    lines = json.loads(command(world, "doctor", "--json", check=False))
    return next(dict(line) for line in lines if line["what"] == "spool")


@pytest.mark.slow
class TestFeedbackThatWasSpooled:
    def test_outlives_a_killed_server_and_is_delivered_once_by_the_next(
        self, world: World, night: Night
    ) -> None:
        with server(world, night) as made, locked(world):
            receipt = told(made, "a", "b")
            theirs = told(made, "a", tenant=BETA)
            assert made.ask("GET", "/health/ready", None).status == 200
            assert made.recs()["source"] == "personal"
            kill(made)
        assert (receipt["spooled"], theirs["spooled"]) == (2, 1)
        assert counted(world) == counted(world, BETA) == {}
        assert doctor(world)["state"] == "waiting"

        with server(world, night):
            until(lambda: counted(world) == {"a": 1, "b": 1} and counted(world, BETA) == {"a": 1})
        assert doctor(world)["state"] == "ok"

    def test_by_a_worker_that_is_killed_is_delivered_by_another(
        self, world: World, night: Night
    ) -> None:
        with server(world, night, RECFACTORY_SERVING__WORKERS="2") as made:
            with locked(world):
                told(made, "a")
                [file] = (world.config.home / "spool").iterdir()
                [owner] = [
                    process
                    for process in psutil.Process(made.process.pid).children(recursive=True)
                    if str(file) in {held.path for held in process.open_files()}
                ]
                owner.kill()
            until(lambda: counted(world) == {"a": 1})


@pytest.mark.slow
class TestEveryEvent:
    def test_counts_once_however_often_it_is_sent_while_servers_are_killed(
        self, world: World, night: Night
    ) -> None:
        """5,000 events, 30 % sent again, the ledger locked now and then, the server killed."""
        rng = random.Random(7)
        names = [f"e-{number}" for number in range(EVENTS)]
        letters = [names[first : first + LETTER] for first in range(0, EVENTS, LETTER)]
        letters += [rng.sample(names, LETTER) for _ in range(int(EVENTS * RESENT / LETTER))]
        rng.shuffle(letters)
        deaths = set(rng.sample(range(len(letters)), KILLS))
        spooled = 0
        left = iter(enumerate(letters))
        undone: list[str] | None = None
        for _ in range(KILLS + 1):
            with server(world, night) as made:
                if undone is not None:
                    told(made, *undone)  # nobody knows what became of it: sent again
                undone = None
                for number, letter in left:
                    if number in deaths:
                        undone = letter
                        self.die_while_telling(made, letter, rng)
                        break
                    if number % 40 == 0:
                        with locked(world):
                            spooled += told(made, *letter)["spooled"]
                    else:
                        spooled += told(made, *letter)["spooled"]
                else:
                    until(lambda: len(counted(world)) == EVENTS)
        found = counted(world)
        assert spooled > 100
        assert sum(count > 1 for count in found.values()) == 0, "counted twice"
        assert set(names) - set(found) == set(), "counted never"

    def die_while_telling(self, made: Server, letter: list[str], rng: random.Random) -> None:
        """The kill falls into the request: before, in or after the commit."""
        death = threading.Timer(rng.random() * 0.02, kill, (made,))
        death.start()
        with suppress(OSError, http.client.HTTPException):
            told(made, *letter)
        death.join()
