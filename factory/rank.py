"""The model in force and the list rules -> the lists of every customer, block by block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from factory.blend import Scene, probabilities, standing
from factory.grounds import facts, grounds
from factory.judge import chunks
from factory.popular import popular
from factory.reasons import because, segment_favourites
from factory.rules import chosen as chosen_by_rules
from factory.rules import missed, steering
from factory.top import Keys, best, best_pairs, key_scores, merged, product_numbers
from factory.train import view
from factory.why import reasons
from schema.records import ENTRY, History, Lists, Model, Product
from schema.rules import NO_RULING, Ruling
from schema.settings import ListSettings


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
    evidence = scene.moment.evidence
    rows = np.flatnonzero(evidence.known)
    favourites = segment_favourites(evidence)
    blocks, stood = [], [np.empty(0, np.float32)]
    lost = np.zeros(len(history.products), np.int64)
    for block in chunks(rows, len(history.products)):
        vectors, affinities = scene.vectors(block), scene.moment.affinities.of(block)
        stood.append(standing(scene, model.blend, block, affinities))
        p = probabilities(scene, model.blend, block, affinities, vectors, stood[-1])
        del affinities
        at, pairs = evidence.pairs_of(block)
        owned = at, evidence.product[pairs]
        if rules.reorders:
            chosen = chosen_by_rules(p, owned, rules, settings)
        else:
            chosen = _chosen(np.where(rules.allowed, p, np.float32(0)), owned, settings)
        lost += missed(p, chosen, rules.allowed)
        blocks.append(_entries(scene, model, block, vectors, chosen, favourites))
    width = rules.width(settings)
    return Lists(
        customers=tuple(history.customers.names[row] for row in rows),
        entries=np.concatenate(blocks) if blocks else np.empty((0, width), np.dtype(list(ENTRY))),
        popular=popular(scene, model.blend, rules, settings),
        products=tuple(products),
        segments=history.segments.names,
        missed=lost,
        grounds=grounds(scene, model, history, np.concatenate(stood), favourites),
    )


def _chosen(
    p: NDArray[np.float32],
    owned: tuple[NDArray[np.int64], NDArray[np.integer]],
    settings: ListSettings,
) -> Keys:
    """The best ``length`` products, among them enough new and enough bought ones.

    First the best new and the best bought products up to their guarantees, then the best of the
    rest, whichever they are.

    Args:
        p: (C, P) probabilities, 0 where a product cannot be listed; used up.
        owned: (place in C, product) of the pairs bought before.
    """
    length = settings.length
    bought = best_pairs(*owned, p[owned], len(p), length)
    p[owned] = 0
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
    vectors: NDArray[np.float32],
    chosen: Keys,
    favourites: NDArray[np.bool_],
) -> NDArray[np.void]:
    entries = np.zeros(chosen.shape, np.dtype(list(ENTRY)))
    entries["product"] = product = product_numbers(chosen)
    entries["probability"] = key_scores(chosen)
    evidence = scene.moment.evidence
    width = evidence.buyers.size
    at, pairs = evidence.pairs_of(block)
    owned = at * width + evidence.product[pairs]
    wanted = np.arange(len(block))[:, None] * width + product
    place = np.minimum(np.searchsorted(owned, wanted), max(len(owned) - 1, 0))
    bought = (owned[place] == wanted) & (product >= 0) if len(owned) else product < -1
    pair = pairs[place[bought]]
    for name, values in facts(evidence, pair).items():
        entries[name][bought] = values
    seed = because(scene, model, block, vectors, np.where((product >= 0) & ~bought, product, -1))
    segment = np.broadcast_to(evidence.segment[block][:, None], product.shape)
    liked = (product >= 0) & favourites[segment + 1, np.maximum(product, 0)]
    entries["reason"], entries["because"] = reasons(bought, seed, liked, segment)
    return entries
