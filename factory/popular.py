"""What to show to somebody unknown."""

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, customer_bias, product_bias
from factory.logistic import sigmoid
from factory.top import best, key_scores, product_numbers
from schema.names import Reason
from schema.records import ENTRY, Blend


def popular(
    scene: Scene, blend: Blend, sellable: NDArray[np.bool_], length: int
) -> NDArray[np.void]:
    """(length,) entries for a customer without history.

    The same blend, for a customer without taste who is as active as the average one: products
    come in the order of their share of customers, old and recent, as the blend weighs them.
    """
    known = scene.moment.evidence.known
    activity = (
        customer_bias(scene, blend)[known].mean() if known.any() else blend.fresh["intercept"]
    )
    p = sigmoid((product_bias(scene, blend) + np.float32(activity)).astype(np.float32))
    p[~sellable] = 0
    chosen = best(p[None, :], length)[0]
    entries = np.zeros(length, np.dtype(list(ENTRY)))
    entries["product"] = product_numbers(chosen)
    entries["probability"] = key_scores(chosen)
    entries["because"] = -1
    entries["reason"] = tuple(Reason).index(Reason.POPULAR)
    return entries
