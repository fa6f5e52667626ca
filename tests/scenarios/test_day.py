"""A day at the counter, on a real server of two workers: switches, keys and editions change meanwhile."""

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schema.names import Role
from storage.editions import Current
from storage.revoked import revoke
from tests.scenarios.test_workers import Clients, Running, running
from tests.serving.morning import Night, one_night, until
from tests.world import ACME, BETA, NEXT_NIGHT

SOON = 1.0
"""Seconds after which a change holds in every worker; five are allowed for a revoked key."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


def ask(made: Running, key: str, method: str = "GET", path: str = "", body: Any = None) -> Any:
    """Status, body and worker of one answer, over a connection of its own."""
    line = http.client.HTTPConnection("127.0.0.1", made.port, timeout=10)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        where = f"/tenants/{path or 'acme/customers/C-0001/recs'}"
        line.request(method, where, None if body is None else json.dumps(body), headers)
        answer = line.getresponse()
        worker = (answer.headers["X-Request-ID"] or "").partition("-")[0]
        return answer.status, json.loads(answer.read()), worker
    finally:
        line.close()


def in_every_worker(made: Running, key: str, seen: Callable[[int, Any], bool]) -> bool:
    """Whether both workers, asked often enough to hear of each, answer so and nothing else.

    Several ask at once: whichever worker is idle takes the next line, and with one line at a time
    that may be the same one for long.
    """
    workers: set[str] = set()
    end = time.monotonic() + 30
    with ThreadPoolExecutor(8) as people:
        while len(workers) < 2 and time.monotonic() < end:
            for status, body, worker in people.map(lambda _: ask(made, key), range(16)):
                assert seen(status, body), (status, body)
                workers.add(worker)
    return len(workers) == 2


@pytest.mark.slow
def test_a_switch_and_a_revoked_key_hold_in_every_worker_within_a_second(
    night: Night, tmp_path: Path
) -> None:
    world = night.world(tmp_path)
    seller, admin = night.keys[ACME, Role.SELLER], night.keys[ACME, Role.ADMIN]
    with running(world, night) as made:
        assert in_every_worker(made, seller, lambda status, body: body["mode"] == "on")
        for mode in ("freeze", "off", "on"):
            change = {"mode": mode, "why": "a busy day"}
            assert ask(made, admin, "PUT", "acme/mode", change)[0] == 200
            time.sleep(SOON)
            assert in_every_worker(made, seller, lambda _, body, m=mode: body["mode"] == m)  # type: ignore[misc]

        theirs = night.keys[BETA, Role.SELLER]
        key_id = seller.removeprefix("rf_").partition(".")[0]
        revoke(world.stores.revoked, world.stores.ledger, key_id, by="ann", at=datetime.now(UTC))
        time.sleep(SOON)
        assert in_every_worker(made, seller, lambda status, _: status == 401)
        assert ask(made, theirs, path="beta/customers/C-0001/recs")[0] == 200
    world.stores.engine.dispose()


@pytest.mark.slow
def test_a_storm_of_new_editions_costs_no_answer(night: Night, tmp_path: Path) -> None:
    world = night.world(tmp_path)
    assert world.night(ACME, NEXT_NIGHT).published
    tenant, editions = world.tenant(ACME), world.stores.editions
    shas = {row["edition"]: row["manifest_sha256"] for row in world.stores.nights.editions(ACME)}
    now = editions.current(tenant.uid)
    assert now is not None
    with running(world, night) as made, Clients(made) as clients:
        until(lambda: clients.count["right"] > 50)
        for swap in range(100):
            number = 1 + swap % 2
            fence = now.fence + 1 + swap
            editions.point(tenant.uid, Current(number, shas[number], fence, now.published_at))
            time.sleep(0.02)
        before = clients.count["right"]
        until(lambda: clients.count["right"] > before + 50)
        clients.stopped = True
    assert (clients.count["dropped"], clients.count["wrong"]) == (0, 0)
    world.stores.engine.dispose()
