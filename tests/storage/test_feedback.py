"""Feedback in the ledger: durable, counted once per event id, one tenant's own."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine

from schema.names import FeedbackKind, TenantId
from schema.records import DayOutcomes
from storage import feedback as feedback_module
from storage.database import LedgerAway
from storage.durable import Disk
from storage.feedback import CONFLICT, REPEATED, SPOOLED, STORED, Feedback
from tests.faults.disk import Killed
from tests.world import ACME, BETA, NOW, World

PURCHASED = [FeedbackKind.PURCHASED]


def event(event_id: str = "e-1", **other: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "digest": "d" * 64,
        "kind": "purchased",
        "customer_id": "C-0001",
        "product_id": "P-1",
        "edition": None,
        "rank": None,
        "quantity": 1.0,
        "value": None,
        "occurred_at": NOW,
        **other,
    }


@pytest.fixture
def two(empty_world: World) -> World:
    """acme and beta, without data."""
    empty_world.add(ACME)
    empty_world.add(BETA)
    return empty_world


def stored(world: World, tenant: Any = ACME, **how: Any) -> list[str]:
    later = NOW + timedelta(days=1)
    found = world.stores.feedback.events(tenant, how.get("before", later), PURCHASED)
    return [row["event_id"] for row in found]


class TestRecord:
    def test_an_event_id_counts_once(self, two: World) -> None:
        assert two.stores.feedback.record(ACME, [event()]) == [STORED]
        assert two.stores.feedback.record(ACME, [event()]) == [REPEATED]
        assert stored(two) == ["e-1"]

    def test_the_same_id_with_another_body_is_a_conflict_and_not_stored(self, two: World) -> None:
        two.stores.feedback.record(ACME, [event()])
        other = event(digest="x" * 64, product_id="P-2")
        assert two.stores.feedback.record(ACME, [other]) == [CONFLICT]
        (found,) = two.stores.feedback.events(ACME, NOW + timedelta(days=1), PURCHASED)
        assert found["product_id"] == "P-1"

    def test_holds_within_one_request_too(self, two: World) -> None:
        events = [event("a"), event("a"), event("a", digest="x" * 64), event("b")]
        results = two.stores.feedback.record(ACME, events)
        assert results == [STORED, REPEATED, CONFLICT, STORED]
        assert stored(two) == ["a", "b"]

    def test_two_tenants_may_use_the_same_event_id(self, two: World) -> None:
        assert two.stores.feedback.record(ACME, [event()]) == [STORED]
        assert two.stores.feedback.record(BETA, [event(product_id="theirs")]) == [STORED]
        (mine,) = two.stores.feedback.events(ACME, NOW + timedelta(days=1), PURCHASED)
        assert mine["product_id"] == "P-1"

    def test_a_thousand_at_once(self, two: World) -> None:
        events = [event(f"e-{n:04}") for n in range(1_000)]
        assert set(two.stores.feedback.record(ACME, events)) == {STORED}
        assert set(two.stores.feedback.record(ACME, events)) == {REPEATED}
        assert len(stored(two)) == 1_000

    def test_none_at_all_is_no_trouble(self, two: World) -> None:
        assert two.stores.feedback.record(ACME, []) == []


class TestEvents:
    def test_only_what_occurred_before_the_moment_oldest_first(self, two: World) -> None:
        hour = timedelta(hours=1)
        events = [event("late", occurred_at=NOW), event("b", occurred_at=NOW - hour)]
        two.stores.feedback.record(ACME, [*events, event("a", occurred_at=NOW - 2 * hour)])
        assert stored(two, before=NOW) == ["a", "b"]

    def test_only_the_kinds_asked_for(self, two: World) -> None:
        two.stores.feedback.record(ACME, [event("seen", kind="shown"), event("bought")])
        assert stored(two) == ["bought"]


@contextmanager
def ledger_locked(world: World) -> Iterator[None]:
    """Another program holds the ledger, as a backup or a long transaction would."""
    other = sqlite3.connect(world.config.home / "ledger.db", isolation_level=None)
    other.execute("begin exclusive")
    try:
        yield
    finally:
        other.close()


@contextmanager
def ledger_moved(world: World) -> Iterator[None]:
    file = world.config.home / "ledger.db"
    file.rename(file.with_suffix(".elsewhere"))
    try:
        yield
    finally:
        file.with_suffix(".elsewhere").rename(file)


@contextmanager
def ledger_garbled(world: World) -> Iterator[None]:
    """It is not a database, for a while."""
    file = world.config.home / "ledger.db"
    whole = file.read_bytes()
    file.write_bytes(b"\x00" * len(whole))
    try:
        yield
    finally:
        file.write_bytes(whole)


Gone = Callable[[World], AbstractContextManager[None]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_module, "PATIENCE", 0.02)


def counted(world: World, tenant: TenantId = ACME) -> list[str]:
    """Every event of a tenant that the ledger counts."""
    later = NOW + timedelta(days=1)
    found = world.stores.feedback.events(tenant, later, list(FeedbackKind))
    return [row["event_id"] for row in found]


@pytest.mark.usefixtures("impatient")
class TestALedgerThatIsAway:
    @pytest.mark.parametrize("gone", [ledger_locked, ledger_moved, ledger_garbled])
    def test_has_feedback_spooled_and_counted_once_it_is_back(self, gone: Gone, two: World) -> None:
        feedback = two.stores.feedback
        with gone(two):
            assert feedback.keep(ACME, [event("a"), event("b")]) == [SPOOLED, SPOOLED]
            assert feedback.keep(BETA, [event("a")]) == [SPOOLED]
            with pytest.raises(LedgerAway):
                feedback.deliver()
        assert counted(two) == []

        assert feedback.deliver() == 3

        assert (counted(two), counted(two, BETA)) == (["a", "b"], ["a"])
        assert feedback.deliver() == 0
        assert feedback.keep(ACME, [event("c")]) == [STORED]

    def test_is_one_whose_server_refuses_too(self, two: World) -> None:
        def refuse() -> Any:
            raise sqlite3.OperationalError("connection refused")

        engine = create_engine("sqlite://", creator=refuse)
        feedback = Feedback(engine, two.stores.feedback.spool, two.stores.erased)

        assert feedback.keep(ACME, [event("a")]) == [SPOOLED]
        assert two.stores.feedback.deliver() == 1
        assert counted(two) == ["a"]

    def test_is_asked_by_the_first_only_and_what_comes_goes_behind(
        self, two: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feedback = two.stores.feedback
        with ledger_locked(two):
            feedback.keep(ACME, [event("a")])

        monkeypatch.setattr(feedback, "record", None)  # would fail

        assert feedback.keep(ACME, [event("b")]) == [SPOOLED]

    def test_may_have_taken_events_that_are_spooled_nevertheless(
        self, two: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection was lost after the commit: nobody knows."""
        feedback = two.stores.feedback
        record = feedback.record

        def lost(*args: Any) -> list[str]:
            record(*args)
            raise LedgerAway("the ledger cannot be used", "wait", code="LEDGER_AWAY")

        monkeypatch.setattr(feedback, "record", lost)
        assert feedback.keep(ACME, [event("a")]) == [SPOOLED]
        monkeypatch.undo()

        assert feedback.deliver() == 1
        assert counted(two) == ["a"]

    def test_makes_a_conflict_show_only_at_delivery_where_it_is_counted_and_logged(
        self, two: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        feedback = two.stores.feedback
        feedback.record(ACME, [event("a")])
        with ledger_locked(two):
            feedback.keep(ACME, [event("a", digest="x" * 64), event("b")])

        feedback.deliver()

        assert counted(two) == ["a", "b"]
        assert feedback.conflicts == 1
        assert "acme: 1 spooled events bear ids that were used before" in caplog.text

    def test_and_a_process_that_dies_between_commit_and_removal_count_no_event_twice(
        self, two: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feedback = two.stores.feedback
        with ledger_locked(two):
            feedback.keep(ACME, [event("a"), event("b")])

        def die(_self: Disk, _path: Path) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Disk, "remove_file", die)
            with pytest.raises(Killed):
                feedback.deliver()
        feedback.spool.close()
        assert counted(two) == ["a", "b"]

        assert feedback.deliver() == 2
        assert counted(two) == ["a", "b"]

    def test_of_a_tenant_that_is_unknown_by_then_holds_up_nobody_else(self, two: World) -> None:
        feedback = two.stores.feedback
        with ledger_locked(two):
            feedback.keep(TenantId("gone"), [event("a")])
            feedback.keep(BETA, [event("a")])

        assert feedback.deliver() == 1

        assert counted(two, BETA) == ["a"]
        assert feedback.spool.waiting().stuck == 1


def told(world: World, tenant: TenantId = ACME, days: int = 2, zone: str = "UTC") -> list[Any]:
    return [
        (line.day.day, line.edition, line.shown, line.accepted, line.bought, line.revenue)
        for line in world.stores.feedback.outcomes(tenant, NOW.date(), days, ZoneInfo(zone))
    ]


class TestOutcomes:
    def test_are_counted_by_day_and_edition_newest_first(self, two: World) -> None:
        day = timedelta(days=1)
        two.stores.feedback.record(
            ACME,
            [
                event("1", kind="shown", edition=7),
                event("2", kind="shown", edition=7),
                event("3", kind="clicked", edition=7),
                event("4", kind="accepted", edition=7),
                event("5", kind="dismissed", edition=7),
                event("6", kind="purchased", edition=7, value=19.5),
                event("7", kind="purchased", edition=7, value=0.5),
                event("8", kind="shown", edition=6),
                event("9", kind="shown", edition=7, occurred_at=NOW - day),
                event("10", kind="shown", edition=7, occurred_at=NOW - 2 * day),
            ],
        )

        lines = two.stores.feedback.outcomes(ACME, NOW.date(), 2, ZoneInfo("UTC"))

        assert lines == [
            DayOutcomes(
                NOW.date(), 7, shown=2, clicked=1, accepted=1, dismissed=1, bought=2, revenue=20.0
            ),
            DayOutcomes(NOW.date(), 6, shown=1),
            DayOutcomes((NOW - day).date(), 7, shown=1),
        ]
        assert lines[0].acceptance_rate == 0.5

    def test_of_one_tenant_are_not_anothers(self, two: World) -> None:
        two.stores.feedback.record(ACME, [event("a", edition=1, value=5.0)])
        two.stores.feedback.record(BETA, [event("a", edition=2, value=7.0)])

        assert told(two) == [(1, 1, 0, 0, 1, 5.0)]
        assert told(two, BETA) == [(1, 2, 0, 0, 1, 7.0)]

    def test_leave_out_purchases_that_name_no_edition(self, two: World) -> None:
        rows = [event("a", value=5.0), event("b", kind="accepted")]
        two.stores.feedback.record(ACME, rows)

        assert told(two) == [(1, None, 0, 1, 0, 0.0)]
        assert (
            two.stores.feedback.outcomes(ACME, NOW.date(), 1, ZoneInfo("UTC"))[0].acceptance_rate
            is None
        )

    def test_say_how_many_purchases_had_no_value(self, two: World) -> None:
        rows = [event("a", edition=1, value=5.0), event("b", edition=1)]
        two.stores.feedback.record(ACME, rows)

        [line] = two.stores.feedback.outcomes(ACME, NOW.date(), 1, ZoneInfo("UTC"))

        assert (line.bought, line.revenue, line.without_value) == (2, 5.0, 1)

    def test_go_by_the_tenants_own_days(self, two: World) -> None:
        """NOW is 00:05 UTC on the first: still the last of March in New York."""
        two.stores.feedback.record(ACME, [event("a", kind="shown", edition=1)])

        assert told(two, zone="America/New_York") == [(31, 1, 1, 0, 0, 0.0)]
        assert told(two, zone="Asia/Tokyo") == [(1, 1, 1, 0, 0, 0.0)]

    def test_count_every_event_once_where_clocks_change(self, two: World) -> None:
        """Zurich, 29 March 2026: the day has 23 hours."""
        begin = datetime(2026, 3, 27, tzinfo=UTC)
        rows = [
            event(f"{hour}", kind="shown", edition=1, occurred_at=begin + timedelta(hours=hour))
            for hour in range(96)
        ]
        two.stores.feedback.record(ACME, rows)

        lines = two.stores.feedback.outcomes(ACME, NOW.date(), 10, ZoneInfo("Europe/Zurich"))

        assert [(line.day.day, line.shown) for line in lines] == [
            (31, 2), (30, 24), (29, 23), (28, 24), (27, 23),
        ]  # fmt: skip


class TestEventsUpToAMark:
    def test_leave_out_what_reached_the_ledger_later_however_early_it_occurred(
        self, two: World
    ) -> None:
        later = NOW + timedelta(hours=3)
        two.stores.feedback.record(ACME, [event("on time")], lambda: NOW)
        two.stores.feedback.record(ACME, [event("spooled")], lambda: later)

        found = two.stores.feedback.events(ACME, later, PURCHASED, received_by=NOW)

        assert [row["event_id"] for row in found] == ["on time"]
