"""Why a product new to a customer is on the list, in a way that can be said aloud and checked."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory.als import confidence
from factory.blend import Scene
from factory.evidence import SEASON, Evidence
from factory.foldin import few_shares, gram, shares, system
from factory.why import LEAST_ODDS
from schema.records import Model

LEAST_LIFT, LEAST_BUYERS = 1.2, 3
"""How much more, and by how many customers, a segment's favourite is bought there."""

_CELLS = 2_000_000
"""Numbers held at once for a group of customers."""

_FEW = 256
"""Customers in a group from which on only those with about as many seeds join it."""


def because(
    scene: Scene,
    model: Model,
    block: NDArray[np.integer],
    vectors: NDArray[np.float32],
    listed: NDArray[np.int32],
) -> NDArray[np.int32]:
    """The bought product that has the largest share of the ALS score of each listed product.

    Args:
        vectors: (len(block), k) the customers, folded in.
        listed: (len(block), L) product numbers, -1 where no reason is asked.

    Returns:
        (len(block), L) product numbers; -1 where taste does not raise the odds by a fifth.
    """
    found = np.full(listed.shape, -1, np.int32)
    weight = model.blend.fresh.get("als", 0.0)
    factors, settings = scene.factors, model.settings.als
    if not factors.shape[1] or weight <= 0:
        return found
    # Only where the whole score is a reason at all.
    score = np.einsum("ck,clk->cl", vectors, factors[np.maximum(listed, 0)])
    asked = (listed >= 0) & (weight * score >= LEAST_ODDS)
    evidence = scene.moment.evidence
    weights = confidence(scene.taste[block], settings)
    own = owned(weights, block, evidence)
    shared = gram(factors, settings.regularization)
    dual = factors @ np.linalg.inv(shared)  # symmetric, and far from singular
    for group in _groups(weights, asked, factors.shape[1]):
        cells, filled = _padded(weights, group)
        seeds, c = weights.indices[cells], np.where(filled, weights.data[cells], 0)
        y = factors[seeds]
        # Only as many places as the customer with most of them asks about.
        most = int(asked[group].sum(1).max())
        places = np.argsort(~asked[group], axis=1, kind="stable")[:, :most]
        wanted = np.take_along_axis(asked[group], places, 1)
        targets = factors[np.maximum(np.take_along_axis(listed[group], places, 1), 0)]
        if seeds.shape[1] < factors.shape[1]:
            parts = few_shares(dual[seeds], y, c, targets)
        else:
            parts = shares(system(shared, y, c), y, c, targets)
        parts[~(filled & own[cells])] = -np.inf  # a product only looked at is no reason to name
        best = parts.argmax(1)
        strong = wanted & (np.take_along_axis(parts, best[:, None, :], 1)[:, 0] > 0)
        named = np.where(strong, np.take_along_axis(seeds, best, 1), -1)
        found[group[:, None], places] = named
    return found


def owned(weights: csr_matrix, block: NDArray[np.integer], evidence: Evidence) -> NDArray[np.bool_]:
    """(nnz,) which of the pairs with a weight were bought; all that were bought have one."""
    width = weights.shape[1]
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    at, pairs = evidence.pairs_of(block)
    found = np.zeros(weights.nnz, bool)
    cells = rows * width + weights.indices
    found[np.searchsorted(cells, at * width + evidence.product[pairs])] = True
    return found


def _groups(
    weights: csr_matrix, asked: NDArray[np.bool_], factors: int
) -> Iterator[NDArray[np.int64]]:
    """Places in the block with something asked, customers with as many seeds together."""
    seeds = np.diff(weights.indptr)
    places = np.flatnonzero(asked.any(1) & (seeds > 0))
    places = places[np.argsort(seeds[places], kind="stable")]
    while len(places):
        width = max(factors, asked.shape[1])
        fits = np.arange(1, len(places) + 1) * seeds[places] * width <= _CELLS
        alike = seeds[places] <= 1.25 * seeds[places[0]]
        alike[:_FEW] = True
        size = max(1, int((fits & alike).sum()))
        yield places[:size]
        places = places[size:]


def _padded(
    matrix: csr_matrix, rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n, most) places of the rows' cells in ``matrix.data``, and which of them are real."""
    begin = matrix.indptr[rows].astype(np.int64)
    each = matrix.indptr[rows + 1] - begin
    steps = np.arange(int(each.max()))[None, :]
    filled = steps < each[:, None]
    return np.where(filled, begin[:, None] + steps, 0), filled


def segment_favourites(evidence: Evidence) -> NDArray[np.bool_]:
    """(S + 1, P) products that a segment buys clearly more than all do; row 0 is no segment.

    This season: bought by at least 3 of the segment's customers, and by a share of them 1.2
    times that of all.
    """
    segments = int(evidence.segment.max(initial=-1)) + 1
    known = np.bincount(evidence.segment + 1, evidence.known, minlength=segments + 1)
    lately = evidence.last >= evidence.day - SEASON * evidence.horizon
    cells = (evidence.segment[evidence.customer[lately]] + 1).astype(np.int64)
    products = len(evidence.buyers)
    buyers = np.bincount(
        cells * products + evidence.product[lately], minlength=(segments + 1) * products
    ).reshape(segments + 1, products)
    usual = buyers.sum(0) / max(known.sum(), 1)
    liked = (buyers >= LEAST_BUYERS) & (buyers >= LEAST_LIFT * usual * known[:, None])
    liked[0] = False
    return np.asarray(liked)
