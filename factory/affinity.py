"""What other customers' purchases and a product's group say about a pair: for every pair of its own.

Beside the ALS score, and cheap enough for every customer and product: what alike customers buy
lately (``neighbours``), what groups the customer keeps to (``category``), and what customers of the
same kind buy (``segment``).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory.alike import ASYMMETRY, NEAREST, lift, log_shares, nearest
from factory.evidence import LONG, MIDDLE, Evidence
from factory.top import sliced

_Doubles = NDArray[np.float64]
_Floats = NDArray[np.float32]

AFFINITY = ("neighbours", "category", "segment")

MOST_COMPARED = 1_000
"""Customers that the others are compared with: those who bought most of late."""


class Affinities:
    """Prepared as of one day; then asked block by block of customers."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        bought = evidence.by_pair(np.ones(len(evidence.times)))
        lately = evidence.by_pair(evidence.decayed[MIDDLE])
        self.neighbours = Neighbours(bought, lately)
        self.groups = Groups(evidence)
        self.segment = _segments(evidence, bought)

    def of(self, customers: NDArray[np.integer]) -> Mapping[str, _Floats]:
        """(len(customers), P) float32 by name of AFFINITY; none for what the tenant has no data."""
        found = {"neighbours": self.neighbours.of(customers)}
        if self._evidence.category.max(initial=-1) >= 0:
            found["category"] = self.groups.of(customers)
        if len(self.segment):
            found["segment"] = self.segment[self._evidence.segment[customers] + 1]
        return found


class Neighbours:
    """What alike customers buy lately: log of the mean of their decayed shares, by likeness.

    Likeness is the asymmetric cosine of what was ever bought, to the power of 4; the nearest
    customers count, the others hardly would.

    Attributes:
        compared: (N,) the customers that the others are compared with.
        shares: (N, P) CSR, what each of them buys lately; a cell for all that they ever bought.

    Source: Faggioli, Polato, Aiolli, "Recency Aware Collaborative Filtering for Next Basket
        Recommendation" (UP-CF@r), UMAP 2020; decay instead of the last r baskets.
    """

    def __init__(self, bought: csr_matrix, lately: csr_matrix) -> None:
        """Both (C, P) with the same cells: ones, and decayed purchases."""
        weight = _sums(lately, 1)
        self.compared = chosen = np.argsort(-weight, kind="stable")[:MOST_COMPARED]
        self._place = np.full(len(weight), -1)
        self._place[chosen] = np.arange(len(chosen))
        size = np.diff(bought.indptr) + 1e-9
        self._bought = _scaled(bought, size**-ASYMMETRY)
        place, pairs = sliced(bought.indptr, chosen)
        product = bought.indices[pairs]
        self._them = np.zeros((bought.shape[1], len(chosen)), np.float32)
        self._them[product, place] = (size[chosen] ** (ASYMMETRY - 1))[place]
        shares = lately.data[pairs] * (1 / (weight[chosen] + 0.5))[place]
        starts = np.searchsorted(place, np.arange(len(chosen) + 1))
        self.shares = csr_matrix(
            (shares.astype(np.float32), product, starts), shape=self._them.shape[::-1]
        )
        self._lately = self.shares.T.tocsr()

    def of(self, customers: NDArray[np.integer]) -> _Floats:
        likeness = np.asarray(self._bought[customers] @ self._them, np.float32)
        place = self._place[customers]
        likeness[np.flatnonzero(place >= 0), place[place >= 0]] = 0  # nobody is their own neighbour
        near = np.ascontiguousarray(nearest(likeness, NEAREST).T)
        # Few of them buy any one product lately: this way round costs the least by far.
        return log_shares(np.ascontiguousarray((self._lately @ near).T))


class Groups:
    """How much more a customer buys of a product's category than the others do: log of the lift.

    Attributes:
        number: (P,) each product's category, 0 for none.
        usual: (G,) the share of each in everybody's decayed purchases.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.number = number = evidence.category + 1
        groups = int(number.max(initial=0)) + 1
        self._bought = np.zeros((len(evidence.known), groups), np.float32)
        cells = evidence.customer, number[evidence.product]
        np.add.at(self._bought, cells, evidence.decayed[LONG].astype(np.float32))
        self.usual = self._bought.sum(0) / max(float(self._bought.sum()), 1e-9)

    def of(self, customers: NDArray[np.integer]) -> _Floats:
        return np.take(lift(self._bought[customers], self.usual), self.number, axis=1)


def _segments(evidence: Evidence, bought: csr_matrix) -> _Floats:
    """(S + 1, P) log of how much more of a segment buys a product; row 0 for no segment."""
    segments = int(evidence.segment.max(initial=-1)) + 1
    if segments < 2:
        return np.empty((0, 0), np.float32)
    customers = np.arange(len(evidence.segment))
    member = csr_matrix(
        (evidence.known.astype(np.float32), (evidence.segment + 1, customers)),
        shape=(segments + 1, len(customers)),
    )
    size = _sums(member, 1)[:, None]
    usual = ((evidence.buyers + 0.5) / (evidence.known.sum() + 1))[None, :]
    share = ((member @ bought).toarray() + 20 * usual) / (size + 20)
    lift: _Doubles = np.log(share / usual)
    lift[0] = 0
    return lift.astype(np.float32)


def _scaled(matrix: csr_matrix, by: _Doubles) -> csr_matrix:
    """Each row times a number. A product with a diagonal matrix is the same, at ten times the cost
    where the tenant is small.
    """
    values = matrix.data * np.repeat(by, np.diff(matrix.indptr))
    parts = values.astype(np.float32), matrix.indices, matrix.indptr
    return csr_matrix(parts, shape=matrix.shape)


def _sums(matrix: csr_matrix, axis: int) -> _Doubles:
    return np.asarray(matrix.sum(axis), np.float64).ravel()
