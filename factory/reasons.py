"""Why a product new to a customer is on the list: which of the products they bought speaks for it."""

import numpy as np
from numpy.typing import NDArray

from factory.als import confidence
from factory.blend import Scene
from schema.records import Model

LEAST_ODDS = np.log(1.2)
"""A taste that raises the odds by less than a fifth is no reason worth saying aloud."""


def because(
    scene: Scene, model: Model, block: NDArray[np.integer], listed: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The bought product that contributes most to the ALS score of each listed product.

    The score is ``x_u·y_i = Σ_j c_uj (y_jᵀ A_u⁻¹ y_i)`` over the products j of the customer's
    taste, so each j has its share of it.

    Args:
        listed: (len(block), L) product numbers, -1 where no reason is asked.

    Returns:
        (len(block), L) product numbers; -1 where taste does not raise the odds by a fifth.

    Source: Hu, Koren, Volinsky, ICDM 2008, section 5.
    """
    found = np.full(listed.shape, -1, np.int32)
    weight = model.blend.fresh.get("als", 0.0)
    if not scene.factors.shape[1] or weight <= 0:
        return found
    factors = scene.factors.astype(np.float64)
    settings = model.settings.als
    weights = confidence(scene.evidence.taste, settings)
    shared = factors.T @ factors + settings.regularization * np.eye(factors.shape[1])
    for place, customer in enumerate(block):
        asked = np.flatnonzero(listed[place] >= 0)
        begin, end = weights.indptr[customer : customer + 2]
        if not len(asked) or begin == end:
            continue
        seeds = weights.indices[begin:end]
        c = weights.data[begin:end].astype(np.float64)
        own = factors[seeds]
        matrix = shared + (own.T * (c - 1)) @ own
        shares = (own @ np.linalg.solve(matrix, factors[listed[place, asked]].T)) * c[:, None]
        strong = weight * shares.sum(0) >= LEAST_ODDS
        owned = scene.evidence.product[slice(*scene.evidence.starts[customer : customer + 2])]
        shares[~np.isin(seeds, owned)] = -np.inf  # a product only looked at is no reason to name
        strong &= shares.max(0) > 0
        found[place, asked[strong]] = seeds[shares.argmax(0)[strong]]
    return found
