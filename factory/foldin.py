"""One customer's place among fixed product factors: the formulas, in numpy alone.

The night folds thousands of customers in through the library (factory/als.py); a reason and a
re-ranking during a call need the system itself. Leading dimensions broadcast: one customer, or many.
"""

import numpy as np
from numpy.typing import NDArray

_Reals = NDArray[np.floating]

_EPSILON = np.float32(0.2)
"""Weight from which on more of the same adds ever less confidence."""


def strength(weights: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    """``max(1, α log(1 + w / ε))``: the confidence of a pair whose events weigh w > 0.

    Source: Hu, Koren, Volinsky, ICDM 2008, equation 6 (there 1 + α log(1 + r / ε)).
    """
    grown: NDArray[np.float32] = np.float32(alpha) * np.log1p(weights / _EPSILON)
    return np.maximum(np.float32(1), grown)


def gram(factors: NDArray[np.float32], regularization: float) -> NDArray[np.float32]:
    """(k, k) ``YᵀY + λI``: what the systems of all customers share."""
    shared: NDArray[np.float32] = factors.T @ factors
    shared[np.diag_indices_from(shared)] += np.float32(regularization)
    return shared


def system(shared: _Reals, y: _Reals, c: _Reals) -> _Reals:
    """(…, k, k) ``A_u = YᵀY + λI + Σ_j (c_uj - 1) y_j y_jᵀ``.

    Args:
        y: (…, s, k) factors of the products of the customer's taste; c: (…, s) confidences, those
            below 1 count as 1.
    """
    more = np.sqrt(np.maximum(c - 1, 0))[..., None] * y
    return np.asarray(shared + np.swapaxes(more, -1, -2) @ more)


def vector(matrix: _Reals, y: _Reals, c: _Reals) -> _Reals:
    """(k,) ``x_u = A_u⁻¹ Σ_j c_uj y_j``: where one customer stands."""
    return np.asarray(np.linalg.solve(matrix, c @ y))


def few_shares(dual: _Reals, y: _Reals, c: _Reals, targets: _Reals) -> _Reals:
    """As ``shares``, from a system of s equations instead of k: for a taste of few products.

    ``Y A_u⁻¹ = (I + K D)⁻¹ Y (YᵀY + λI)⁻¹`` with ``K = Y (YᵀY + λI)⁻¹ Yᵀ``, D = diag(c - 1).

    Args:
        dual: (…, s, k) the rows of ``Y (YᵀY + λI)⁻¹`` of the products of the taste.

    Source: Woodbury's identity: Hager, "Updating the inverse of a matrix", SIAM Review 31, 1989.
    """
    matrix = (dual @ np.swapaxes(y, -1, -2)) * np.maximum(c - 1, 0)[..., None, :]
    matrix += np.eye(y.shape[-2], dtype=matrix.dtype)
    solved = np.linalg.inv(matrix) @ dual
    return np.asarray((solved @ np.swapaxes(targets, -1, -2)) * c[..., None])


def shares(matrix: _Reals, y: _Reals, c: _Reals, targets: _Reals) -> _Reals:
    """(…, s, n) how much each product j of the taste adds to the score of each of n targets.

    The score is ``x_u·y_i = Σ_j c_uj (y_jᵀ A_u⁻¹ y_i)``: so each j has its share of it.

    Args:
        targets: (…, n, k) factors of the products asked about.

    Source: Hu, Koren, Volinsky, ICDM 2008, section 5.
    """
    solved = np.linalg.solve(matrix, np.swapaxes(targets, -1, -2))
    return np.asarray((y @ solved) * c[..., None])
