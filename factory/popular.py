"""What to show to somebody unknown."""

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, average_bias, product_bias
from factory.logistic import sigmoid
from factory.rules import Steering, chosen
from factory.top import best, key_scores, product_numbers
from schema.names import Reason
from schema.records import ENTRY, Blend
from schema.settings import ListSettings


def popular(
    scene: Scene, blend: Blend, rules: Steering, settings: ListSettings
) -> NDArray[np.void]:
    """(width,) entries for a customer without history; the tenant's rules hold here as well.

    The same blend, for a customer without taste who is as active as the average one: products
    come in the order of their share of customers, old and recent, as the blend weighs them.
    """
    p = sigmoid(product_bias(scene, blend) + average_bias(scene, blend))[None, :]
    if rules.reorders:
        nothing = np.empty(0, np.int64)
        keys = chosen(p, (nothing, nothing), rules, settings)
    else:
        keys = best(np.where(rules.allowed, p, np.float32(0)), settings.length)
    entries = np.zeros(keys.shape[1], np.dtype(list(ENTRY)))
    entries["product"] = product_numbers(keys[0])
    entries["probability"] = key_scores(keys[0])
    entries["because"] = -1
    entries["reason"] = tuple(Reason).index(Reason.POPULAR)
    return entries
