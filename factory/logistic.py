"""Weighted logistic regression with a prior: the only learner of the blend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Doubles = NDArray[np.float64]
_Floats = NDArray[np.float32]
_Real = TypeVar("_Real", np.float32, np.float64)


_FLAT = 1e-3
"""Standard deviation below which a column is constant but for rounding."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a regression learns from.

    Attributes:
        design: (n, f), first column 1; label: (n,) what happened; weight: (n,) > 0.
    """

    design: _Floats
    label: NDArray[np.bool_]
    weight: _Doubles


def joined(parts: Sequence[Lesson], width: int) -> Lesson:
    """All parts in one; nothing, ``width`` columns wide, where there are none."""
    if not parts:
        return Lesson(np.zeros((0, width), np.float32), np.zeros(0, bool), np.zeros(0))
    return Lesson(
        np.concatenate([part.design for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def regress(lesson: Lesson, prior: _Doubles, ridge: float) -> _Doubles:
    """Coefficients that explain the lesson, pulled towards the prior (damped Newton, IRLS).

    Minimises ``-Σ w (y log p + (1 - y) log(1 - p)) + ridge/2 Σ_k s_k² (β_k - prior_k)²`` with s
    the standard deviations of the columns, so that the pull does not depend on a feature's unit;
    the intercept, of all customers at their mean, is pulled with 1.

    Returns:
        (f,) coefficients; the prior itself where nothing, or everything, happened.

    Source: Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning", 4.4.1 and 3.4.1.
    """
    weight, total = lesson.weight, float(lesson.weight.sum())
    happened = float(weight[lesson.label].sum())
    if not 0 < happened < total:
        return prior.copy()
    # Features as rows from here on: each is one long run of memory, several times faster.
    design = np.array(lesson.design.T, np.float32, order="C")
    mean = design @ weight.astype(np.float32) / total
    mean[0] = 0
    design -= mean.astype(np.float32)[:, None]
    spread = np.sqrt(np.square(design) @ weight.astype(np.float32) / total)
    constant = spread < _FLAT  # a column without variation says nothing: the prior stands
    design /= np.where(constant, np.inf, spread).astype(np.float32)[:, None]
    # In standard units: γ = s β, and the intercept is the one at the mean.
    centre = prior * spread
    centre[0] = prior[0] + mean @ prior
    pull = np.full(len(prior), ridge)
    pull[0] = 1.0
    gamma = _newton(design, lesson.label, weight, centre, pull)
    beta = np.where(constant, prior, gamma / np.maximum(spread, _FLAT))
    beta[0] = gamma[0] - mean[1:] @ beta[1:]
    return beta


def _newton(
    design: _Floats,
    label: NDArray[np.bool_],
    weight: _Doubles,
    centre: _Doubles,
    pull: _Doubles,
) -> _Doubles:
    gamma, scaled = centre.copy(), np.empty_like(design)
    value, logit = _objective(design, label, weight, gamma, centre, pull)
    for _ in range(30):
        p = sigmoid(logit)
        slope = (weight * (p - label)).astype(np.float32)
        gradient = design @ slope + pull * (gamma - centre)
        root = np.sqrt(weight * p * (1 - p)).astype(np.float32)
        np.multiply(design, root, out=scaled)
        curvature = (scaled @ scaled.T).astype(np.float64)
        curvature[np.diag_indices_from(curvature)] += pull
        step = np.linalg.solve(curvature, gradient)
        scale = 1.0
        while True:
            trial = gamma - scale * step
            new, logit = _objective(design, label, weight, trial, centre, pull)
            if new <= value or scale < 1e-3:
                break
            scale /= 2
        if new > value:
            break
        gamma, gain, value = trial, value - new, new
        if gain < 1e-5 * max(abs(value), 1):
            break
    return gamma


def _objective(
    design: _Floats,
    label: NDArray[np.bool_],
    weight: _Doubles,
    gamma: _Doubles,
    centre: _Doubles,
    pull: _Doubles,
) -> tuple[float, _Doubles]:
    logit = (gamma.astype(np.float32) @ design).astype(np.float64)
    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): np.logaddexp takes four times as long.
    loss = weight @ (np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit))) - label * logit)
    return float(loss + pull @ np.square(gamma - centre) / 2), logit


def sigmoid(logit: NDArray[_Real]) -> NDArray[_Real]:
    """``1 / (1 + e^-x)`` in the precision of its argument, exact far into both tails."""
    small = np.abs(logit)
    np.exp(np.negative(small, out=small), out=small)  # never overflows
    found = np.maximum(small, logit >= 0)  # 1 there: ``small`` is never above
    small += 1
    found /= small
    return found
