"""The model in force and the list rules -> the lists of every customer, block by block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, probabilities
from factory.features import usual_interval
from factory.judge import chunks
from factory.popular import popular
from factory.reasons import because
from factory.rules import chosen as chosen_by_rules
from factory.rules import missed, steering
from factory.top import Keys, best, key_scores, product_numbers, sort_keys
from factory.train import view
from schema.names import Reason
from schema.records import ENTRY, History, Lists, Model, Product
from schema.rules import NO_RULING, Ruling
from schema.settings import ListSettings

REASONS = tuple(Reason)


def rank(
    model: Model,
    history: History,
    tonight: int,
    products: Sequence[Product],
    settings: ListSettings,
    ruling: Ruling = NO_RULING,
) -> Lists:
    """Rank every sellable product for every customer with a history, as of tonight.

    Args:
        products: what each product number of the history means, in its order.
        ruling: the tenant's rules, laid over ``products``.

    Returns:
        Lists sorted by probability, then product id; without duplicates, unsellable or hidden
        products. Rules that reorder make them hold what a lookup needs to obey them.
        A customer without any history gets no list of their own: the popular one answers.
    """
    scene = view(model, history, tonight)
    rules = steering(ruling, history.sellable)
    rows = np.flatnonzero(scene.evidence.known)
    blocks = []
    lost = np.zeros(len(history.products), np.int64)
    for block in chunks(rows, len(history.products)):
        p = probabilities(scene, model.blend, block)
        if rules.reorders:
            at, pairs = scene.evidence.pairs_of(block)
            chosen = chosen_by_rules(p, (at, scene.evidence.product[pairs]), rules, settings)
        else:
            keys = sort_keys(p)
            keys[:, ~rules.allowed] = 0
            chosen = _chosen(scene, block, keys, settings)
        lost += missed(p, chosen, rules.allowed)
        blocks.append(_entries(scene, model, block, chosen))
    width = rules.width(settings)
    return Lists(
        customers=tuple(history.customers.names[row] for row in rows),
        entries=np.concatenate(blocks) if blocks else np.empty((0, width), np.dtype(list(ENTRY))),
        popular=popular(scene, model.blend, rules, settings),
        products=tuple(products),
        missed=lost,
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
