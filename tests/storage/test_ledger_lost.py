"""A real PostgreSQL dies before, during and at the commit of a night: it waits, and publishes once."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, select, text

from schema.config import Ledger
from schema.errors import Problem
from schema.names import Outcome
from schema.records import Lease
from storage.editions import Current, Editions
from storage.rows import EDITIONS, NIGHTS
from tests.postgres import Cluster
from tests.world import ACME, BETA, NIGHT, World, open_world, tables

AWAY = 1.5
"""Seconds for which nobody answers."""


@pytest.fixture
def world(mortal_cluster: Cluster, tmp_path: Path) -> Iterator[World]:
    url = mortal_cluster.url(mortal_cluster.make())
    world = open_world(tmp_path, ledger=Ledger.model_validate({"url": url}))
    for name in (ACME, BETA):
        world.add(name)
        world.import_(name, tables(name))
    yield world
    world.stores.engine.dispose()


def dies(cluster: Cluster) -> threading.Thread:
    """Dies now and is back a while later."""
    cluster.die()

    def back() -> None:
        time.sleep(AWAY)
        cluster.start()

    thread = threading.Thread(target=back)
    thread.start()
    return thread


def once(act: Callable[[], Any]) -> Callable[..., None]:
    done: list[bool] = []

    def first(*_: Any) -> None:
        if not done:
            done.append(True)
            act()

    return first


@pytest.fixture
def pointed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every edition that was pointed to."""
    told: list[int] = []
    point = Editions.point

    def noted(self: Editions, uid: str, current: Current) -> None:
        point(self, uid, current)
        told.append(current.edition)

    monkeypatch.setattr(Editions, "point", noted)
    return told


def published_once(world: World, pointed: list[int]) -> None:
    with world.stores.engine.connect() as connection:
        [night] = connection.execute(select(NIGHTS)).all()
        [edition] = connection.execute(select(EDITIONS)).all()
    assert (night.tenant, night.state, night.published, night.attempts) == (ACME, "done", True, 0)
    assert set(pointed) == {edition.edition} == {1}
    current = world.stores.editions.current(world.tenant(ACME).uid)
    assert current is not None
    assert (current.edition, current.manifest_sha256) == (1, edition.manifest_sha256)
    assert world.stores.editions.current(world.tenant(BETA).uid) is None


class TestALedgerThatDies:
    def test_before_a_night_begins_is_waited_for(
        self, world: World, mortal_cluster: Cluster, pointed: list[int]
    ) -> None:
        back = dies(mortal_cluster)
        assert world.night(ACME).outcome is Outcome.PROMOTED
        back.join()
        published_once(world, pointed)

    def test_while_the_night_is_at_work_is_waited_for(
        self,
        world: World,
        mortal_cluster: Cluster,
        pointed: list[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        seal = Editions.seal
        gone = once(lambda: dies(mortal_cluster))

        def killed(self: Editions, *given: Any, **named: Any) -> tuple[int, str]:
            gone()
            return seal(self, *given, **named)

        monkeypatch.setattr(Editions, "seal", killed)
        assert world.night(ACME).published
        published_once(world, pointed)

    def test_between_pointing_and_the_commit_is_waited_for(
        self, world: World, mortal_cluster: Cluster, pointed: list[int]
    ) -> None:
        gone = once(lambda: dies(mortal_cluster))
        event.listen(world.stores.engine, "commit", lambda _: pointed and gone())
        assert world.night(ACME).published
        published_once(world, pointed)
        assert len(pointed) == 2  # the same edition, again

    def test_after_the_commit_and_before_its_answer_is_asked_what_it_took(
        self,
        world: World,
        mortal_cluster: Cluster,
        pointed: list[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        dialect = world.stores.engine.dialect
        commit = dialect.do_commit
        lost: list[bool] = []

        def unanswered(connection: Any) -> None:
            commit(connection)
            if pointed and not lost:
                lost.append(True)
                dies(mortal_cluster)
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(dialect, "do_commit", unanswered)
        assert world.night(ACME).published
        assert lost
        published_once(world, pointed)
        assert len(pointed) == 1  # it was recorded, and nothing is done again


def test_leases_run_by_the_ledgers_clock_whatever_a_drivers_says(
    world: World, mortal_cluster: Cluster
) -> None:
    """B10: a driver whose clock is hours ahead must not take over what another one is at."""
    now = datetime.now(UTC)

    def begun(owner: str, by: timedelta) -> Any:
        [found] = world.stores.nights.begin_all(
            [(ACME, NIGHT)],
            owner=owner,
            alive=lambda _: True,
            now=now + by,
            lease=timedelta(minutes=30),
        )
        return found

    assert isinstance(begun("slow", -timedelta(hours=2)), Lease)
    refused = begun("fast", timedelta(hours=2))
    assert isinstance(refused, Problem)
    assert refused.code == "NIGHT_RUNNING"
    with world.stores.engine.begin() as connection:  # half an hour later
        connection.execute(text("update nights set lease_until = lease_until - interval '31 min'"))
    assert isinstance(begun("fast", timedelta(hours=2)), Lease)
