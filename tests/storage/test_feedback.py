"""Feedback in the ledger: durable, counted once per event id, one tenant's own."""

from datetime import timedelta
from typing import Any

import pytest

from schema.names import FeedbackKind
from storage.feedback import CONFLICT, REPEATED, STORED
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
