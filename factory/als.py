"""The one adapter around ``implicit``: fit, carry on, fold customers in.

The library trusts its input with memory-unsafe code (an index beyond its shape crashes the
process) and silently continues when an object is fitted twice, so every call goes through here:
checked matrices, a new object per fit, one thread, and always the exact fold-in, because fitted
customer factors lag half a step behind the product factors.
"""

from dataclasses import dataclass

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory.foldin import strength
from schema.errors import Problem
from schema.settings import AlsSettings

Factors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fit:
    """Customers (C, k) and products (P, k), float32, as the last iteration left them."""

    customers: Factors
    products: Factors


def fit(taste: csr_matrix, settings: AlsSettings, *, seed: int, start: Fit | None = None) -> Fit:
    """Factor implicit feedback with alternating least squares.

    Minimises ``Σ c_ui (p_ui - x_u·y_i)² + λ (Σ|x_u|² + Σ|y_i|²)`` over *all* pairs; ``p_ui`` is 1
    for a seen pair, else 0. A seen pair has the confidence of ``confidence``, an unseen one 1.

    Args:
        taste: (C, P) CSR float32, decayed event weights w, > 0.
        start: where to carry on from, for ``continued_iterations``; without it a fresh fit of
            ``iterations`` begins from the seed.

    Returns:
        Same input and seed give the same bytes on one machine.

    Raises:
        Problem: the matrix is empty or not finite, or the fit did not stay finite.

    Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM
        2008; conjugate gradient steps after Takács, Pilászy, Tikk, RecSys 2011.
    """
    weights = confidence(taste, settings)
    if not weights.nnz:
        raise Problem(
            "there is no interaction to learn from", "import interactions", code="TRAIN_TOO_SMALL"
        )
    model = _new(
        settings, seed, settings.iterations if start is None else settings.continued_iterations
    )
    if start is not None:  # copies: fit works in place
        model.user_factors = np.array(start.customers, np.float32, order="C")
        model.item_factors = np.array(start.products, np.float32, order="C")
        if not model.iterations:
            return start
    broken = Problem(
        "the factors did not stay finite", "raise als.regularization", code="TRAIN_NOT_FINITE"
    )
    try:
        model.fit(weights, show_progress=False)
    except ModelFitError as error:
        raise broken from error
    found = Fit(
        np.asarray(model.user_factors, np.float32), np.asarray(model.item_factors, np.float32)
    )
    if not (np.isfinite(found.products).all() and np.isfinite(found.customers).all()):
        raise broken
    return found


def fold_in(taste: csr_matrix, products: Factors, settings: AlsSettings) -> Factors:
    """Customer vectors by exact least squares against fixed product factors.

    ``x_u = (YᵀY + Σ_j (c_uj - 1) y_j y_jᵀ + λI)⁻¹ Σ_j c_uj y_j``; a customer without interactions
    gets zeros.

    Args:
        taste: (C, P) CSR as for ``fit``; products: (P, k) float32.

    Returns:
        (C, k) float32.
    """
    if products.shape[0] != taste.shape[1]:
        raise Problem(
            f"{taste.shape[1]} products in the history, {products.shape[0]} in the factors",
            "this is a defect: align the factors to the history first",
            code="TRAIN_SHAPE",
        )
    vectors = np.zeros((taste.shape[0], products.shape[1]), np.float32)
    rows = np.flatnonzero(np.diff(taste.indptr))
    if len(rows) and products.shape[1]:
        model = _new(settings, 0, 1)
        model.item_factors = np.ascontiguousarray(products, np.float32)
        vectors[rows] = model.recalculate_user(rows, confidence(taste[rows], settings))
    return vectors


def confidence(taste: csr_matrix, settings: AlsSettings) -> csr_matrix:
    """Weights as confidences, checked for everything the library does not check itself."""
    weights = csr_matrix(taste, dtype=np.float32, copy=True)
    weights.sum_duplicates()
    weights.sort_indices()
    if weights.nnz and not (np.isfinite(weights.data).all() and weights.data.min() > 0):
        raise Problem(
            "an interaction weight is zero, negative or not a number",
            "this is a defect: weights are made in factory.evidence",
            code="TRAIN_WEIGHT",
        )
    if weights.nnz and (weights.indices.min() < 0 or weights.indices.max() >= weights.shape[1]):
        raise Problem(
            "a product number lies outside the matrix",
            "this is a defect: do not call the library with it",
            code="TRAIN_SHAPE",
        )
    weights.data = strength(weights.data, settings.alpha)
    weights.indices = weights.indices.astype(np.int32)
    weights.indptr = weights.indptr.astype(np.int32)
    return weights


def _new(settings: AlsSettings, seed: int, iterations: int) -> AlternatingLeastSquares:
    return AlternatingLeastSquares(
        factors=settings.factors,
        regularization=settings.regularization,
        iterations=iterations,
        alpha=1.0,
        random_state=seed,
        num_threads=1,
    )
