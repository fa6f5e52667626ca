"""Features of a (customer, product) pair -> the probability that the customer buys it.

Two logistic regressions over the same features, because they answer two questions: will the
customer come back for what they know (``repeat``), and will they discover what they do not
(``fresh``). Logistic regression on every pair, or on a sample weighted back to every pair, is
calibrated by construction; its Brier score is the RMSE that the gate compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit

from factory.evidence import Evidence
from factory.features import CUSTOMER, FRESH, PRODUCT, REPEAT, Features, features
from schema.records import Blend
from schema.settings import BlendSettings

_Doubles = NDArray[np.float64]
_Floats = NDArray[np.float32]
_Real = TypeVar("_Real", np.float32, np.float64)

PRIOR = Blend(
    repeat={
        "intercept": -3.08, "als": 0.52,
        "share": -0.38, "recent_share": 0.16, "season_share": 0.26, "newcomers": 0.06,
        "purchases": 0.25, "recent_purchases": -0.10, "silence": -0.02,
        "times": 0.40, "decayed": 0.57, "age": -0.15, "overdue": -0.01, "repurchase": 0.19,
        "own_share": 0.32,
    },
    fresh={
        "intercept": -2.85, "als": 3.99,
        "share": 0.51, "recent_share": 0.14, "season_share": 0.23, "newcomers": 0.42,
        "purchases": 0.40, "recent_purchases": -0.18, "silence": -0.13,
    },
)  # fmt: skip
"""The template's coefficients: where a tenant shows nothing to the contrary, these hold.

Medians over fifteen real tenants, as `python -m benchmarks.template FOLDER…` prints them.
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A model's view of one day: all it takes to score pairs.

    Attributes:
        vectors: (C, k) folded-in customers; factors: (P, k) products, in the history's order.
    """

    evidence: Evidence
    features: Features
    vectors: _Floats
    factors: _Floats


def scene(evidence: Evidence, vectors: _Floats, factors: _Floats) -> Scene:
    return Scene(evidence, features(evidence), vectors, factors)


def probabilities(scene: Scene, blend: Blend, customers: NDArray[np.integer]) -> _Floats:
    """Purchase probability of the given customers (row numbers) for every product.

    Returns:
        (len(customers), P) float32 within 0..1.

    Cost: one matrix product and one exponential a pair; 4 bytes a pair of memory.
    """
    scaled = scene.vectors[customers] * np.float32(blend.fresh.get("als", 0.0))
    logits: _Floats = scaled @ scene.factors.T
    logits += product_bias(scene, blend)[None, :]
    logits += customer_bias(scene, blend)[customers][:, None]
    rows, pairs = scene.evidence.pairs_of(customers)
    repeat = repeat_matrix(scene, pairs) @ _weights(blend.repeat, REPEAT)
    logits[rows, scene.evidence.product[pairs]] = repeat
    return sigmoid(logits)


def product_bias(scene: Scene, blend: Blend) -> _Floats:
    """(P,) what a product brings to the logit of any customer who never bought it."""
    return scene.features.product @ _weights(blend.fresh, PRODUCT)


def customer_bias(scene: Scene, blend: Blend) -> _Floats:
    """(C,) what a customer brings to the logit of any product they never bought."""
    bias = scene.features.customer @ _weights(blend.fresh, CUSTOMER)
    return bias + np.float32(blend.fresh["intercept"])


def repeat_matrix(scene: Scene, pairs: NDArray[np.int64]) -> _Floats:
    """(len(pairs), features) design matrix of pairs bought before, columns as in REPEAT."""
    customer, product = scene.evidence.customer[pairs], scene.evidence.product[pairs]
    return np.concatenate(
        [_common_columns(scene, customer, product), scene.features.pair[pairs]], axis=1
    )


def fresh_matrix(scene: Scene, customer: NDArray[np.int32], product: NDArray[np.int32]) -> _Floats:
    """(n, features) design matrix of any pairs, columns as in FRESH."""
    return _common_columns(scene, customer, product)


def _common_columns(
    scene: Scene, customer: NDArray[np.int32], product: NDArray[np.int32]
) -> _Floats:
    als = np.einsum("nk,nk->n", scene.vectors[customer], scene.factors[product])
    return np.concatenate(
        [
            np.ones((len(customer), 1), np.float32),
            als[:, None],
            scene.features.product[product],
            scene.features.customer[customer],
        ],
        axis=1,
    )


def teach(
    scenes: Sequence[Scene],
    labels: Sequence[csr_matrix],
    sellable: NDArray[np.bool_],
    settings: BlendSettings,
    *,
    seed: int,
    with_als: bool,
) -> Blend:
    """Fit both regressions to what happened in the teach windows.

    Args:
        scenes: one a window, as of its start; labels: (C, P) CSR ones, what was bought in it.
        with_als: False gives the baseline: the same blend, blind to the factors.

    Returns:
        The template's coefficients, moved as far as the evidence carries (MAP estimate under a
        Gaussian prior of precision ``ridge``); exactly the template's without any window.
    """
    rng = np.random.default_rng(seed)
    repeat_parts, fresh_parts = [], []
    for view, bought in zip(scenes, labels, strict=True):
        repeat_parts.append(_repeat_lesson(view, bought, sellable, settings.sample, rng))
        fresh_parts.append(_fresh_lesson(view, bought, sellable, settings.sample, rng))
    return Blend(
        _regress(repeat_parts, REPEAT, PRIOR.repeat, settings.ridge, with_als),
        _regress(fresh_parts, FRESH, PRIOR.fresh, settings.ridge, with_als),
    )


_Lesson = tuple[_Floats, _Doubles, _Doubles]  # design matrix, labels, weights


def _repeat_lesson(
    view: Scene,
    bought: csr_matrix,
    sellable: NDArray[np.bool_],
    most: int,
    rng: np.random.Generator,
) -> _Lesson:
    evidence = view.evidence
    pairs = np.flatnonzero(sellable[evidence.product])
    weight = 1.0
    if len(pairs) > most:
        weight = len(pairs) / most
        pairs = np.sort(rng.choice(pairs, most, replace=False))
    label = _labels(bought, evidence.customer[pairs], evidence.product[pairs])
    return repeat_matrix(view, pairs), label, np.full(len(pairs), weight)


def _fresh_lesson(
    view: Scene,
    bought: csr_matrix,
    sellable: NDArray[np.bool_],
    most: int,
    rng: np.random.Generator,
) -> _Lesson:
    """All discoveries, and a sample of the other pairs weighted back to their number."""
    evidence = view.evidence
    shape = bought.shape
    owned = _keys(evidence.customer, evidence.product, shape[1])
    positive = bought.tocoo()
    keep = evidence.known[positive.row] & sellable[positive.col]
    found = np.setdiff1d(_keys(positive.row[keep], positive.col[keep], shape[1]), owned)

    customers, products = np.flatnonzero(evidence.known), np.flatnonzero(sellable)
    everything = len(customers) * len(products)
    if everything <= most:
        drawn = _keys(
            np.repeat(customers, len(products)), np.tile(products, len(customers)), shape[1]
        )
    else:
        draws = rng.integers(0, everything, most)
        drawn = _keys(customers[draws // len(products)], products[draws % len(products)], shape[1])
    others = drawn[~np.isin(drawn, owned) & ~np.isin(drawn, found)]
    weight = everything / max(min(most, everything), 1)

    keys = np.concatenate([found, others])
    label = np.concatenate([np.ones(len(found)), np.zeros(len(others))])
    weights = np.concatenate([np.ones(len(found)), np.full(len(others), weight)])
    customer, product = np.divmod(keys, max(shape[1], 1))
    return fresh_matrix(view, customer.astype(np.int32), product.astype(np.int32)), label, weights


def _keys(
    customer: NDArray[np.integer], product: NDArray[np.integer], products: int
) -> NDArray[np.int64]:
    return customer.astype(np.int64) * products + product


def _labels(
    bought: csr_matrix, customer: NDArray[np.int32], product: NDArray[np.int32]
) -> _Doubles:
    width = bought.shape[1]
    positive = bought.tocoo()
    return np.isin(
        _keys(customer, product, width), _keys(positive.row, positive.col, width)
    ).astype(np.float64)


def _regress(
    lessons: Sequence[_Lesson],
    names: tuple[str, ...],
    prior: Mapping[str, float],
    ridge: float,
    with_als: bool,
) -> dict[str, float]:
    used = [name for name in names if with_als or name != "als"]
    centre = np.array([prior[name] for name in used])
    columns = [names.index(name) for name in used]
    if lessons:
        design = np.concatenate([lesson[0][:, columns] for lesson in lessons]).astype(np.float64)
        label = np.concatenate([lesson[1] for lesson in lessons])
        weight = np.concatenate([lesson[2] for lesson in lessons])
        centre = logistic(design, label, weight, centre, ridge)
    return {name: float(value) for name, value in zip(used, centre, strict=True)}


def logistic(
    design: _Doubles, label: _Doubles, weight: _Doubles, prior: _Doubles, ridge: float
) -> _Doubles:
    """Weighted logistic regression with a Gaussian prior, by damped Newton steps (IRLS).

    Minimises ``-Σ w (y log p + (1-y) log(1-p)) + ridge/2 |β - prior|²``.

    Args:
        design: (n, f); label: (n,) 0 or 1; weight: (n,) ≥ 0; prior: (f,).

    Returns:
        (f,) coefficients; the objective never rises above that of the prior.
    """
    beta = prior.copy()
    value = _objective(design, label, weight, beta, prior, ridge)
    for _ in range(30):
        p = sigmoid(design @ beta)
        gradient = design.T @ (weight * (p - label)) + ridge * (beta - prior)
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design
        curvature[np.diag_indices_from(curvature)] += ridge
        step = np.linalg.solve(curvature, gradient)
        scale = 1.0
        while True:
            trial = beta - scale * step
            new = _objective(design, label, weight, trial, prior, ridge)
            if new <= value or scale < 1e-4:
                break
            scale /= 2
        if new > value:
            break
        beta, gain, value = trial, value - new, new
        if gain < 1e-6 * max(abs(value), 1):
            break
    return beta


def _objective(
    design: _Doubles,
    label: _Doubles,
    weight: _Doubles,
    beta: _Doubles,
    prior: _Doubles,
    ridge: float,
) -> float:
    logit = design @ beta
    loss = weight @ (np.logaddexp(0, logit) - label * logit)
    return float(loss + ridge / 2 * ((beta - prior) @ (beta - prior)))


def sigmoid(logit: NDArray[_Real]) -> NDArray[_Real]:
    """``1 / (1 + e^-x)`` in the precision of its argument, exact far into both tails."""
    return np.asarray(expit(logit))


def _weights(coefficients: Mapping[str, float], names: tuple[str, ...]) -> _Floats:
    return np.array([coefficients.get(name, 0.0) for name in names], np.float32)
