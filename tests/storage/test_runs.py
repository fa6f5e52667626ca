"""Runs on record, and the nights before a date."""

from datetime import UTC, datetime, timedelta

import pytest

from schema.names import Outcome, TenantId
from schema.records import Conclusion, Lease
from storage import runs
from storage.runs import Earlier, Run
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, THIRD_NIGHT, World


def ran(number: int, *, whole: bool = True) -> Run:
    at = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(days=number)
    return Run("night", whole, at, at + timedelta(minutes=5), {"run": number})


class TestRuns:
    def test_the_last_is_the_newest_over_all_tenants_and_comes_back_whole(
        self, empty_world: World
    ) -> None:
        stores = empty_world.stores
        assert stores.runs.last() is None
        for run in (ran(1), ran(2), ran(3, whole=False)):
            stores.runs.record(run)
        assert stores.runs.last() == ran(2)

    def test_only_the_newest_are_kept(
        self, empty_world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs, "_KEPT", 2)
        for run in (ran(1), ran(2, whole=False), ran(3, whole=False)):
            empty_world.stores.runs.record(run)
        assert empty_world.stores.runs.last() is None  # the first is gone


class TestNightsBefore:
    def test_are_each_tenants_own_newest_before_the_date(self, empty_world: World) -> None:
        for name in (ACME, BETA):
            empty_world.add(name)
        conclude(empty_world, ACME, 1, Outcome.PROMOTED, seconds={"train": 2.0, "rank": 1.0})
        conclude(empty_world, ACME, 2, Outcome.FAILED)
        conclude(empty_world, BETA, 1, Outcome.REJECTED, seconds={"train": 5.0})
        found = empty_world.stores.runs.nights_before
        assert found(NIGHT) == {}
        assert found(NEXT_NIGHT) == {ACME: Earlier("promoted", 3.0), BETA: Earlier("rejected", 5.0)}
        assert found(THIRD_NIGHT) == {ACME: Earlier("failed", 0.0), BETA: Earlier("rejected", 5.0)}


def conclude(world: World, tenant: TenantId, day: int, outcome: Outcome, **figures: object) -> None:
    lease = world.stores.nights.begin(
        tenant,
        NIGHT + timedelta(days=day - 1),
        owner="x:1:1",
        alive=lambda _: False,
        now=NOW,
        lease=timedelta(minutes=1),
    )
    assert isinstance(lease, Lease)
    end = Conclusion(outcome, "because", figures)
    world.stores.nights.conclude(lease, end, None, allowed=lambda _: True, now=NOW)
