"""Decide whether tonight's model replaces the one in force."""

import numpy as np
from numpy.typing import NDArray

from schema.names import Outcome
from schema.records import Judgement, Verdict
from schema.settings import GateSettings

RESAMPLES = 400


def decide(
    challenger: Judgement, incumbent: Judgement, rule: GateSettings, *, seed: int
) -> Verdict:
    """Promote only if RMSE is strictly lower on the same pairs and no guard objects.

    A tie keeps the incumbent; anything missing or not finite keeps the incumbent.
    """
    if not _comparable(challenger, incumbent):
        return Verdict(
            Outcome.REJECTED,
            "the two models could not be compared on the same finite figures; the incumbent stays",
        )
    rmse_interval, ndcg_interval = bootstrap(challenger, incumbent, seed=seed)
    change = challenger.rmse - incumbent.rmse
    figures = (
        f"RMSE {challenger.rmse:.6f} against the incumbent's {incumbent.rmse:.6f} "
        f"({100 * change / incumbent.rmse if incumbent.rmse else 0:+.2f} %, 95 % interval "
        f"{rmse_interval[0]:+.6f} to {rmse_interval[1]:+.6f}), NDCG@10 "
        f"{challenger.ndcg_at_10:.4f} against {incumbent.ndcg_at_10:.4f}, on "
        f"{challenger.bought:,} purchases among {challenger.pairs:,} pairs"
    )
    if not change < 0:
        word = "the same" if change == 0 else "higher"
        outcome, why = Outcome.REJECTED, f"the challenger's error is {word}: {figures}"
    elif challenger.rmse**2 < (1 - rule.too_good) * incumbent.rmse**2:
        outcome, why = (
            Outcome.HELD,
            f"too good to be true, a person should look for a leak: {figures}",
        )
    elif objection := _objection(challenger, incumbent, rule, ndcg_interval):
        outcome, why = Outcome.REJECTED, f"{objection}: {figures}"
    else:
        outcome, why = Outcome.PROMOTED, f"the challenger's error is lower: {figures}"
    return Verdict(outcome, why, rmse_interval, ndcg_interval)


def _comparable(challenger: Judgement, incumbent: Judgement) -> bool:
    same = (challenger.customers, challenger.pairs, challenger.bought) == (
        incumbent.customers,
        incumbent.pairs,
        incumbent.bought,
    )
    numbers = [
        number
        for judgement in (challenger, incumbent)
        for number in judgement.figures().values()
        if isinstance(number, float)
    ]
    return same and challenger.pairs > 0 and bool(np.isfinite(numbers).all())


def _objection(
    challenger: Judgement,
    incumbent: Judgement,
    rule: GateSettings,
    ndcg_interval: tuple[float, float],
) -> str:
    floor = (1 - rule.max_ndcg_drop) * incumbent.ndcg_at_10
    if challenger.ndcg_at_10 < floor and ndcg_interval[1] < 0:
        return f"the lists got worse by more than {rule.max_ndcg_drop:.0%} in NDCG@10"
    if challenger.coverage < rule.min_coverage_share * incumbent.coverage:
        return (
            f"the lists collapsed: they show {challenger.coverage:.1%} of the products "
            f"where the incumbent's show {incumbent.coverage:.1%}"
        )
    if challenger.top_share > rule.max_top_share >= incumbent.top_share:
        return f"the lists collapsed: {challenger.top_share:.0%} of the customers get one first product"
    return ""


def bootstrap(
    challenger: Judgement, incumbent: Judgement, *, seed: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % intervals of challenger minus incumbent, for RMSE and NDCG@10.

    Paired, over customers (their pairs are not independent); each resample weighs every customer
    by a Poisson(1) draw.

    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993; Poisson weights after
        Chamandy et al., "Estimating uncertainty for massive data streams", Google, 2012.
    """
    rng = np.random.default_rng(seed)
    draws = rng.poisson(1, (RESAMPLES, challenger.customers)).astype(np.float32)
    pairs = challenger.pairs / challenger.customers * np.maximum(draws.sum(1), 1)
    rmse = np.sqrt(draws @ challenger.squared_errors / pairs) - np.sqrt(
        draws @ incumbent.squared_errors / pairs
    )
    judged = ~np.isnan(challenger.ndcgs)
    weights = draws[:, judged]
    gains = challenger.ndcgs[judged] - incumbent.ndcgs[judged]
    return _interval(rmse), _interval(weights @ gains / np.maximum(weights.sum(1), 1))


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
