"""What a run came to, counted from results whose answer is known."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from jobs.cli.summary import lines
from jobs.results import Failure, Result, Task
from jobs.summary import Summary, read, summarize
from schema.names import Mode, Outcome, TenantId
from schema.records import NightReport
from storage.runs import Earlier
from tests.world import ACME, BETA, NIGHT, NOW

GAMMA = TenantId("gamma")
END = NOW + timedelta(seconds=30)


def night(
    tenant: TenantId = ACME,
    outcome: Outcome | None = Outcome.PROMOTED,
    because: str = "the challenger's error is lower: RMSE 0.1 against 0.2",
    *,
    seconds: float = 1.0,
    **figures: Any,
) -> NightReport:
    known = {"seconds": {"train": seconds, "rank": 0.5}, **figures}
    served = outcome not in (Outcome.FAILED, None)
    return NightReport(tenant, NIGHT, "done", outcome, because, served, 1, 1, known, NOW, END)


def broken(tenant: TenantId = BETA, code: str = "DATA_BROKEN") -> NightReport:
    because = f"{tenant}, validate: a file is damaged. Next: import the data again."
    return replace(night(tenant, Outcome.FAILED, because), figures={"code": code})


def lost(tenant: TenantId = GAMMA, code: str = "LEDGER_AWAY") -> Failure:
    because = f"{tenant}, publish: the ledger is away. Next: look at the database."
    return Failure(Task(tenant, NIGHT), because, code)


def elsewhere(tenant: TenantId = GAMMA) -> Failure:
    because = f"{tenant}, publish: the night of {NIGHT} is running since 00:14 UTC (host:1:1)."
    return Failure(Task(tenant, NIGHT), because, "NIGHT_RUNNING")


def told(
    *results: Result,
    earlier: Mapping[TenantId, Earlier] | None = None,
    held: Mapping[TenantId, str] | None = None,
) -> Summary:
    return summarize(results, earlier or {}, [Mode.ON, Mode.ON, Mode.FREEZE], held or {}, NOW, END)


class TestCounts:
    def test_every_tenant_by_its_verdict_and_those_that_did_not_run(self) -> None:
        found = told(night(), night(BETA), broken(TenantId("delta")), lost())
        assert found.words == {"promoted": 2, "failed": 1, "not run": 1}
        assert (found.tenants, found.published, found.nights) == (4, 2, (NIGHT,))

    def test_equal_reasons_together_whatever_their_figures(self) -> None:
        found = told(
            night(because="the challenger's error is lower: RMSE 0.1 against 0.2"),
            night(BETA, because="the challenger's error is lower: RMSE 0.3 against 0.4"),
        )
        [reason] = found.reasons
        assert (reason.tenants, reason.because) == (2, "the challenger's error is lower")

    def test_failures_by_their_code_whatever_their_sentences(self) -> None:
        found = told(broken(ACME), broken(BETA), lost())
        assert found.codes == {"DATA_BROKEN": 2, "LEDGER_AWAY": 1}
        assert [(r.word, r.because, r.tenants) for r in found.reasons] == [
            ("failed", "DATA_BROKEN", 2),
            ("not run", "LEDGER_AWAY", 1),
        ]

    def test_all_tenants_by_their_switch(self) -> None:
        assert told(night()).modes == {"on": 2, "freeze": 1, "off": 0}

    def test_apart_what_an_earlier_run_had_done(self) -> None:
        before = replace(night(BETA), finished_at=NOW - timedelta(hours=1))
        found = told(night(), before)
        assert (found.tenants, found.worked, found.per_minute) == (2, 1, 2.0)


class TestFigures:
    def test_the_slowest_ten_come_first_the_longest(self) -> None:
        many = [night(TenantId(f"t{n}"), seconds=float(n)) for n in range(12)]
        found = told(*many)
        assert [one.tenant for one in found.slowest] == [f"t{n}" for n in range(11, 1, -1)]
        assert found.slowest[0].seconds == 11.5

    def test_seconds_are_added_up_by_stage(self) -> None:
        assert told(night(), night(BETA, seconds=2)).stages == {"train": 3.0, "rank": 1.0}

    def test_the_largest_memory_is_told_with_its_tenant(self) -> None:
        found = told(night(memory=10), night(BETA, memory=30), night(GAMMA))
        assert found.largest is not None
        assert (found.largest.tenant, found.largest.memory) == (BETA, 30)

    def test_memory_that_was_not_measured_is_not_told(self) -> None:
        assert told(night()).largest is None


class TestAPerson:
    def test_is_told_of_every_failure_with_what_to_do_next(self) -> None:
        found = told(night(), broken(), lost())
        assert [(c.tenant, c.code, c.next_step) for c in found.failures] == [
            (BETA, "DATA_BROKEN", "import the data again"),
            (GAMMA, "LEDGER_AWAY", "look at the database"),
        ]

    def test_is_sent_to_why_where_a_failure_does_not_say_what_to_do(self) -> None:
        [case] = told(replace(broken(), because="odd")).failures
        assert case.next_step == "see `recfactory why beta`"

    def test_is_asked_about_held_models_flags_and_held_deliveries(self) -> None:
        flag = {"flagged": True, "because": "above its band"}
        found = told(
            night(ACME, Outcome.HELD), night(BETA, realised=flag), night(GAMMA), held={GAMMA: "b7"}
        )
        assert [(c.tenant, c.code) for c in found.waiting] == [
            (ACME, "MODEL_HELD"),
            (BETA, "FLAGGED"),
            (GAMMA, "DELIVERY_HELD"),
        ]
        assert "b7" in found.waiting[2].next_step

    def test_is_not_asked_about_deliveries_of_tenants_that_were_not_due(self) -> None:
        found = told(night(ACME), held={BETA: "b7"})
        assert (found.waiting, found.status) == ((), 0)

    def test_sees_that_the_brake_stopped_the_fleet(self) -> None:
        assert told(night(), lost(code="FLEET_BRAKE")).braked
        assert not told(night(), lost()).braked


class TestNightsThatAnotherRunIsAt:
    def test_are_told_in_one_sentence_and_are_no_failures(self) -> None:
        found = told(night(), elsewhere(), elsewhere(BETA))
        since = f"the night of {NIGHT} is running since 00:14 UTC (host:1:1)."
        assert found.elsewhere == f"2 of 3 tenants: {since}"
        assert found.words == {"promoted": 1, "running": 2}
        assert (found.failures, found.codes) == ((), {})

    def test_are_compared_by_the_run_that_is_at_them(self) -> None:
        earlier = {ACME: Earlier("failed", 0.0), GAMMA: Earlier("failed", 0.0)}
        found = told(night(), elsewhere(), earlier=earlier).compared
        assert (found.tenants, found.recovered, found.newly_failing) == (1, (ACME,), ())

    def test_are_shown_on_the_screen(self) -> None:
        assert f"Another run is at {told(elsewhere()).elsewhere}" in [*lines(told(elsewhere()))]
        assert not any("Another run" in line for line in lines(told(night(), lost())))


class TestStatus:
    @pytest.mark.parametrize(
        ("results", "held", "status"),
        [
            ([night()], {}, 0),
            ([night(outcome=Outcome.REJECTED), night(BETA, Outcome.TOO_SMALL)], {}, 0),
            ([night(), broken()], {}, 1),
            ([night(), lost()], {}, 1),
            ([night(outcome=Outcome.HELD)], {}, 3),
            ([night(realised={"flagged": True, "because": "x"})], {}, 3),
            ([night()], {ACME: "b7"}, 3),
            ([night(), broken()], {ACME: "b7"}, 1),
            ([night(), elsewhere()], {}, 0),
            ([broken(), elsewhere()], {}, 1),
            ([elsewhere(BETA), elsewhere()], {}, 0),
        ],
    )
    def test_is_0_for_well_1_for_failed_3_for_a_person(
        self, results: list[Result], held: Mapping[TenantId, str], status: int
    ) -> None:
        assert told(*results, held=held).status == status


class TestAgainstTheNightBefore:
    def test_names_who_fails_newly_and_who_is_well_again(self) -> None:
        earlier = {
            ACME: Earlier("failed", 0.0),
            BETA: Earlier("promoted", 1.0),
            GAMMA: Earlier("failed", 0.0),
        }
        found = told(night(), broken(), lost(), earlier=earlier).compared
        assert (found.newly_failing, found.recovered) == ((BETA,), (ACME,))

    def test_a_night_that_was_never_finished_had_failed(self) -> None:
        found = told(night(), earlier={ACME: Earlier("running", 0.0)}).compared
        assert found.recovered == (ACME,)

    def test_counts_how_many_more_came_to_each_word_of_the_same_tenants(self) -> None:
        earlier = {ACME: Earlier("rejected", 1.0), BETA: Earlier("promoted", 1.0)}
        found = told(night(), night(BETA), night(GAMMA), earlier=earlier).compared
        assert (found.tenants, found.words) == (2, {"promoted": 1, "rejected": -1})

    def test_tells_by_how_much_the_work_took_longer_for_those_worked_on_both_times(self) -> None:
        earlier = {ACME: Earlier("promoted", 1.0), GAMMA: Earlier("failed", 0.0)}
        found = told(night(), night(BETA, seconds=99), night(GAMMA), earlier=earlier).compared
        assert (found.seconds_before, found.seconds, found.slower) == (1.0, 1.5, 0.5)

    def test_of_nobody_says_nothing(self) -> None:
        found = told(night()).compared
        assert (found.tenants, found.slower, found.words) == (0, None, {})


class TestKept:
    def test_it_comes_back_from_json_as_it_was(self) -> None:
        flag = {"flagged": True, "because": "above its band"}
        found = told(night(memory=7), broken(), lost(), night(GAMMA, realised=flag))
        assert read(orjson.loads(orjson.dumps(found.as_json()))) == found

    def test_for_the_ledger_without_sentences_that_may_hold_what_data_hold(self) -> None:
        secret = replace(broken(), because="beta: KeyError: 'C-0001'. Next: see the log.")
        kept = told(secret).without_sentences().as_json()
        assert b"C-0001" not in orjson.dumps(kept)
        assert kept["failures"][0]["next_step"] == "see the log"
