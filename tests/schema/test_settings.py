from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from schema.names import Event
from schema.settings import AlsSettings, TenantSettings, with_changes

TEMPLATE = TenantSettings(als=AlsSettings(factors=48))


def refusal(changes: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as told:
        with_changes(TEMPLATE, changes)
    assert told.value.code == "SETTINGS"
    return told.value


class TestATenantsOwnChoices:
    def test_lie_over_the_template_and_leave_its_other_values(self) -> None:
        changed = with_changes(TEMPLATE, {"als.iterations": 7, "seed": 3})

        assert changed.als.iterations == 7
        assert changed.seed == 3
        assert changed.als.factors == 48
        assert changed.gate == TEMPLATE.gate

    def test_reach_into_a_group_and_into_the_weights_of_events(self) -> None:
        changed = with_changes(TEMPLATE, {"interest_weights.view": 0.2, "windows.days": [7, 14]})

        assert changed.interest_weights[Event.VIEW] == 0.2
        assert changed.interest_weights[Event.CLICK] == 0.1
        assert changed.windows.days == (7, 14)

    def test_leave_the_template_as_it_was(self) -> None:
        template = TenantSettings()

        with_changes(template, {"als.factors": 64, "interest_weights.view": 0.9})

        assert template == TenantSettings()

    def test_of_a_whole_group_leave_what_they_do_not_name_to_the_template(self) -> None:
        changed = with_changes(TEMPLATE, {"als": {"iterations": 7}})

        assert (changed.als.iterations, changed.als.factors) == (7, 48)

    def test_that_are_none_are_the_template(self) -> None:
        assert with_changes(TEMPLATE, {}) == TEMPLATE

    @given(factors=st.integers(1, 512), length=st.integers(40, 1000))
    def test_within_the_ranges_are_taken(self, factors: int, length: int) -> None:
        changed = with_changes(TEMPLATE, {"als.factors": factors, "lists.length": length})

        assert (changed.als.factors, changed.lists.length) == (factors, length)


class TestARefusal:
    @pytest.mark.parametrize(
        "name",
        [
            "factors",
            "als.factor",
            "als.factors.x",
            "als.",
            "",
            ".",
            "a.b.c",
            "interest_weights.buy",
        ],
    )
    def test_names_the_setting_that_does_not_exist(self, name: str) -> None:
        assert repr(name) in refusal({name: 1}).what

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("als.factors", 0),
            ("als.factors", 513),
            ("als.factors", "many"),
            ("als.factors", 1.5),
            ("als.regularization", 0),
            ("als.alpha", -1),
            ("als.memory", 0),
            ("als.continued_iterations", -1),
            ("blend.teach_windows", 0),
            ("blend.window_decay", 0),
            ("blend.window_decay", 1.1),
            ("blend.customers", 9),
            ("blend.sample", 999),
            ("blend.ridge", 0),
            ("blend.without", ["magic"]),
            ("blend.without", ["intercept"]),
            ("blend.without", "als"),
            ("windows.max_share", 0.6),
            ("windows.days", "week"),
            ("gate.max_ndcg_drop", 1.1),
            ("gate.too_good", 0),
            ("lists.length", 0),
            ("frozen_lists", "forget"),
            ("bought_events", ["sneeze"]),
            ("seed", -1),
            ("seed", 2**31),
            ("als", 5),
        ],
    )
    def test_names_the_value_that_is_out_of_range(self, name: str, value: Any) -> None:
        assert name in refusal({name: value}).what

    def test_names_every_fault_at_once(self) -> None:
        what = refusal({"als.factors": 0, "lists.length": 0, "seed": -1}).what

        assert all(name in what for name in ("als.factors", "lists.length", "seed"))

    @pytest.mark.parametrize("endless", [float("inf"), float("-inf"), float("nan")])
    @pytest.mark.parametrize(
        "name",
        [
            "als.alpha",
            "als.regularization",
            "als.memory",
            "blend.ridge",
            "gate.max_ndcg_drop",
            "interest_weights.view",
        ],
    )
    def test_meets_a_number_without_end(self, name: str, endless: float) -> None:
        assert name.split(".")[0] in refusal({name: endless}).what

    @pytest.mark.parametrize("days", [[], [0], [7, -14]])
    def test_meets_windows_that_have_no_days(self, days: list[int]) -> None:
        assert "windows.days" in refusal({"windows.days": days}).what

    def test_meets_a_model_that_would_predict_nothing(self) -> None:
        assert "bought_events" in refusal({"bought_events": []}).what

    def test_meets_an_interest_below_nothing(self) -> None:
        assert "interest_weights" in refusal({"interest_weights.view": -0.1}).what

    def test_of_a_long_name_stays_short(self) -> None:
        assert len(refusal({"x" * 5000: 1}).what) < 200

    def test_leaves_the_template_as_it_was(self) -> None:
        template = TenantSettings()

        with pytest.raises(Refused):
            with_changes(template, {"seed": 4, "als.factors": 0})

        assert template == TenantSettings()


class TestSettings:
    def test_cannot_be_changed_after_they_were_made(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            TEMPLATE.seed = 5  # type: ignore[misc]
