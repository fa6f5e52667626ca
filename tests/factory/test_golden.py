"""Our ranking measures against an independent implementation: golden/make.py asked ``ranx``.

Two definitions are ours on purpose, and converted here:

- A customer who bought nothing that could be listed has no measure (NaN) and is left out of the
  mean; ranx gives 0, which would let a quiet week look like a bad model.
- Average precision is divided by ``min(10, bought)``, the most that ten places can hold; ranx
  divides by all that was bought, so that a perfect list of ten would not reach 1.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory import metrics
from factory.hits import PLACES, Hits, relevant
from factory.top import best, cells_of

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "metrics.json").read_text()
)
WITH_TRUTH = [case for case in CASES if set(case["bought"]) - set(case["unlisted"])]
EXACT = 1e-9


def looked_at(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Hits and relevant products of a case, by the way a judge goes: 0 is not listed."""
    scores = np.array([case["scores"]], np.float32) + 1
    scores[:, case["unlisted"]] = 0
    bought = np.zeros((1, len(case["scores"])), np.float32)
    bought[:, case["bought"]] = 1
    hits = Hits()
    hits.add(best(scores, PLACES), bought, relevant(scores, cells_of(bought > 0)))
    return hits.joined()


def test_the_cases_hold_ties_short_lists_and_more_bought_than_places() -> None:
    assert any(len(set(case["scores"])) < len(case["scores"]) for case in WITH_TRUTH)
    assert any(len(case["scores"]) - len(case["unlisted"]) < 10 for case in WITH_TRUTH)
    assert any(len(set(case["bought"]) - set(case["unlisted"])) > 10 for case in WITH_TRUTH)
    assert len(WITH_TRUTH) < len(CASES)


@pytest.mark.parametrize("case", WITH_TRUTH)
class TestACustomerWhoBought:
    def test_has_the_ndcg_of_ranx(self, case: dict[str, Any]) -> None:
        assert metrics.ndcg(*looked_at(case))[0] == pytest.approx(case["ndcg"], abs=EXACT)

    def test_has_the_recall_of_ranx(self, case: dict[str, Any]) -> None:
        assert metrics.recall(*looked_at(case))[0] == pytest.approx(case["recall"], abs=EXACT)

    def test_has_the_hit_rate_of_ranx(self, case: dict[str, Any]) -> None:
        assert metrics.hit_rate(*looked_at(case))[0] == pytest.approx(case["hit_rate"], abs=EXACT)

    def test_has_the_average_precision_of_ranx_over_what_fits_on_a_list(
        self, case: dict[str, Any]
    ) -> None:
        hits, relevant = looked_at(case)
        theirs = case["map"] * relevant[0] / min(10, relevant[0])
        assert metrics.average_precision(hits, relevant)[0] == pytest.approx(theirs, abs=EXACT)


def test_the_mean_of_ranx_over_those_who_bought_is_our_mean() -> None:
    values = np.concatenate([metrics.ndcg(*looked_at(case)) for case in CASES])
    theirs = sum(case["ndcg"] for case in WITH_TRUTH) / len(WITH_TRUTH)
    assert metrics.mean(values) == pytest.approx(theirs, abs=EXACT)


@pytest.mark.parametrize("measure", ["ndcg", "recall", "average_precision", "hit_rate"])
def test_who_bought_nothing_has_no_measure_where_ranx_says_zero(measure: str) -> None:
    for case in CASES:
        if case not in WITH_TRUTH:
            assert case["ndcg"] == 0
            assert np.isnan(getattr(metrics, measure)(*looked_at(case))[0])
