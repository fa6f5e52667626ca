"""The engine against simple rules, on the days after a cut that none of them saw."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, probabilities
from factory.evidence import Evidence, as_of, bought_between
from factory.hits import PLACES, Hits, relevant
from factory.judge import chunks
from factory.metrics import ndcg
from factory.top import best, cells_of
from factory.train import ALS, BASELINE, train, view
from factory.windows import choose
from schema.records import History, Model
from schema.settings import TenantSettings

Scorer = Callable[[NDArray[np.integer]], NDArray[np.float32]]
"""Customers (row numbers) -> (customers, P) scores, > 0 where listed; a higher one stands first."""

METHODS = ("popular", "recent", "own recency", "ALS alone", "blend without ALS", "engine")


@dataclass(frozen=True, slots=True)
class Score:
    """NDCG@10 of one method: its mean over judged customers and half its 95 % interval."""

    method: str
    any: float
    any_margin: float
    new: float
    new_margin: float


def evaluate(
    history: History, cut: int, days: int, settings: TenantSettings
) -> tuple[int, list[Score]] | None:
    """Train as of ``cut``, list as of ``cut``, and look at [cut, cut + days).

    Args:
        history: up to the end of the window; what lies after the cut is only looked at to judge.

    Returns:
        The number of customers who bought in the window, and a score for each of METHODS; None
        where the history before the cut is too small to train on.
    """
    windows = choose(history, cut, settings.windows, settings.blend)
    if windows is None:
        return None
    engine = train(history, windows, settings, kind=ALS, fingerprint="")
    baseline = train(history, windows, settings, kind=BASELINE, fingerprint="")
    moment = as_of(history, cut, days)
    scene = view(engine, history, cut)
    scorers: list[Scorer] = [
        _same(moment.buyers),
        _same(moment.recent_buyers + moment.buyers / (moment.buyers.max() + 1)),
        _own_recency(moment),
        lambda rows: _shifted(scene.vectors(rows) @ scene.factors.T),
        _blend(baseline, view(baseline, history, cut)),
        _blend(engine, scene),
    ]
    labels = bought_between(history, cut, cut + days)
    judged = np.flatnonzero(moment.known & (np.diff(labels.indptr) > 0))
    scores = []
    for method, scorer in zip(METHODS, scorers, strict=True):
        found, fresh = Hits(), Hits()
        for rows in chunks(judged, len(history.products)):
            values = scorer(rows)
            values[:, ~history.sellable] = 0
            bought = np.asarray(labels[rows].toarray(), np.float32)
            yes = cells_of(bought > 0)
            found.add(best(values, PLACES), bought, relevant(values, yes))
            at, pairs = moment.pairs_of(rows)
            values[at, moment.product[pairs]] = 0
            fresh.add(best(values, PLACES), bought, relevant(values, yes))
        scores.append(Score(method, *_mean(found), *_mean(fresh)))
    return len(judged), scores


def _mean(hits: Hits) -> tuple[float, float]:
    values = ndcg(*hits.joined())
    values = values[~np.isnan(values)]
    if not len(values):
        return 0.0, 0.0
    return float(values.mean()), float(1.96 * values.std() / np.sqrt(len(values)))


def _same(scores: NDArray[np.float64]) -> Scorer:
    row = ((scores + 0.01) / (scores.max() + 1)).astype(np.float32)
    return lambda rows: np.tile(row, (len(rows), 1))


def _own_recency(moment: Evidence) -> Scorer:
    """What the customer bought, newest first; then what is popular lately."""
    popular = (moment.recent_buyers + 0.01) / (moment.recent_buyers.max() + 1)
    popular = popular.astype(np.float32)

    def scores(rows: NDArray[np.integer]) -> NDArray[np.float32]:
        block = np.tile(popular, (len(rows), 1))
        at, pairs = moment.pairs_of(rows)
        age = (moment.day - moment.last[pairs]).astype(np.float32)
        block[at, moment.product[pairs]] += 2 + (age.max(initial=0) - age)
        return block

    return scores


def _shifted(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Order kept, everything above zero."""
    return scores + (1 - min(float(scores.min(initial=0.0)), 0.0))


def _blend(model: Model, scene: Scene) -> Scorer:
    return lambda rows: probabilities(scene, model.blend, rows)
