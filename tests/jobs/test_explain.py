"""A verdict's sentences, where only what was kept of the night decides what they say."""

from typing import Any

import pytest

from jobs.explain import explain

JUDGED = {"customers": 60, "pairs": 1_440, "bought": 90, "rmse": 0.2}


def told(**figures: Any) -> str:
    """What is said of a challenger that lost, with these figures of its night."""
    line = {
        "tenant": "acme",
        "model": 3,
        "challenger": True,
        "ranked_by": 2,
        "edition": 2,
        "decided": None,
        "waits": False,
        "in_force": False,
        "figures": {"challenger": JUDGED, "incumbent": JUDGED, "incumbent_model": 2, **figures},
    }
    return " ".join(explain(line, published=True))


class TestThePairsThatWereCompared:
    def test_were_new_to_the_customer_where_lookups_leave_out_what_was_bought_before(self) -> None:
        assert (
            "1,440 pairs of a customer and a product that were new to the customer, 90 of them"
        ) in told(bought_before={"decided": "exclude", "rate": 0.01})

    @pytest.mark.parametrize(
        "figures", [{"bought_before": {"decided": "include"}}, {"bought_before": None}, {}]
    )
    def test_were_all_of_them_where_lookups_do_not_and_on_nights_before_that_was_noted(
        self, figures: dict[str, Any]
    ) -> None:
        said = told(**figures)
        assert "1,440 pairs of a customer and a product, 90 of them bought" in said
        assert "new to the customer" not in said
