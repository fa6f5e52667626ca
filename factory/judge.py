"""RMSE and the rest, for any model, on the judge window."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory import metrics
from factory.blend import Moment, Scene, probabilities
from factory.evidence import Evidence, bought_between
from factory.hits import PLACES, Hits, relevant
from factory.top import best, best_pairs, cells_of, merged
from factory.train import view
from schema.records import Blend, History, Judgement, Model, Windows

MOST_CUSTOMERS = 5_000
BIN_EDGES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_EDGES = np.array(BIN_EDGES[1:-1], np.float32)
CHUNK_CELLS = 1_000_000
"""Cells of a (customers, products) block held at once: bounds memory at some 30 MB, and what was just
made is still in the processor's cache when the next step needs it.
"""


def chunks(rows: NDArray[np.integer], products: int) -> Iterator[NDArray[np.integer]]:
    """Cut customers into blocks of at most CHUNK_CELLS cells."""
    size = max(1, CHUNK_CELLS // max(products, 1))
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def judge(
    models: Sequence[Model],
    history: History,
    windows: Windows,
    *,
    seed: int = 0,
    most: int = MOST_CUSTOMERS,
    new_only: bool = False,
) -> list[Judgement]:
    """Score models on what happened in [judge, tonight), which they never saw.

    Every customer known at the start of the window (a seeded sample of ``most`` where there are
    more) times every sellable product: ``rmse = sqrt(mean((y - p)²))``, no negative sampling,
    nothing dropped. ``rmse²`` is the Brier score, a proper scoring rule.

    Args:
        seed: of the sample; the same for every model that is compared.
        new_only: leave pairs bought before out, for a tenant whose lists leave them out.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    labels = bought_between(history, windows.judge, windows.tonight)
    before = bought_between(history, windows.judge - windows.days, windows.judge)
    moments: dict[int, Moment] = {}
    scenes = [view(model, history, windows.judge, moments) for model in models]
    known = scenes[0].moment.evidence.known
    return measure(
        scenes,
        [model.blend for model in models],
        history.sellable,
        labels,
        before,
        judged_customers(known, seed, most),
        windows.days,
        new_only=new_only,
    )


def judged_customers(
    known: NDArray[np.bool_], seed: int, most: int = MOST_CUSTOMERS
) -> NDArray[np.int64]:
    rows = np.flatnonzero(known)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows


def measure(
    scenes: Sequence[Scene],
    blends: Sequence[Blend],
    sellable: NDArray[np.bool_],
    labels: csr_matrix,
    before: csr_matrix,
    customers: NDArray[np.int64],
    days: int,
    *,
    new_only: bool = False,
) -> list[Judgement]:
    """Compare the probabilities and lists of each scene and its blend with what was bought.

    Args:
        labels, before: (C, P) ones of the judge window, and of the window before it: its shares
            of buyers are the popularity that ``skill`` is measured against.
        days: length of the judge window.
    """
    tallies = [
        _Tally(scene.moment.evidence, sellable, before, new_only=new_only) for scene in scenes
    ]
    for rows in chunks(customers, len(sellable)):
        # Never [:, sellable]: that lies column by column in memory, and all that follows is slow.
        bought = np.compress(sellable, labels[rows].toarray(), axis=1)
        yes = cells_of(bought > 0)
        shared: dict[int, Mapping[str, NDArray[np.float32]]] = {}
        for scene, blend, tally in zip(scenes, blends, tallies, strict=True):
            horizon = scene.moment.evidence.horizon
            if horizon not in shared:
                shared[horizon] = scene.moment.affinities.of(rows)
            p = np.compress(sellable, probabilities(scene, blend, rows, shared[horizon]), axis=1)
            tally.add(rows, over(p, horizon, days), bought, yes)
    return [tally.judgement() for tally in tallies]


def over(p: NDArray[np.float32], horizon: int, days: int) -> NDArray[np.float32]:
    """Probabilities of buying within ``horizon`` days -> within ``days``, at the same daily rate.

    ``1 - (1 - p)^(days / horizon)``: a model made for other windows is compared fairly.
    """
    if days == horizon:
        return p
    return np.asarray(-np.expm1(np.log1p(-np.minimum(p, 1 - 1e-7)) * np.float32(days / horizon)))


class _Tally:
    """Sums over blocks of customers."""

    def __init__(
        self,
        evidence: Evidence,
        sellable: NDArray[np.bool_],
        before: csr_matrix,
        *,
        new_only: bool,
    ) -> None:
        self._evidence = evidence
        self._columns = np.cumsum(sellable) - 1
        self._sellable = sellable
        self._products = int(sellable.sum())
        self._new_only = new_only
        buyers = np.asarray(before.sum(0)).ravel()
        share = (buyers + 0.5) / (evidence.known.sum() + 1)
        self._popularity = share[sellable]
        self._squares: list[NDArray[np.float64]] = []
        self._any, self._new = Hits(), Hits()
        self._pairs: list[NDArray[np.float64]] = []
        self._absolute = self._popular_squares = 0.0
        self._bins = np.zeros((3, len(BIN_EDGES) - 1))
        self._listed = np.zeros(self._products, bool)
        self._tops: list[NDArray[np.int32]] = []

    def add(
        self,
        rows: NDArray[np.integer],
        p: NDArray[np.float32],
        bought: NDArray[np.float32],
        yes: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        """Add a block; yes: the cells of ``bought``."""
        at, pairs = self._evidence.pairs_of(rows)
        product = self._evidence.product[pairs]
        kept = self._sellable[product]
        at, column = at[kept], self._columns[product[kept]]
        self._weigh(p, bought, yes, at, column)
        known = best_pairs(at, column, p[at, column], len(p), PLACES)
        fresh = np.array(p)
        fresh[at, column] = 0
        top = best(fresh, PLACES)
        new = relevant(fresh, yes)
        self._new.add(top, bought, new)
        if not self._new_only:
            top = merged(np.concatenate([top, known], axis=1), PLACES)
            new = relevant(p, yes)
        listed = self._any.add(top, bought, new)
        self._listed[listed[listed >= 0]] = True
        self._tops.append(listed[:, 0])

    def _weigh(
        self,
        p: NDArray[np.float32],
        bought: NDArray[np.float32],
        yes: tuple[NDArray[np.int64], NDArray[np.int64]],
        at: NDArray[np.int64],
        column: NDArray[np.int64],
    ) -> None:
        """Errors and reliability; pairs left out count nowhere."""
        counted = np.full(len(p), float(self._products))
        popular_squares = len(p) * float(self._popularity @ self._popularity)
        if self._new_only:
            p, bought = p.copy(), bought.copy()
            p[at, column] = bought[at, column] = 0
            yes = cells_of(bought > 0)
            counted -= np.bincount(at, minlength=len(p))
            popular_squares -= float(np.square(self._popularity[column]).sum())
        self._pairs.append(counted)
        # (y - p)² = p² + y (1 - 2p), and |y - p| = p + y (1 - 2p): one pass over all pairs.
        gain = 1 - 2 * p[yes].astype(np.float64)
        squares = np.einsum("cp,cp->c", p, p, dtype=np.float64)
        self._squares.append(squares + np.bincount(yes[0], gain, len(p)))
        expected = float(p.sum(dtype=np.float64))
        self._absolute += expected + float(gain.sum())
        self._popular_squares += popular_squares + float((1 - 2 * self._popularity[yes[1]]).sum())
        # Most pairs by far lie in the first bin: it is told by what the others leave.
        likely, happened = np.sort(p.ravel()[np.flatnonzero(p >= _EDGES[0])]), np.sort(p[yes])
        begin, running = np.searchsorted(likely, _EDGES), np.cumsum(likely, dtype=np.float64)
        expecting = np.append(0.0, running)
        above = (
            len(likely) - begin,
            expecting[-1] - expecting[begin],
            len(happened) - np.searchsorted(happened, _EDGES),
        )
        whole = np.array([[counted.sum()], [expected], [len(happened)]])
        self._bins += np.maximum(-np.diff(np.hstack([whole, above]), append=0), 0)

    def judgement(self) -> Judgement:
        squares = np.concatenate(self._squares) if self._squares else np.zeros(0)
        tops = np.concatenate(self._tops) if self._tops else np.zeros(0, np.int32)
        counts = np.concatenate(self._pairs) if self._pairs else np.zeros(0)
        pairs = max(int(counts.sum()), 1)
        binned, predicted, observed = self._bins
        filled = np.maximum(binned, 1)
        mse = squares.sum() / pairs
        hits, relevant = self._any.joined()
        ndcgs = metrics.ndcg(hits, relevant)
        return Judgement(
            customers=len(squares),
            pairs=int(counts.sum()),
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
                for n, p, o, f in zip(binned, predicted, observed, filled, strict=True)
            ),
            squared_errors=squares,
            pair_counts=counts,
            ndcgs=ndcgs,
        )
