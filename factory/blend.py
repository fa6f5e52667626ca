"""Features of a (customer, product) pair -> the probability that the customer buys it.

Two logistic regressions over the same features, because they answer two questions: will the
customer come back for what they know (``repeat``), and will they discover what they do not
(``fresh``). Logistic regression on every pair, or on a sample weighted back to every pair, is
calibrated by construction; its Brier score is the RMSE that the gate compares.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory.affinity import AFFINITY, Affinities
from factory.als import fold_in
from factory.evidence import Evidence
from factory.features import CUSTOMER, PAIR, PRODUCT, Features, features, stranger
from factory.logistic import Lesson, joined, regress, sigmoid
from factory.prior import PRIOR
from factory.top import cells_of
from schema.records import Blend
from schema.settings import AlsSettings, BlendSettings

_Floats = NDArray[np.float32]
_Values = Mapping[str, _Floats]

FRESH = ("intercept", "als", *AFFINITY, *PRODUCT, *CUSTOMER)
"""What the regression for products new to the customer sees."""
REPEAT = (*(name for name in FRESH if name not in {"unsold", "on_sale"}), *PAIR)
"""What the regression for products bought before sees: the pair's own dates say more than the
product's."""

_SHARED = [place for place, name in enumerate(FRESH) if name in REPEAT]

TAUGHT_AT_ONCE = 250
"""Customers whose pairs are looked at in one block while teaching: bounds memory."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was known on one day, whatever the model."""

    evidence: Evidence
    features: Features
    affinities: Affinities


def moment(evidence: Evidence) -> Moment:
    return Moment(evidence, features(evidence), Affinities(evidence))


@dataclass(frozen=True, slots=True)
class Scene:
    """A model's view of one day: all it takes to score pairs.

    Attributes:
        taste: (C, P) CSR, what customers are folded in from.
        factors: (P, k) products, in the history's order.
        als: how customers are folded in.
    """

    moment: Moment
    taste: csr_matrix
    factors: _Floats
    als: AlsSettings

    def vectors(self, customers: NDArray[np.integer]) -> _Floats:
        """(len(customers), k) customers, folded in."""
        if not self.factors.shape[1]:  # a baseline: a slice costs a tiny tenant more than all else
            return np.zeros((len(customers), 0), np.float32)
        return fold_in(self.taste[customers], self.factors, self.als)


def probabilities(
    scene: Scene,
    blend: Blend,
    customers: NDArray[np.integer],
    affinities: _Values | None = None,
    vectors: _Floats | None = None,
    stood: _Floats | None = None,
) -> _Floats:
    """Purchase probability of the given customers (row numbers) for every product.

    Args:
        affinities, vectors, stood: ``scene.moment.affinities.of(customers)``,
            ``scene.vectors(customers)`` and ``standing``, where the caller has them already.

    Returns:
        (len(customers), P) float32 within 0..1.

    Cost: one matrix product and some ten passes over the block; 4 bytes a pair and affinity.
    """
    if affinities is None:
        affinities = scene.moment.affinities.of(customers)
    if vectors is None:
        vectors = scene.vectors(customers)
    if stood is None:
        stood = standing(scene, blend, customers, affinities)
    ones = np.ones((len(vectors), 1), np.float32)
    activity = customer_bias(scene, blend)[customers][:, None]
    appeal = product_bias(scene, blend)[:, None]
    scaled = np.float32(blend.fresh.get("als", 0.0)) * vectors
    logits: _Floats = np.concatenate([scaled, activity, ones], axis=1) @ (
        np.concatenate([scene.factors, np.ones_like(appeal), appeal], axis=1).T
    )
    for name, value in affinities.items():
        if weight := blend.fresh.get(name, 0.0):
            logits += np.float32(weight) * value
    rows, pairs = scene.moment.evidence.pairs_of(customers)
    product = scene.moment.evidence.product[pairs]
    score = _scores(scene, vectors, rows, product)
    logits[rows, product] = stood + np.float32(blend.repeat.get("als", 0.0)) * score
    return sigmoid(logits)


def product_bias(scene: Scene, blend: Blend) -> _Floats:
    """(P,) what a product brings to the logit of any customer who never bought it."""
    return scene.moment.features.product @ _weights(blend.fresh, PRODUCT)


def customer_bias(scene: Scene, blend: Blend) -> _Floats:
    """(C,) what a customer brings to the logit of any product they never bought."""
    return _activity(scene.moment.features.customer, blend.fresh)


def stranger_bias(scene: Scene, blend: Blend) -> np.float32:
    """The same of somebody who never bought anything."""
    return np.float32(_activity(stranger(scene.moment.evidence), blend.fresh)[0])


def average_bias(scene: Scene, blend: Blend) -> np.float32:
    """The same of the average known customer."""
    known = scene.moment.evidence.known
    bias = customer_bias(scene, blend)[known]
    return np.float32(bias.mean() if known.any() else blend.fresh["intercept"])


def _activity(customer: _Floats, coefficients: Mapping[str, float]) -> _Floats:
    bias = customer @ _weights(coefficients, CUSTOMER)
    return bias + np.float32(coefficients["intercept"])


def _scores(
    scene: Scene, vectors: _Floats, rows: NDArray[np.int64], product: NDArray[np.integer]
) -> _Floats:
    """(n,) ALS scores of pairs."""
    found: _Floats = np.einsum("nk,nk->n", vectors[rows], scene.factors[product])
    return found


def standing(
    scene: Scene, blend: Blend, customers: NDArray[np.integer], affinities: _Values
) -> _Floats:
    """(n,) logits of the pairs these customers bought before, but for what their ALS score adds.

    As ``repeat_matrix`` has it; what many pairs share is weighed once, and no matrix is made.
    """
    evidence, features = scene.moment.evidence, scene.moment.features
    rows, pairs = evidence.pairs_of(customers)
    product = evidence.product[pairs]
    logits: _Floats = features.pair[pairs] @ _weights(blend.repeat, PAIR)
    logits += (features.product @ _weights(blend.repeat, PRODUCT))[product]
    logits += _activity(features.customer[customers], blend.repeat)[rows]
    for name, value in affinities.items():
        if weight := blend.repeat.get(name, 0.0):
            logits += np.float32(weight) * value[rows, product]
    return logits


def repeat_matrix(
    scene: Scene,
    vectors: _Floats,
    affinities: _Values,
    rows: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> _Floats:
    """(len(pairs), features) design matrix of pairs bought before, columns as in REPEAT.

    Args:
        vectors, affinities: of a block of customers; rows: each pair's customer's place in it.
    """
    evidence = scene.moment.evidence
    customer, product = evidence.customer[pairs], evidence.product[pairs]
    common = fresh_matrix(scene, vectors, affinities, rows, customer, product)
    return np.concatenate([common[:, _SHARED], scene.moment.features.pair[pairs]], axis=1)


def fresh_matrix(
    scene: Scene,
    vectors: _Floats,
    affinities: _Values,
    rows: NDArray[np.int64],
    customer: NDArray[np.integer],
    product: NDArray[np.integer],
) -> _Floats:
    """(n, features) design matrix of any pairs, columns as in FRESH."""
    matrix = np.zeros((len(rows), len(FRESH)), np.float32)
    matrix[:, 0] = 1
    matrix[:, 1] = _scores(scene, vectors, rows, product)
    for name, value in affinities.items():
        matrix[:, FRESH.index(name)] = value[rows, product]
    begin = 2 + len(AFFINITY)
    middle = begin + len(PRODUCT)
    matrix[:, begin:middle] = scene.moment.features.product[product]
    matrix[:, middle:] = scene.moment.features.customer[customer]
    return matrix


@dataclass(frozen=True, slots=True)
class Lessons:
    """What one window taught: pairs bought before, and pairs that were new."""

    repeat: Lesson
    fresh: Lesson


def lessons(
    scene: Scene,
    bought: csr_matrix,
    sellable: NDArray[np.bool_],
    settings: BlendSettings,
    *,
    importance: float,
    rng: np.random.Generator,
) -> Lessons:
    """Pairs of a seeded sample of customers, what was known about them, and what happened.

    Of the pairs new to the customer all purchases are taken, and a sample of the others that is
    weighted back to their number.

    Args:
        scene: as of the start of the window; bought: (C, P) CSR ones, what was bought in it.
        importance: weight of every pair of this window.
    """
    evidence = scene.moment.evidence
    known = np.flatnonzero(evidence.known)
    chosen = np.sort(rng.permutation(known)[: settings.customers])
    cells = len(chosen) * int(sellable.sum())
    rate = min(1.0, settings.sample / max(cells, 1))
    repeats, freshes = [], []
    for begin in range(0, len(chosen), TAUGHT_AT_ONCE):
        block = chosen[begin : begin + TAUGHT_AT_ONCE]
        vectors, affinities = scene.vectors(block), scene.moment.affinities.of(block)
        label = bought[block].toarray() > 0
        rows, pairs = evidence.pairs_of(block)
        kept = sellable[evidence.product[pairs]]
        rows, pairs = rows[kept], pairs[kept]
        product = evidence.product[pairs]
        repeats.append(
            Lesson(
                repeat_matrix(scene, vectors, affinities, rows, pairs),
                label[rows, product],
                np.full(len(pairs), importance),
            )
        )
        new = np.broadcast_to(sellable, label.shape).copy()
        new[rows, product] = False
        drawn = rng.random(label.shape, dtype=np.float32) < rate
        rows, found = cells_of(new & (label | drawn))
        happened = label[rows, found]
        freshes.append(
            Lesson(
                fresh_matrix(scene, vectors, affinities, rows, block[rows], found),
                happened,
                np.where(happened, importance, importance / rate),
            )
        )
    return Lessons(joined(repeats, len(REPEAT)), joined(freshes, len(FRESH)))


def teach(taught: Sequence[Lessons], settings: BlendSettings, *, without: Collection[str]) -> Blend:
    """Fit both regressions to what happened in the teach windows.

    Args:
        without: features to leave out.

    Returns:
        The template's coefficients, moved as far as the evidence carries; exactly the template's
        without any window.
    """
    return Blend(
        _fit([lesson.repeat for lesson in taught], REPEAT, PRIOR.repeat, settings.ridge, without),
        _fit([lesson.fresh for lesson in taught], FRESH, PRIOR.fresh, settings.ridge, without),
    )


def _fit(
    taught: Sequence[Lesson],
    names: tuple[str, ...],
    prior: Mapping[str, float],
    ridge: float,
    without: Collection[str],
) -> dict[str, float]:
    used = [name for name in names if name not in without]
    columns = [names.index(name) for name in used]
    lesson = joined(taught, len(names))
    centre = np.array([prior[name] for name in used])
    beta = regress(Lesson(lesson.design[:, columns], lesson.label, lesson.weight), centre, ridge)
    return {name: float(value) for name, value in zip(used, beta, strict=True)}


def _weights(coefficients: Mapping[str, float], names: tuple[str, ...]) -> _Floats:
    return np.array([coefficients.get(name, 0.0) for name in names], np.float32)
