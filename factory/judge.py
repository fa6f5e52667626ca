"""RMSE and the rest, for any model, on the judge window."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory import metrics
from factory.blend import Scene, probabilities
from factory.evidence import Evidence, bought_between
from factory.hits import Hits
from factory.top import sort_keys
from factory.train import view
from schema.records import History, Judgement, Model, Windows

MOST_CUSTOMERS = 5_000
BIN_EDGES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
CHUNK_CELLS = 4_000_000
"""Cells of a (customers, products) block held at once: bounds memory at some 100 MB."""


def chunks(rows: NDArray[np.integer], products: int) -> Iterator[NDArray[np.integer]]:
    """Cut customers into blocks of at most CHUNK_CELLS cells."""
    size = max(1, CHUNK_CELLS // max(products, 1))
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def judge(model: Model, history: History, windows: Windows, *, seed: int = 0) -> Judgement:
    """Score a model on what happened in [judge, tonight), which it never saw.

    Every customer known at the start of the window (a seeded sample of 5,000 where there are
    more) times every sellable product: ``rmse = sqrt(mean((y - p)²))``, no negative sampling,
    nothing dropped. ``rmse²`` is the Brier score, a proper scoring rule.

    Args:
        seed: of the sample; the same for every model that is compared.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    scene = view(model, history, windows.judge)
    labels = bought_between(history, windows.judge, windows.tonight)
    before = bought_between(history, windows.judge - windows.days, windows.judge)
    customers = judged_customers(scene.evidence.known, seed)
    return measure(scene, model, history.sellable, labels, before, customers)


def judged_customers(known: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(known)
    if len(rows) > MOST_CUSTOMERS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_CUSTOMERS, replace=False))
    return rows


def measure(
    scene: Scene,
    model: Model,
    sellable: NDArray[np.bool_],
    labels: csr_matrix,
    before: csr_matrix,
    customers: NDArray[np.int64],
) -> Judgement:
    """Compare probabilities and lists with what was bought.

    Args:
        labels, before: (C, P) ones of the judge window, and of the window before it: its shares
            of buyers are the popularity that ``skill`` is measured against.
    """
    tally = _Tally(scene.evidence, sellable, before)
    for rows in chunks(customers, len(sellable)):
        p = probabilities(scene, model.blend, rows)[:, sellable]
        bought = np.asarray(labels[rows].toarray()[:, sellable], np.float32)
        tally.add(rows, p, bought)
    return tally.judgement()


class _Tally:
    """Sums over blocks of customers."""

    def __init__(self, evidence: Evidence, sellable: NDArray[np.bool_], before: csr_matrix) -> None:
        self._evidence = evidence
        self._columns = np.cumsum(sellable) - 1
        self._sellable = sellable
        self._products = int(sellable.sum())
        buyers = np.asarray(before.sum(0)).ravel()
        share = (buyers + 0.5) / (evidence.known.sum() + 1)
        self._popularity = share[sellable].astype(np.float32)
        self._squares: list[NDArray[np.float64]] = []
        self._any, self._new = Hits(), Hits()
        self._absolute = self._popular_squares = 0.0
        self._bins = np.zeros((3, len(BIN_EDGES) - 1))
        self._listed = np.zeros(self._products, bool)
        self._tops: list[NDArray[np.int32]] = []

    def add(
        self,
        rows: NDArray[np.integer],
        p: NDArray[np.float32],
        bought: NDArray[np.float32],
    ) -> None:
        error = p - bought
        self._squares.append(np.einsum("cp,cp->c", error, error, dtype=np.float64))
        self._absolute += float(np.abs(error).sum(dtype=np.float64))
        popular_error = self._popularity[None, :] - bought
        self._popular_squares += float(
            np.einsum("cp,cp->", popular_error, popular_error, dtype=np.float64)
        )
        place = np.digitize(p.ravel(), BIN_EDGES[1:-1])
        size = len(BIN_EDGES) - 1
        for row, weight in enumerate((None, p.ravel(), bought.ravel())):
            self._bins[row] += np.bincount(place, weight, size)
        keys = sort_keys(p)
        top = self._any.add(keys, bought)
        self._listed[top[top >= 0]] = True
        self._tops.append(top[:, 0])
        at, pairs = self._evidence.pairs_of(rows)
        product = self._evidence.product[pairs]
        kept = self._sellable[product]
        at, column = at[kept], self._columns[product[kept]]
        keys[at, column] = 0
        self._new.add(keys, bought)

    def judgement(self) -> Judgement:
        squares = np.concatenate(self._squares) if self._squares else np.zeros(0)
        tops = np.concatenate(self._tops) if self._tops else np.zeros(0, np.int32)
        pairs = max(len(squares) * self._products, 1)
        counts, predicted, observed = self._bins
        filled = np.maximum(counts, 1)
        mse = squares.sum() / pairs
        hits, relevant = self._any.joined()
        ndcgs = metrics.ndcg(hits, relevant)
        return Judgement(
            customers=len(squares),
            pairs=len(squares) * self._products,
            bought=int(observed.sum()),
            rmse=float(np.sqrt(mse)),
            mae=self._absolute / pairs,
            skill=float(1 - mse / (self._popular_squares / pairs))
            if self._popular_squares
            else 0.0,
            ndcg_at_10=metrics.mean(ndcgs),
            ndcg_new_at_10=metrics.mean(metrics.ndcg(*self._new.joined())),
            recall_at_10=metrics.mean(metrics.recall(hits, relevant)),
            map_at_10=metrics.mean(metrics.average_precision(hits, relevant)),
            hit_rate_at_10=metrics.mean(metrics.hit_rate(hits, relevant)),
            coverage=float(self._listed.mean()) if self._products else 0.0,
            top_share=float(np.bincount(tops[tops >= 0]).max() / len(tops)) if len(tops) else 0.0,
            calibration=float(np.abs(observed - predicted).sum() / pairs),
            reliability=tuple(
                (int(n), float(p / f), float(o / f))
                for n, p, o, f in zip(counts, predicted, observed, filled, strict=True)
            ),
            squared_errors=squares,
            ndcgs=ndcgs,
        )
