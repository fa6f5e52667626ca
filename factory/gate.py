"""Decide whether tonight's model replaces the one in force.

Promoted only if the challenger's RMSE is strictly lower on the same pairs and no guard objects.
Every guard answers with its figure and limit, and all of them are kept with the verdict.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schema.names import Outcome
from schema.records import Guard, Judgement, Verdict
from schema.settings import GateSettings

RESAMPLES = 400

_POISSON = np.searchsorted(
    np.cumsum([math.exp(-1) / math.factorial(n) for n in range(10)]),
    (np.arange(2**16) + 0.5) / 2**16,
).astype(np.float64)
"""The Poisson(1) number that any 16 random bits draw, exact to 1/65,536: a generator's own draws cost
six times as much.
"""


def decide(
    challenger: Judgement, incumbent: Judgement, rule: GateSettings, *, seed: int
) -> Verdict:
    """Promote only if RMSE is strictly lower on the same pairs and no guard objects.

    A tie keeps the incumbent; anything missing or not finite keeps the incumbent. A gain that is
    too good to be true is held for a person, whatever the other guards say: a leak must be seen.

    Args:
        seed: of the bootstrap; the same judgements and seed give the same verdict.
    """
    sound = (_finite(challenger, incumbent), _same_pairs(challenger, incumbent))
    if any(guard.objected for guard in sound):
        why = f"the two models could not be compared: {_told(sound)}; the incumbent stays"
        return Verdict(Outcome.REJECTED, why, guards=sound)
    rmse_interval, ndcg_interval = bootstrap(challenger, incumbent, seed=seed)
    lists = (
        _ndcg(challenger, incumbent, rule, ndcg_interval),
        _coverage(challenger, incumbent, rule),
        _top_share(challenger, incumbent, rule),
    )
    alarms = (_error_gain(challenger, incumbent, rule), _ndcg_gain(challenger, incumbent, rule))
    change = challenger.rmse - incumbent.rmse
    if not change < 0:
        word = "the same" if change == 0 else "higher"
        outcome, why = Outcome.REJECTED, f"the challenger's error is {word}"
    elif any(guard.objected for guard in alarms):
        outcome = Outcome.HELD
        why = f"too good to be true, a person should look for a leak: {_told(alarms)}"
    elif any(guard.objected for guard in lists):
        outcome, why = Outcome.REJECTED, f"the lists got worse: {_told(lists)}"
    else:
        outcome, why = Outcome.PROMOTED, "the challenger's error is lower"
    figures = (
        f"RMSE {challenger.rmse:.6f} against the incumbent's {incumbent.rmse:.6f} "
        f"({100 * change / incumbent.rmse if incumbent.rmse else 0:+.2f} %, 95 % interval "
        f"{rmse_interval[0]:+.6f} to {rmse_interval[1]:+.6f}), NDCG@10 "
        f"{challenger.ndcg_at_10:.4f} against {incumbent.ndcg_at_10:.4f}, on "
        f"{challenger.bought:,} purchases among {challenger.pairs:,} pairs"
    )
    guards = (*sound, *lists, *alarms)
    return Verdict(outcome, f"{why}: {figures}", rmse_interval, ndcg_interval, guards)


def _told(guards: Sequence[Guard]) -> str:
    return "; ".join(guard.because for guard in guards if guard.objected)


def _finite(challenger: Judgement, incumbent: Judgement) -> Guard:
    broken = _broken(challenger) + _broken(incumbent)
    told = (
        f"figures that are missing or no numbers: {broken}"
        if broken
        else "every figure is a number"
    )
    return Guard("finite", broken, 0, broken > 0, told)


def _broken(judgement: Judgement) -> int:
    """How many numbers are missing, not finite, or an impossible squared error."""
    figures = sum(leaf is None for leaf in _leaves(judgement.figures()))
    errors = int((~(np.isfinite(judgement.squared_errors) & (judgement.squared_errors >= 0))).sum())
    return figures + errors + int(np.isinf(judgement.ndcgs).sum())


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _same_pairs(challenger: Judgement, incumbent: Judgement) -> Guard:
    """The figure is the purchases both were judged by; 0 where they saw different pairs."""
    alike = (
        (challenger.customers, challenger.pairs, challenger.bought)
        == (incumbent.customers, incumbent.pairs, incumbent.bought)
        and challenger.squared_errors.shape == incumbent.squared_errors.shape
        and challenger.squared_errors.shape == (challenger.customers,)
        and challenger.pair_counts.shape == (challenger.customers,)
        and np.array_equal(challenger.pair_counts, incumbent.pair_counts)
        and challenger.ndcgs.shape == incumbent.ndcgs.shape == (challenger.customers,)
        and np.array_equal(np.isnan(challenger.ndcgs), np.isnan(incumbent.ndcgs))
    )
    shared = challenger.bought if alike and challenger.pairs else 0
    if shared > 0:
        told = f"both were judged on the same {challenger.pairs:,} pairs, {shared:,} of them bought"
    elif alike:
        told = "there was nothing to judge by"
    else:
        told = "they were judged on different pairs"
    return Guard("same_pairs", shared, 1, shared < 1, told)


def _ndcg(
    challenger: Judgement,
    incumbent: Judgement,
    rule: GateSettings,
    interval: tuple[float, float],
) -> Guard:
    """Objects only to a loss that is more than noise: the whole interval lies below zero."""
    floor = (1 - rule.max_ndcg_drop) * incumbent.ndcg_at_10
    low, noise = challenger.ndcg_at_10 < floor, interval[1] >= 0
    told = f"NDCG@10 is {challenger.ndcg_at_10:.4f}, {'below' if low else 'not below'} {floor:.4f}"
    told += ", but that may be noise" if low and noise else ""
    return Guard("ndcg", challenger.ndcg_at_10, floor, low and not noise, told)


def _coverage(challenger: Judgement, incumbent: Judgement, rule: GateSettings) -> Guard:
    floor = rule.min_coverage_share * incumbent.coverage
    low = challenger.coverage < floor
    told = (
        f"the first ten places show {challenger.coverage:.1%} of the products, "
        f"{'below' if low else 'not below'} {floor:.1%}"
    )
    return Guard("coverage", challenger.coverage, floor, low, told)


def _top_share(challenger: Judgement, incumbent: Judgement, rule: GateSettings) -> Guard:
    """Where the incumbent is above the limit itself, the tenant's customers are like that."""
    alike = incumbent.top_share > rule.max_top_share
    limit = 1.0 if alike else rule.max_top_share
    high = challenger.top_share > limit
    told = (
        f"{challenger.top_share:.0%} of the customers get one and the same first product, "
        f"{'above' if high else 'not above'} {limit:.0%}"
    )
    return Guard("top_share", challenger.top_share, limit, high, told)


def _error_gain(challenger: Judgement, incumbent: Judgement, rule: GateSettings) -> Guard:
    """A leak that was there at teaching too: the blend trusts it, and the error all but vanishes."""
    gain = 1 - (challenger.rmse / incumbent.rmse) ** 2 if incumbent.rmse else 0.0
    return _alarm("error_gain", gain, rule.too_good, "of the incumbent's squared error")


def _ndcg_gain(challenger: Judgement, incumbent: Judgement, rule: GateSettings) -> Guard:
    """A leak that is there only at judging: the order is suddenly right, the probabilities are not.

    Such a one lowers MSE by a tenth, but closes a third or more of the distance between NDCG@10
    and 1; against a blend without ALS an honest model closed a twentieth (DECISIONS.md, 13).
    """
    missing = 1 - incumbent.ndcg_at_10
    gain = (challenger.ndcg_at_10 - incumbent.ndcg_at_10) / missing if missing > 0 else 0.0
    return _alarm(
        "ndcg_gain", gain, rule.too_good_ndcg, "of what the incumbent's NDCG@10 lacks to 1"
    )


def _alarm(name: str, gain: float, limit: float, whose: str) -> Guard:
    high = gain > limit
    verb, amount = ("wins", gain) if gain >= 0 else ("loses", -gain)
    told = f"it {verb} {amount:.1%} {whose}, {'above' if high else 'not above'} {limit:.0%}"
    return Guard(name, gain, limit, high, told)


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
    draws = _POISSON[rng.integers(0, 2**16, (RESAMPLES, challenger.customers), dtype=np.uint16)]
    pairs = np.maximum(draws @ challenger.pair_counts, 1)
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
