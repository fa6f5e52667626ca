"""How a fleet is cut into waves, what counts as alike, and when that is too much."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.brake import Alike, Waves, signs, waves
from schema.config import Brake
from schema.names import Outcome, TenantId
from schema.records import Conclusion

RULE = Brake()
WELL = {"empty": 0.0, "length": 50.0, "products": 400, "top_share": 0.1}


def names(count: int, first: int = 0) -> list[TenantId]:
    return [TenantId(f"t{number}") for number in range(first, first + count)]


def concluded(outcome: Outcome = Outcome.REJECTED, **figures: Any) -> Conclusion:
    return Conclusion(outcome, "because", figures)


class TestWaves:
    @pytest.mark.parametrize(
        ("tenants", "sizes"),
        [
            (5309, [53, 531, 4725]),
            (4000, [40, 400, 3560]),
            (100, [10, 10, 80]),
            (30, [10, 10, 10]),
            (25, [10, 15, 0]),
            (19, [19, 0, 0]),
            (2, [2, 0, 0]),
            (0, [0, 0, 0]),
        ],
    )
    def test_are_1_percent_10_percent_and_the_rest_and_never_too_small_to_be_judged(
        self, tenants: int, sizes: list[int]
    ) -> None:
        assert [len(wave) for wave in waves(range(tenants), RULE, "2026-04-01")] == sizes

    def test_begin_with_a_sample_of_the_fleet_and_not_with_its_largest(self) -> None:
        first, second, _ = waves(range(1000), RULE, "2026-04-01")
        for wave in (first, second):
            tenths = {place // 100 for place in wave}
            assert tenths == set(range(10))

    def test_keep_the_order_they_were_given_in(self) -> None:
        for wave in waves(range(1000), RULE, "2026-04-01"):
            assert wave == sorted(wave)

    def test_have_other_tenants_first_from_date_to_date_and_the_same_on_one(self) -> None:
        dates = [f"2026-04-{day:02}" for day in range(1, 29)]
        firsts = [tuple(waves(range(1000), RULE, day)[0]) for day in dates]
        assert len(set(firsts)) > 20
        assert firsts == [tuple(waves(range(1000), RULE, day)[0]) for day in dates]

    @given(st.integers(0, 3000), st.integers())
    def test_lose_nobody_and_have_nobody_twice(self, tenants: int, seed: int) -> None:
        found = [one for wave in waves(range(tenants), RULE, seed) for one in wave]
        assert sorted(found) == list(range(tenants))


class TestSigns:
    def test_of_a_night_that_is_well_are_none(self) -> None:
        night = concluded(lists=100, shown=WELL)
        assert signs(night, {"lists": 100, "shown": WELL}, RULE) == ()

    def test_of_one_that_failed_is_its_code(self) -> None:
        assert signs(concluded(Outcome.FAILED, code="DEFECT"), {}, RULE) == ("DEFECT",)

    def test_of_lists_are_how_they_got_worse(self) -> None:
        empty = {**WELL, "empty": 1.0, "length": 0.0}
        night = concluded(lists=100, shown=empty)
        found = signs(night, {"lists": 100, "shown": WELL}, RULE)
        assert found == ("LISTS_EMPTY", "LISTS_CUT")

    def test_of_a_model_too_good_to_be_true_is_that(self) -> None:
        assert signs(concluded(Outcome.HELD, lists=1, shown=WELL), {}, RULE) == ("HELD",)


def stopped(run: Waves, told: Sequence[tuple[TenantId, Sequence[str]]]) -> Alike | None:
    """What stops a run, told night by night; None where nothing does."""
    for tenant, its in told:
        run.ended(tenant, its)
        if alike := run.alike():
            return alike
    return None


class TestTooManyAlike:
    def test_are_more_than_2_percent_and_at_least_two(self) -> None:
        order = names(53), names(531, 53), names(4000, 584)
        told = [(tenant, ["DEFECT"]) for tenant in names(53)]
        assert stopped(Waves(order, RULE), told) == Alike(1, "DEFECT", 2, 53)

    def test_is_never_one(self) -> None:
        order = names(10), names(10, 10), names(80, 20)
        told = [(tenant, ["DEFECT"] if tenant == "t50" else []) for tenant in names(100)]
        assert stopped(Waves(order, RULE), told) is None

    def test_are_not_those_that_went_wrong_each_in_its_own_way(self) -> None:
        told = [(tenant, [f"CODE_{tenant}"]) for tenant in names(53)]
        assert stopped(Waves([names(53), []], RULE), told) is None

    def test_of_the_tenants_own_making_have_to_be_a_tenth(self) -> None:
        told = [(tenant, ["DATA_MISSING"]) for tenant in names(53)]
        found = stopped(Waves([names(53), []], RULE), told)
        assert found == Alike(1, "DATA_MISSING", 6, 53)

    def test_stop_the_rest_too_by_what_has_ended_so_far(self) -> None:
        order = names(10), names(10, 10), names(980, 20)
        told: list[tuple[TenantId, list[str]]] = [(tenant, []) for tenant in names(200)]
        told += [(tenant, ["LISTS_CUT"]) for tenant in names(100, 200)]
        found = stopped(Waves(order, RULE), told)
        assert found == Alike(3, "LISTS_CUT", 5, 205)

    def test_are_most_of_them_where_there_is_but_a_handful_and_only_by_their_lists(self) -> None:
        bad = [(tenant, ["LISTS_EMPTY"]) for tenant in names(6)]
        assert stopped(Waves([names(6), []], RULE), bad) == Alike(1, "LISTS_EMPTY", 4, 6)
        assert stopped(Waves([names(6), []], RULE), bad[:3]) is None
        failed = [(tenant, ["DEFECT"]) for tenant in names(6)]
        assert stopped(Waves([names(6), []], RULE), failed) is None

    def test_are_never_where_the_share_is_1(self) -> None:
        told = [(tenant, ["LISTS_EMPTY"]) for tenant in names(100)]
        rule = RULE.model_copy(update={"alike": 1.0})
        assert stopped(Waves([names(100), []], rule), told) is None


class TestASample:
    def test_is_not_published_before_it_is_known_to_be_well(self) -> None:
        run = Waves([names(10), names(90, 10)], RULE)
        for tenant in names(8):
            run.ended(tenant, [])
            assert not run.may_publish(tenant)
        run.ended(TenantId("t8"), [])
        assert all(run.may_publish(tenant) for tenant in names(9))

    def test_holds_back_what_comes_after_it(self) -> None:
        run = Waves([names(10), names(10, 10), names(80, 20)], RULE)
        for tenant in names(80, 20):
            run.ended(tenant, [])
        assert not any(run.may_publish(tenant) for tenant in names(80, 20))

    def test_is_not_kept_waiting_by_one_that_takes_long_unless_that_one_could_stop_it(self) -> None:
        well, odd = Waves([names(10), []], RULE), Waves([names(10), []], RULE)
        for tenant in names(9):
            well.ended(tenant, [])
            odd.ended(tenant, ["LISTS_CUT"] if tenant == "t0" else [])
        assert well.may_publish(TenantId("t0"))
        assert not odd.may_publish(TenantId("t1"))
        odd.ended(TenantId("t9"), [])
        assert odd.may_publish(TenantId("t1"))

    def test_waits_for_nobody_who_was_never_begun(self) -> None:
        run = Waves([names(10), names(90, 10)], RULE)
        for tenant in names(10):
            run.without(tenant)
        run.ended(TenantId("t10"), [])
        assert run.may_publish(TenantId("t10"))

    @given(st.lists(st.sampled_from(["", "", "", "LISTS_CUT", "DEFECT"]), min_size=10, max_size=60))
    def test_that_was_published_early_is_one_that_all_of_it_would_not_have_stopped(
        self, ends: list[str]
    ) -> None:
        tenants = names(len(ends))
        run = Waves([tenants, []], RULE)
        early = False
        for tenant, sign in zip(tenants, ends, strict=True):
            run.ended(tenant, [sign] if sign else [])
            if run.alike():
                assert not early
                return
            early = early or run.may_publish(tenant)
