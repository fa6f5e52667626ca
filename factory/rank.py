"""The model in force and the list rules -> the lists of every customer, block by block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, probabilities
from factory.evidence import Evidence, usual_interval
from factory.judge import chunks
from factory.popular import popular
from factory.reasons import because, segment_favourites
from factory.top import Keys, best, best_pairs, key_scores, merged, product_numbers
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
    rows = np.flatnonzero(scene.moment.evidence.known)
    favourites = segment_favourites(scene.moment.evidence)
    blocks = []
    for block in chunks(rows, len(history.products)):
        p = probabilities(scene, model.blend, block)
        p[:, ~history.sellable] = 0
        chosen = _chosen(scene.moment.evidence, block, p, settings)
        blocks.append(_entries(scene, model, block, chosen, favourites))
    width = settings.length
    return Lists(
        customers=tuple(history.customers.names[row] for row in rows),
        entries=np.concatenate(blocks) if blocks else np.empty((0, width), np.dtype(list(ENTRY))),
        popular=popular(scene, model.blend, history.sellable, width),
        products=tuple(products),
        segments=history.segments.names,
    )


def _chosen(
    evidence: Evidence,
    block: NDArray[np.integer],
    p: NDArray[np.float32],
    settings: ListSettings,
) -> Keys:
    """The best ``length`` products, among them enough new and enough bought ones.

    First the best new and the best bought products up to their guarantees, then the best of the
    rest, whichever they are.
    """
    length = settings.length
    at, pairs = evidence.pairs_of(block)
    product = evidence.product[pairs]
    bought = best_pairs(at, product, p[at, product], len(p), length)
    p[at, product] = 0
    fresh = best(p, length)
    sure_fresh, sure_bought = settings.at_least_new, settings.at_least_bought
    sure = np.concatenate([fresh[:, :sure_fresh], bought[:, :sure_bought]], axis=1)
    others = np.concatenate([fresh[:, sure_fresh:], bought[:, sure_bought:]], axis=1)
    others = merged(others, length)
    room = length - (sure > 0).sum(1)
    others[np.arange(length)[None, :] >= room[:, None]] = 0
    return merged(np.concatenate([sure, others], axis=1), length)


def _entries(
    scene: Scene,
    model: Model,
    block: NDArray[np.integer],
    chosen: Keys,
    favourites: NDArray[np.bool_],
) -> NDArray[np.void]:
    entries = np.zeros(chosen.shape, np.dtype(list(ENTRY)))
    entries["product"] = product = product_numbers(chosen)
    entries["probability"] = key_scores(chosen)
    evidence = scene.moment.evidence
    width = evidence.buyers.size
    owned = evidence.customer.astype(np.int64) * width + evidence.product
    wanted = block.astype(np.int64)[:, None] * width + product
    pair = np.minimum(np.searchsorted(owned, wanted), max(len(owned) - 1, 0))
    bought = (owned[pair] == wanted) & (product >= 0) if len(owned) else product < -1
    pair = pair[bought]
    entries["times"][bought] = np.minimum(evidence.times[pair], 65_535)
    entries["days_ago"][bought] = np.minimum(evidence.day - evidence.last[pair], 65_535)
    entries["every_days"][bought] = np.minimum(np.rint(usual_interval(evidence)[pair]), 65_535)
    seed = because(scene, model, block, np.where((product >= 0) & ~bought, product, -1))
    segment = np.broadcast_to(evidence.segment[block][:, None], product.shape)
    liked = (product >= 0) & favourites[segment + 1, np.maximum(product, 0)]
    entries["because"] = np.select([bought, seed >= 0, liked], [-1, seed, segment], -1)
    entries["reason"] = np.select(
        [bought, seed >= 0, liked],
        [REASONS.index(Reason.REORDER), REASONS.index(Reason.SIMILAR), REASONS.index(Reason.SEGMENT)],
        REASONS.index(Reason.POPULAR),
    )
    return entries
