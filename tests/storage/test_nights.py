"""Who may run a night, and what comes of it: lease, fence, modes, hold."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert
from sqlalchemy.exc import IntegrityError, OperationalError

from schema.errors import NotThere, Problem, Refused
from schema.names import Mode, Outcome, TenantId
from schema.records import (
    Choice,
    Conclusion,
    Lease,
    NewEdition,
    NewModel,
    NightReport,
    Realised,
)
from storage import database
from storage.database import LedgerAway
from storage.nights import Ending, Nights
from storage.rows import FEEDBACK
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, World

LEASE = timedelta(minutes=30)
HOLD = timedelta(hours=24)


@pytest.fixture
def two(empty_world: World) -> World:
    """acme and beta, without data."""
    empty_world.add(ACME)
    empty_world.add(BETA)
    return empty_world


def begin(
    world: World,
    night: date = NIGHT,
    *,
    tenant: Any = ACME,
    owner: str = "me",
    alive: bool = True,
    now: datetime = NOW,
) -> Lease | NightReport:
    return world.stores.nights.begin(
        tenant, night, owner=owner, alive=lambda _: alive, now=now, lease=LEASE
    )


def lease_of(world: World, night: date = NIGHT, **how: Any) -> Lease:
    lease = begin(world, night, **how)
    assert isinstance(lease, Lease)
    return lease


def taken(nights: Nights, tenant: TenantId) -> tuple[int, int]:
    before = nights.before([tenant])[tenant]
    return before.model_taken, before.edition_taken


def came_to(edition: int = 1, model: int = 1) -> Conclusion:
    return Conclusion(
        Outcome.PROMOTED,
        "the challenger's error is lower",
        {"lists": 3},
        (NewModel(model, "als", NIGHT, Outcome.PROMOTED, "better"),),
        model,
        NewEdition(edition, model, 3, "5ha"),
    )


class Pointer:
    """What was served, in order."""

    def __init__(self) -> None:
        self.served: list[int] = []

    def __call__(self, edition: NewEdition) -> None:
        self.served.append(edition.number)

    def back(self, row: Any, fence: int) -> None:
        self.served.append(row.edition)


def conclude(
    world: World,
    lease: Lease,
    conclusion: Conclusion | None = None,
    *,
    point: Callable[[NewEdition], None] | None = None,
    now: datetime = NOW,
) -> NightReport:
    return world.stores.nights.conclude(
        lease,
        conclusion or came_to(),
        point or Pointer(),
        allowed=lambda mode: mode is Mode.ON,
        now=now,
    )


def begin_all(
    world: World, asks: list[tuple[TenantId, date]], *, owner: str = "me"
) -> list[Lease | NightReport | Problem]:
    return world.stores.nights.begin_all(
        asks, owner=owner, alive=lambda _: True, now=NOW, lease=LEASE
    )


def ending(lease: Lease, point: Callable[[NewEdition], None] | None = None) -> Ending:
    return Ending(lease, came_to(), point or Pointer(), lambda mode: mode is Mode.ON)


def conclude_all(world: World, leases: list[Lease], point: Pointer) -> list[NightReport]:
    endings = [ending(lease, point) for lease in leases]
    reports = world.stores.nights.conclude_all(endings, now=NOW)
    return [report for report in reports if isinstance(report, NightReport)]


def activate(world: World, number: int, point: Pointer, now: datetime = NOW) -> None:
    world.stores.nights.activate(
        ACME, number, point.back, hold=HOLD, by="ann", why="odd lists", now=now
    )


class TestBegin:
    def test_gives_a_lease_whose_fence_only_grows(self, two: World) -> None:
        first = lease_of(two)
        conclude(two, first)
        assert lease_of(two, NEXT_NIGHT).fence > first.fence

    def test_a_night_that_is_done_gives_its_report_and_no_second_lease(self, two: World) -> None:
        done = conclude(two, lease_of(two))
        assert begin(two) == done

    def test_is_refused_while_its_owner_lives(self, two: World) -> None:
        lease_of(two, owner="host:1:1")
        with pytest.raises(Problem) as refused:
            begin(two)
        assert refused.value.code == "NIGHT_RUNNING"
        assert "host:1:1" in refused.value.what

    def test_is_taken_over_when_its_owner_is_dead(self, two: World) -> None:
        first = lease_of(two)
        assert lease_of(two, alive=False).fence > first.fence

    def test_is_taken_over_when_its_lease_is_over_though_its_owner_lives(self, two: World) -> None:
        first = lease_of(two)
        assert lease_of(two, now=NOW + LEASE).fence > first.fence

    def test_the_one_it_was_taken_from_may_not_publish_any_more(self, two: World) -> None:
        first, point = lease_of(two), Pointer()
        second = lease_of(two, alive=False)
        with pytest.raises(Problem) as refused:
            conclude(two, first, point=point)
        assert refused.value.code == "FENCED"
        assert point.served == []
        assert conclude(two, second, point=point).published
        assert point.served == [1]

    def test_a_failed_night_may_run_again(self, two: World) -> None:
        conclude(two, lease_of(two), Conclusion(Outcome.FAILED, "no space", {}))
        assert conclude(two, lease_of(two)).outcome is Outcome.PROMOTED

    def test_a_failed_night_that_runs_again_is_running_and_not_finished(self, two: World) -> None:
        conclude(two, lease_of(two), Conclusion(Outcome.FAILED, "no space", {}))
        lease_of(two)
        (report,) = two.stores.nights.nights(ACME)
        assert (report.state, report.outcome, report.finished_at) == ("running", None, None)

    def test_a_night_before_a_published_one_is_refused(self, two: World) -> None:
        conclude(two, lease_of(two, NEXT_NIGHT))
        with pytest.raises(Refused) as refused:
            begin(two, NIGHT)
        assert refused.value.code == "NIGHT_PAST"

    def test_a_night_before_a_failed_one_is_not(self, two: World) -> None:
        lease = lease_of(two, NEXT_NIGHT)
        conclude(two, lease, Conclusion(Outcome.FAILED, "no space", {}))
        assert lease_of(two, NIGHT)

    def test_one_tenants_lease_and_past_do_not_bind_the_other(self, two: World) -> None:
        conclude(two, lease_of(two, NEXT_NIGHT))
        lease_of(two, NEXT_NIGHT + timedelta(days=1))
        assert lease_of(two, NIGHT, tenant=BETA)

    def test_an_unknown_tenant_has_no_nights(self, two: World) -> None:
        with pytest.raises(NotThere):
            begin(two, tenant="nobody")


class TestConclude:
    def test_publishes_and_records_everything_in_one_breath(self, two: World) -> None:
        point = Pointer()
        report = conclude(two, lease_of(two), came_to(edition=7, model=3), point=point)
        assert point.served == [7]
        assert (report.edition, report.model, report.published) == (7, 3, True)
        assert (report.state, report.finished_at) == ("done", NOW)
        assert report.figures == {"lists": 3}
        assert two.tenant(ACME).model == 3
        nights = two.stores.nights
        assert taken(nights, ACME) == (3, 7)
        assert [row["because"] for row in nights.models(ACME)] == ["better"]
        assert [row["manifest_sha256"] for row in nights.editions(ACME)] == ["5ha"]

    def test_records_nothing_where_the_pointer_could_not_be_swapped(self, two: World) -> None:
        def full(edition: NewEdition) -> None:
            raise OSError("no space")

        with pytest.raises(OSError, match="no space"):
            conclude(two, lease_of(two), point=full)
        assert taken(two.stores.nights, ACME) == (0, 0)
        assert two.tenant(ACME).model is None
        assert two.stores.nights.nights(ACME)[0].state == "running"

    @pytest.mark.parametrize(
        ("mode", "outcome"), [(Mode.OFF, Outcome.OFF), (Mode.FREEZE, Outcome.FROZEN)]
    )
    def test_a_switch_made_meanwhile_withdraws_the_publication(
        self, two: World, mode: Mode, outcome: Outcome
    ) -> None:
        lease, point = lease_of(two), Pointer()
        two.switch(ACME, mode)
        report = conclude(two, lease, point=point)
        assert (report.outcome, report.published, report.edition) == (outcome, False, None)
        assert point.served == []
        assert two.tenant(ACME).model is None
        assert taken(two.stores.nights, ACME) == (0, 0)

    def test_a_withdrawn_night_runs_once_the_mode_allows_it_again(self, two: World) -> None:
        lease = lease_of(two)
        two.switch(ACME, Mode.OFF)
        report = conclude(two, lease)
        assert begin(two) == report
        two.switch(ACME, Mode.ON)
        assert conclude(two, lease_of(two)).published

    def test_a_rollback_made_meanwhile_fences_it(self, two: World) -> None:
        point = Pointer()
        conclude(two, lease_of(two), point=point)
        lease = lease_of(two, NEXT_NIGHT)
        activate(two, 1, point)
        with pytest.raises(Problem) as refused:
            conclude(two, lease, came_to(edition=2, model=2), point=point)
        assert refused.value.code == "FENCED"
        assert point.served == [1, 1]
        assert two.tenant(ACME).model == 1

    def test_the_other_tenant_is_not_touched(self, two: World) -> None:
        conclude(two, lease_of(two))
        assert two.tenant(BETA).model is None
        assert two.stores.nights.nights(BETA) == []
        assert two.stores.nights.editions(BETA) == two.stores.nights.models(BETA) == []
        assert list(two.stores.nights.last_nights()) == [ACME]


class TestManyAtOnce:
    def test_are_begun_in_their_order_and_each_told_on_its_own(self, two: World) -> None:
        done = conclude(two, lease_of(two, tenant=BETA))
        nobody = TenantId("nobody")
        asks = [(nobody, NIGHT), (BETA, NIGHT), (ACME, NIGHT)]
        unknown, report, lease = begin_all(two, asks)
        assert isinstance(unknown, NotThere)
        assert report == done
        assert isinstance(lease, Lease)
        assert lease.tenant == ACME

    def test_a_refused_one_does_not_overtake_the_night_that_runs(self, two: World) -> None:
        running = lease_of(two, owner="host:1:1")
        refused, lease = begin_all(two, [(ACME, NIGHT), (BETA, NIGHT)], owner="host:2:2")
        assert isinstance(refused, Problem)
        assert refused.code == "NIGHT_RUNNING"
        assert isinstance(lease, Lease)
        assert conclude(two, running).published

    def test_two_schedulers_at_once_share_them_out(self, two: World) -> None:
        asks = [(ACME, NIGHT), (BETA, NIGHT)]
        with ThreadPoolExecutor() as pool:
            ours, theirs = pool.map(
                lambda turn: begin_all(two, asks[::turn], owner=f"host:{turn}:1"), (1, -1)
            )
        given = [each for each in (*ours, *theirs) if isinstance(each, Lease)]
        assert sorted(lease.tenant for lease in given) == [ACME, BETA]

    def test_are_published_and_recorded_in_their_order(self, two: World) -> None:
        leases = [lease_of(two, tenant=BETA), lease_of(two, tenant=ACME)]
        reports = conclude_all(two, leases, Pointer())
        assert [(report.tenant, report.published) for report in reports] == [
            (BETA, True),
            (ACME, True),
        ]
        assert reports[1] == two.stores.nights.night(ACME, NIGHT)

    def test_a_pointer_that_fails_undoes_its_own_night_alone(self, two: World) -> None:
        def full(edition: NewEdition) -> None:
            raise OSError("no space left on device")

        bad, good = lease_of(two, tenant=ACME), lease_of(two, tenant=BETA)
        told = two.stores.nights.conclude_all([ending(bad, full), ending(good)], now=NOW)
        assert isinstance(told[0], OSError)
        assert isinstance(told[1], NightReport)
        assert taken(two.stores.nights, ACME) == (0, 0)
        assert two.tenant(ACME).model is None
        assert taken(two.stores.nights, BETA) == (1, 1)

    def test_a_row_that_cannot_be_written_undoes_its_own_night_alone(self, two: World) -> None:
        conclude(two, lease_of(two))
        bad, good = lease_of(two, NEXT_NIGHT), lease_of(two, tenant=BETA)
        told = two.stores.nights.conclude_all([ending(bad), ending(good)], now=NOW)
        assert isinstance(told[0], IntegrityError)  # edition 1 is on record already
        assert isinstance(told[1], NightReport)
        assert two.stores.nights.nights(ACME)[0].state == "running"
        assert two.tenant(BETA).model == 1

    def test_one_that_was_overtaken_is_not_published_beside_the_others(self, two: World) -> None:
        late, good = lease_of(two, owner="host:1:1"), lease_of(two, tenant=BETA)
        lease_of(two, alive=False)
        point = Pointer()
        told = two.stores.nights.conclude_all([ending(late, point), ending(good)], now=NOW)
        assert isinstance(told[0], Problem)
        assert told[0].code == "FENCED"
        assert isinstance(told[1], NightReport)
        assert point.served == []

    def test_what_a_night_has_to_know_is_read_for_each_tenant_alone(self, two: World) -> None:
        conclude(two, lease_of(two), came_to(edition=7, model=3))
        before = two.stores.nights.before([ACME, BETA, TenantId("nobody")])
        assert sorted(before) == [ACME, BETA]
        assert [row.edition for row in before[ACME].editions] == [7]
        assert [report.edition for report in before[ACME].published] == [7]
        assert (before[BETA].editions, before[BETA].published) == ((), ())
        assert (before[BETA].model_taken, before[BETA].edition_taken) == (0, 0)

    def test_whose_tenant_gave_feedback_is_known(self, two: World) -> None:
        line: dict[str, Any] = {
            "event_id": "e",
            "digest": "d",
            "kind": "purchased",
            "customer_id": "C-0001",
        }
        line |= {"product_id": "P", "occurred_at": NOW, "received_at": NOW}
        with two.stores.engine.begin() as connection:
            connection.execute(insert(FEEDBACK).values(tenant=BETA, **line))
        before = two.stores.nights.before([ACME, BETA])
        assert (before[ACME].heard, before[BETA].heard) == (False, True)


class TestALease:
    def test_that_waits_for_its_turn_is_extended(self, two: World) -> None:
        lease = lease_of(two, owner="host:1:1")
        two.stores.nights.extend([lease], 3 * LEASE, now=NOW)
        with pytest.raises(Problem, match="running"):
            begin(two, now=NOW + 2 * LEASE)

    def test_that_was_taken_over_is_not(self, two: World) -> None:
        lost = lease_of(two, owner="host:1:1")
        ours = lease_of(two, now=NOW + 2 * LEASE)
        two.stores.nights.extend([lost], 9 * LEASE, now=NOW)
        assert isinstance(begin(two, now=NOW + 4 * LEASE), Lease)
        assert ours.fence > lost.fence


class TestALedgerThatIsAway:
    """B07: before, during, and at the commit."""

    def test_is_waited_for(self, two: World) -> None:
        leases = [lease_of(two), lease_of(two, tenant=BETA)]
        with gone(two, times=2) as away:
            reports = conclude_all(two, leases, Pointer())
        assert away.calls == 3
        assert [report.published for report in reports] == [True, True]

    def test_and_took_the_commit_without_a_word_has_recorded_once(self, two: World) -> None:
        leases = [lease_of(two), lease_of(two, tenant=BETA)]
        point = Pointer()
        with gone(two, times=1, after=True):
            reports = conclude_all(two, leases, point)
        assert [report.published for report in reports] == [True, True]
        assert sorted(point.served) == [1, 1]
        assert [row["edition"] for row in two.stores.nights.editions(ACME)] == [1]

    def test_and_took_a_begin_without_a_word_has_given_the_lease_to_who_asked(
        self, two: World
    ) -> None:
        with gone(two, times=1, after=True):
            lease = lease_of(two)
        assert conclude(two, lease).published

    def test_is_given_up_after_a_while_and_the_night_can_be_repeated(
        self, two: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "PATIENCE", 0.2)
        lease = lease_of(two)
        with gone(two, times=99), pytest.raises(LedgerAway):
            conclude(two, lease)
        assert conclude(two, lease).published


class Gone:
    """Commits that fail, counted."""

    def __init__(self, times: int, *, after: bool) -> None:
        self.calls, self._times, self._after = 0, times, after

    def __call__(self, connection: Connection) -> None:
        if connection.get_execution_options().get("reading"):
            return
        self.calls += 1
        if self.calls <= self._times:
            if self._after:
                connection.exec_driver_sql("COMMIT")
            raise OperationalError("COMMIT", {}, Exception("the server has gone away"))


@contextmanager
def gone(world: World, times: int, *, after: bool = False) -> Iterator[Gone]:
    """The next so many commits fail; after: the ledger did them, and the word of it was lost."""
    away = Gone(times, after=after)
    event.listen(world.stores.engine, "commit", away)
    yield away
    event.remove(world.stores.engine, "commit", away)


class TestHold:
    def test_while_a_rollback_holds_nothing_is_published_but_the_verdict_stands(
        self, two: World
    ) -> None:
        point = Pointer()
        conclude(two, lease_of(two), point=point)
        activate(two, 1, point)
        soon = NOW + HOLD - timedelta(seconds=1)
        report = conclude(
            two, lease_of(two, NEXT_NIGHT, now=soon), came_to(2, 2), point=point, now=soon
        )
        assert (report.outcome, report.published) == (Outcome.PROMOTED, False)
        assert point.served == [1, 1]

    def test_it_ends_by_itself(self, two: World) -> None:
        point = Pointer()
        conclude(two, lease_of(two), point=point)
        activate(two, 1, point)
        later = NOW + HOLD
        report = conclude(
            two, lease_of(two, NEXT_NIGHT, now=later), came_to(2, 2), point=point, now=later
        )
        assert report.published
        assert point.served == [1, 1, 2]

    def test_it_ends_when_released(self, two: World) -> None:
        point = Pointer()
        conclude(two, lease_of(two), point=point)
        activate(two, 1, point)
        two.stores.ledger.release(ACME, by="ann", at=NOW)
        assert conclude(two, lease_of(two, NEXT_NIGHT), came_to(2, 2), point=point).published


class TestActivate:
    def test_puts_the_editions_model_in_force_and_notes_why(self, two: World) -> None:
        point = Pointer()
        conclude(two, lease_of(two), came_to(1, 1))
        conclude(two, lease_of(two, NEXT_NIGHT), came_to(2, 2))
        activate(two, 1, point)
        assert two.tenant(ACME).model == 1
        assert two.tenant(ACME).held_until == NOW + HOLD
        line = two.stores.audit.of(ACME)[0]
        assert (line.act, line.actor) == ("activate", "ann")
        assert line.detail == {"edition": 1, "model": 1, "why": "odd lists"}

    def test_an_unknown_edition_is_not_there(self, two: World) -> None:
        conclude(two, lease_of(two))
        with pytest.raises(NotThere) as told:
            activate(two, 9, Pointer())
        assert told.value.code == "NO_EDITION"
        assert two.tenant(ACME).held_until is None

    def test_another_tenants_edition_is_not_there_either(self, two: World) -> None:
        conclude(two, lease_of(two, tenant=BETA))
        with pytest.raises(NotThere):
            activate(two, 1, Pointer())

    def test_an_edition_that_cannot_be_served_changes_nothing(self, two: World) -> None:
        conclude(two, lease_of(two), came_to(1, 1))
        conclude(two, lease_of(two, NEXT_NIGHT), came_to(2, 2))

        class Damaged(Pointer):
            def back(self, row: Any, fence: int) -> None:
                raise Problem("its bytes have changed", "repeat the night")

        with pytest.raises(Problem, match="bytes have changed"):
            activate(two, 1, Damaged())
        assert two.tenant(ACME).model == 2
        assert two.tenant(ACME).held_until is None


class TestReports:
    def test_newest_first_and_no_more_than_asked_for(self, two: World) -> None:
        for day in range(3):
            conclude(two, lease_of(two, NIGHT + timedelta(days=day)), came_to(day + 1, day + 1))
        nights = two.stores.nights.nights(ACME, limit=2)
        assert [report.night.day for report in nights] == [3, 2]
        assert two.stores.nights.last_nights()[ACME].night.day == 3
        assert [row["edition"] for row in two.stores.nights.editions(ACME)] == [3, 2, 1]


def scored(night: date = NIGHT, edition: int = 1) -> Realised:
    week = timedelta(days=7)
    figures, foretold = {"rmse": 0.08}, {"rmse": 0.07}
    return Realised(
        edition, 1, night, night - week, night, "served", figures, foretold, False, "as predicted"
    )


class TestTheSeriesOfWhatWasServed:
    def test_is_kept_with_the_night_and_read_back_as_it_was(self, two: World) -> None:
        points = [scored(), replace(scored(NEXT_NIGHT), lists=None, figures=None, predicted=None)]
        for night, point in zip((NIGHT, NEXT_NIGHT), points, strict=True):
            edition = 1 + points.index(point)
            conclusion = replace(came_to(edition, model=edition), realised=point)
            conclude(two, lease_of(two, night), conclusion)
        assert two.stores.nights.realised(ACME) == points[::-1]

    def test_keeps_each_point_once(self, two: World) -> None:
        failed = Conclusion(Outcome.FAILED, "no space", {}, realised=scored())
        for _ in range(2):
            conclude(two, lease_of(two), failed)
        assert two.stores.nights.realised(ACME) == [scored()]

    def test_of_one_tenant_is_not_the_others(self, two: World) -> None:
        conclude(two, lease_of(two), replace(came_to(), realised=scored()))
        assert two.stores.nights.realised(BETA) == []
        two_of_them = replace(scored(), because="beta's")
        conclude(two, lease_of(two, tenant=BETA), replace(came_to(), realised=two_of_them))
        assert [point.because for point in two.stores.nights.realised(ACME)] == ["as predicted"]

    def test_outlives_a_switch_made_meanwhile(self, two: World) -> None:
        lease = lease_of(two)
        two.switch(ACME, Mode.FREEZE)
        report = conclude(two, lease, replace(came_to(), realised=scored()))
        assert report.outcome is Outcome.FROZEN
        assert two.stores.nights.realised(ACME) == [scored()]


def choice(night: date = NIGHT, factors: int = 64) -> Choice:
    figures = {"ndcg_at_10": 0.4, "trials": [{"changes": {}, "gain": None}], "finished": True}
    changes = {"als.factors": factors, "blend.without": ["als"]}
    return Choice(night, changes, "NDCG@10 +3.0%", figures)


class TestChoicesOfHyperParameters:
    def test_are_kept_with_the_night_and_read_back_as_they_were_newest_first(
        self, two: World
    ) -> None:
        old, new = choice(), replace(choice(NEXT_NIGHT), changes={})
        conclude(two, lease_of(two), replace(came_to(), choice=old))
        conclude(two, lease_of(two, NEXT_NIGHT), replace(came_to(2, 2), choice=new))
        assert two.stores.nights.choices(ACME) == [new, old]

    def test_outlast_a_night_that_made_none(self, two: World) -> None:
        conclude(two, lease_of(two), replace(came_to(), choice=choice()))
        conclude(two, lease_of(two, NEXT_NIGHT), came_to(2, 2))
        assert two.stores.nights.choices(ACME) == [choice()]

    def test_of_a_night_that_runs_again_are_its_last_word(self, two: World) -> None:
        for factors in (64, 16):
            failed = Conclusion(Outcome.FAILED, "no space", {}, choice=choice(factors=factors))
            conclude(two, lease_of(two), failed)
        assert two.stores.nights.choices(ACME) == [choice(factors=16)]

    def test_of_one_tenant_are_not_the_others(self, two: World) -> None:
        ours, theirs = choice(), choice(factors=16)
        conclude(two, lease_of(two), replace(came_to(), choice=ours))
        assert two.stores.nights.choices(BETA) == []
        for _ in range(2):  # beta's repetition replaces beta's alone
            failed = Conclusion(Outcome.FAILED, "no space", {}, choice=theirs)
            conclude(two, lease_of(two, tenant=BETA), failed)
        assert two.stores.nights.choices(ACME) == [ours]
        assert two.stores.nights.choices(BETA) == [theirs]

    def test_are_withdrawn_with_a_night_that_a_switch_prevented(self, two: World) -> None:
        lease = lease_of(two)
        two.switch(ACME, Mode.FREEZE)
        conclude(two, lease, replace(came_to(), choice=choice()))
        assert two.stores.nights.choices(ACME) == []

    def test_are_not_kept_where_the_pointer_could_not_be_swapped(self, two: World) -> None:
        def full(edition: NewEdition) -> None:
            raise OSError("no space")

        with pytest.raises(OSError, match="no space"):
            conclude(two, lease_of(two), replace(came_to(), choice=choice()), point=full)
        assert two.stores.nights.choices(ACME) == []


class TestPublishedNights:
    def test_are_those_whose_edition_was_served(self, two: World) -> None:
        conclude(two, lease_of(two))
        conclude(two, lease_of(two, NEXT_NIGHT), Conclusion(Outcome.FROZEN, "frozen", {}))
        assert [report.night for report in two.stores.nights.published(ACME)] == [NIGHT]
        assert two.stores.nights.published(BETA) == []
