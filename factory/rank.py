"""The model in force and the list rules -> the lists of every customer, block by block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, probabilities
from factory.evidence import usual_interval
from factory.judge import chunks
from factory.popular import popular
from factory.reasons import because
from factory.top import Keys, best, key_scores, product_numbers, sort_keys
from factory.train import view
from schema.names import Reason
from schema.records import ENTRY, History, Lists, Model, Product
from schema.settings import ListSettings

REASONS = tuple(Reason)


def rank(
    model: Model,
    history: History,
    tonight: int,
    products: Sequence[Product],
    settings: ListSettings,
) -> Lists:
    """Rank every sellable product for every customer with a history, as of tonight.

    Args:
        products: what each product number of the history means, in its order.

    Returns:
        Lists sorted by probability, then product id; without duplicates or unsellable products.
        A customer without any history gets no list of their own: the popular one answers.
    """
    scene = view(model, history, tonight)
    rows = np.flatnonzero(scene.evidence.known)
    blocks = []
    for block in chunks(rows, len(history.products)):
        p = probabilities(scene, model.blend, block)
        p[:, ~history.sellable] = 0
        keys = sort_keys(p)
        keys[:, ~history.sellable] = 0
        blocks.append(_entries(scene, model, block, _chosen(scene, block, keys, settings)))
    width = settings.length
    return Lists(
        customers=tuple(history.customers.names[row] for row in rows),
        entries=np.concatenate(blocks) if blocks else np.empty((0, width), np.dtype(list(ENTRY))),
        popular=popular(scene, model.blend, history.sellable, width),
        products=tuple(products),
    )


def _chosen(scene: Scene, block: NDArray[np.integer], keys: Keys, settings: ListSettings) -> Keys:
    """The best ``length`` products, among them enough new and enough bought ones.

    First the best new and the best bought products up to their guarantees, then the best of the
    rest, whichever they are.
    """
    at, pairs = scene.evidence.pairs_of(block)
    product = scene.evidence.product[pairs]
    bought = np.zeros_like(keys)
    bought[at, product] = keys[at, product]
    fresh = keys.copy()
    fresh[at, product] = 0
    sure = np.concatenate(
        [best(fresh, settings.at_least_new), best(bought, settings.at_least_bought)], axis=1
    )
    cells = product_numbers(sure)
    filled = np.nonzero(cells >= 0)
    rest = keys
    rest[filled[0], cells[filled]] = 0
    others = best(rest, settings.length)
    room = settings.length - (sure > 0).sum(1)
    others[np.arange(settings.length)[None, :] >= room[:, None]] = 0
    return best(np.concatenate([sure, others], axis=1), settings.length)


def _entries(
    scene: Scene, model: Model, block: NDArray[np.integer], chosen: Keys
) -> NDArray[np.void]:
    entries = np.zeros(chosen.shape, np.dtype(list(ENTRY)))
    entries["product"] = product = product_numbers(chosen)
    entries["probability"] = key_scores(chosen)
    evidence = scene.evidence
    width = evidence.buyers.size
    owned = evidence.customer.astype(np.int64) * width + evidence.product
    wanted = block.astype(np.int64)[:, None] * width + product
    pair = np.minimum(np.searchsorted(owned, wanted), max(len(owned) - 1, 0))
    bought = (owned[pair] == wanted) & (product >= 0) if len(owned) else product < -1
    pair = pair[bought]
    entries["times"][bought] = np.minimum(evidence.times[pair], 65_535)
    entries["days_ago"][bought] = np.minimum(evidence.day - evidence.last[pair], 65_535)
    entries["every_days"][bought] = np.minimum(np.rint(usual_interval(evidence)[pair]), 65_535)
    entries["because"] = seed = because(
        scene, model, block, np.where((product >= 0) & ~bought, product, -1)
    )
    entries["reason"] = np.select(
        [bought, seed >= 0],
        [REASONS.index(Reason.REORDER), REASONS.index(Reason.SIMILAR)],
        REASONS.index(Reason.POPULAR),
    )
    return entries
