"""What tonight's lists were ranked on, gathered for re-ranking during a call (factory/live.py).

All that a call cannot change is reduced to one number where that is possible: what a customer said
is no purchase, so it moves nothing but their vector, and with it the ALS score.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory.affinity import Affinities
from factory.blend import Scene, average_bias, customer_bias, product_bias, stranger_bias
from factory.evidence import LONG, Evidence, usual_interval
from factory.foldin import gram
from factory.reasons import owned
from schema.records import CELL, Grounds, History, Model

_Floats = NDArray[np.float32]

_MOST = 65_535
"""What a count of an entry can hold."""


def facts(evidence: Evidence, pairs: NDArray[np.integer]) -> Mapping[str, NDArray[np.floating]]:
    """What can be said aloud of pairs bought before, by the names in ENTRY and CELL."""
    found = {
        "times": evidence.times[pairs],
        "days_ago": evidence.day - evidence.last[pairs],
        "every_days": np.rint(usual_interval(evidence, pairs)),
    }
    return {name: np.minimum(values, _MOST) for name, values in found.items()}


def grounds(
    scene: Scene,
    model: Model,
    history: History,
    standing: _Floats,
    liked: NDArray[np.bool_],
) -> Grounds:
    """Gather what a model's view of tonight was made of.

    Args:
        standing: (m,) as ``factory.blend.standing`` of all known customers.
        liked: (S + 1, P) favourites of each segment.

    Cost: O(cells); some 22 bytes for each product a customer did anything with.
    """
    evidence, blend, settings = scene.moment.evidence, model.blend, model.settings
    ids = np.array([name.encode() for name in history.customers.names], np.bytes_)
    rows = np.argsort(ids, kind="stable")
    taste = scene.taste[rows]
    last = taste.indptr[-1:]
    affinities = scene.moment.affinities
    place = np.argsort(rows).astype(np.int32)
    shares = affinities.neighbours.shares
    return Grounds(
        customers=ids[rows],
        starts=np.append(taste.indptr, last).astype(np.int64),
        cells=_cells(evidence, taste, rows, standing),
        bias=np.append(customer_bias(scene, blend)[rows], stranger_bias(scene, blend)),
        segment=np.append(evidence.segment[rows] + 1, 0).astype(np.int32),
        factors=scene.factors,
        gram=gram(scene.factors, settings.als.regularization),
        appeal=_appeal(scene, model, affinities, len(liked)),
        liked=liked,
        group=affinities.groups.number,
        usual=_usual(evidence, affinities),
        compared=place[affinities.neighbours.compared],
        compared_starts=shares.indptr.astype(np.int64),
        compared_products=shares.indices.astype(np.int32),
        compared_shares=shares.data,
        als=np.float32(blend.fresh.get("als", 0)),
        als_again=np.float32(blend.repeat.get("als", 0)),
        neighbours=np.float32(blend.fresh.get("neighbours", 0)),
        category=np.float32(blend.fresh.get("category", 0)),
        average=average_bias(scene, blend),
        alpha=np.float32(settings.als.alpha),
        asked=np.float32(max(settings.interest_weights.values(), default=0)),
    )


def _cells(
    evidence: Evidence, taste: csr_matrix, rows: NDArray[np.integer], standing: _Floats
) -> NDArray[np.void]:
    cells = np.zeros(taste.nnz, np.dtype(list(CELL)))
    cells["product"], cells["weight"] = taste.indices, taste.data
    bought = owned(taste, rows, evidence)
    _, pairs = evidence.pairs_of(rows)
    cells["standing"][bought] = standing[pairs]
    cells["habit"][bought] = evidence.decayed[LONG][pairs]
    for name, values in facts(evidence, pairs).items():
        cells[name][bought] = values
    return cells


def _appeal(scene: Scene, model: Model, affinities: Affinities, segments: int) -> _Floats:
    appeal = np.tile(product_bias(scene, model.blend), (segments, 1))
    if len(affinities.segment):
        appeal += np.float32(model.blend.fresh.get("segment", 0)) * affinities.segment
    return appeal


def _usual(evidence: Evidence, affinities: Affinities) -> _Floats:
    grouped = evidence.category.max(initial=-1) >= 0
    return np.asarray(affinities.groups.usual if grouped else np.empty(0), np.float32)
