"""Nights that failed: which are tried again by themselves, when, and which are left to a person."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobs import fleet, night
from jobs.again import outlook
from jobs.cli.nights import as_line
from jobs.fleet import due, run_fleet
from jobs.results import Task
from jobs.schedule import wave
from schema.config import Config, Nightly
from schema.errors import FactoryError, Problem, Refused
from schema.names import Again
from schema.records import Lease, NightReport
from storage.rows import NIGHTS
from tests.world import ACME, BETA, NIGHT, NOW, World, tables

LONG = timedelta(hours=4)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], datetime]:
    """Set the fleet's clock."""
    moment = [NOW]
    monkeypatch.setattr(fleet, "_clock", lambda: moment[0])

    def set_to(now: datetime) -> datetime:
        moment[0] = now
        return now

    set_to(NOW)
    return set_to


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int = 99) -> list[str]:
    """Let acme's work fail so often; who was worked on is told."""
    real, worked = night._work, list[str]()

    def work(*args: Any) -> Any:
        worked.append(args[2].tenant.tenant)
        if worked[-1] == ACME and worked.count(ACME) <= times:
            raise error
        return real(*args)

    monkeypatch.setattr(night, "_work", work)
    return worked


def configured(world: World, **nightly: Any) -> Config:
    made = Nightly(**{"executor": "in-process", **nightly})
    return world.config.model_copy(update={"nightly": made})


def of(world: World) -> NightReport:
    found = world.stores.nights.night(ACME, NIGHT)
    assert found is not None
    return found


def again_at(world: World) -> datetime:
    return datetime.fromisoformat(of(world).figures["again_at"])


Set = Callable[[datetime], datetime]


class TestADefect:
    def test_is_tried_again_by_later_waves_until_its_attempts_are_used_up(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worked = failing(monkeypatch, ValueError("never seen"))
        config, now = configured(world, attempts=3), NOW
        waves = []
        while now < NOW + LONG:
            wave(world.stores, config, at(now))
            waves.append(worked.count(ACME))
            now += timedelta(minutes=15)
        assert worked.count(ACME) == 3
        assert waves[0] == 1
        assert of(world).figures["again"] == Again.BY_HAND
        assert of(world).attempts == 3
        assert worked.count(BETA) == 1

    def test_is_not_tried_before_its_pause_is_over(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, OSError(5, "Input/output error"), times=1)
        config = configured(world)
        wave(world.stores, config, at(NOW))
        moment = again_at(world)
        assert NOW + timedelta(minutes=15) <= moment <= NOW + timedelta(minutes=30)
        assert due(world.stores, moment - timedelta(seconds=1)) == []
        assert due(world.stores, moment) == [Task(ACME, NIGHT)]
        assert wave(world.stores, config, at(moment)) == 1
        assert of(world).published

    def test_pauses_grow_and_are_not_the_same_for_all(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, ValueError("never seen"))
        drawn: list[tuple[float, float]] = []

        def least(*of: float) -> float:
            drawn.append((of[0], of[1]))
            return of[0]

        monkeypatch.setattr(random, "uniform", least)
        config = configured(world, attempts=3)
        wave(world.stores, config, at(NOW))
        first = again_at(world) - NOW
        wave(world.stores, config, at(NOW + first))
        assert again_at(world) - (NOW + first) == 2 * first
        assert drawn == [(1, 2), (1, 2)]

    def test_given_up_is_told_with_what_to_do(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, ValueError("never seen"))
        wave(world.stores, configured(world, attempts=1), at(NOW))
        line = as_line(of(world))
        assert (line["again"], line["attempts"], line["code"]) == ("by_hand", 1, "DEFECT")
        assert "given up after 1 attempt;" in outlook(of(world))
        assert "`recfactory night acme --date 2026-04-01`" in outlook(of(world))

    def test_given_up_is_tried_again_by_a_person(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, ValueError("never seen"), times=1)
        config = configured(world, attempts=1)
        wave(world.stores, config, at(NOW))
        assert due(world.stores, NOW + LONG) == []
        [result] = run_fleet(world.stores, config, [Task(ACME, NIGHT)], lambda _: None)
        assert isinstance(result, NightReport)
        assert result.published

    def test_of_one_date_does_not_count_against_the_next(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, ValueError("never seen"))
        wave(world.stores, configured(world, attempts=1), at(NOW))
        tomorrow = NOW + timedelta(days=1)
        assert {task.tenant for task in due(world.stores, tomorrow)} == {ACME, BETA}


class TestARefusal:
    def test_waits_for_other_data_however_many_waves_pass(
        self, empty_world: World, at: Set
    ) -> None:
        empty_world.add(ACME)
        config = configured(empty_world, attempts=1)
        wave(empty_world.stores, config, at(NOW))
        assert of(empty_world).figures["again"] == Again.DATA
        assert due(empty_world.stores, NOW + LONG) == []
        empty_world.import_(ACME, tables(ACME))
        assert due(empty_world.stores, NOW + LONG) == [Task(ACME, NIGHT)]
        assert wave(empty_world.stores, config, at(NOW + LONG)) == 1
        assert of(empty_world).published

    def test_that_did_not_note_the_data_is_looked_at_once_more(
        self, empty_world: World, at: Set
    ) -> None:
        """As an earlier state of this version left it; one such row must not stop the fleet."""
        empty_world.add(ACME)
        wave(empty_world.stores, configured(empty_world), at(NOW))
        figures = {**of(empty_world).figures}
        del figures["accepted_fingerprint"]
        with empty_world.stores.engine.begin() as connection:
            connection.execute(update(NIGHTS).values(figures=figures))
        assert due(empty_world.stores, NOW + LONG) == [Task(ACME, NIGHT)]

    def test_of_these_data_uses_up_no_attempt(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, FactoryError(Refused("no", "mend", "NO"), ACME, "validate"))
        wave(world.stores, configured(world), at(NOW))
        assert of(world).attempts == 0
        assert "does once other data came" in outlook(of(world))

    def test_by_damaged_files_is_no_refusal_and_ends(
        self, world: World, at: Set, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worked = failing(
            monkeypatch, FactoryError(Problem("torn", "mend", "TORN"), ACME, "validate")
        )
        for hours in range(5):
            wave(world.stores, configured(world), at(NOW + timedelta(hours=hours)))
        assert worked.count(ACME) == 2


class TestADriverThatWasKilled:
    def test_counts_as_an_attempt_of_no_night_it_had_begun(self, world: World) -> None:
        for _ in range(5):
            lease = world.stores.nights.begin(
                ACME,
                NIGHT,
                owner="x:1:1",
                alive=lambda _: False,
                now=datetime.now(UTC),
                lease=timedelta(minutes=1),
            )
            assert isinstance(lease, Lease)
            assert lease.attempts == 0
        assert Task(ACME, NIGHT) in due(world.stores, NOW)
