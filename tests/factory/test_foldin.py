import numpy as np
import pytest

from factory.foldin import few_shares, gram, shares, system, vector


class TestShares:
    @pytest.mark.parametrize("seeds", [1, 3, 12])
    def test_are_the_same_from_either_system(self, seeds: int) -> None:
        """Of few products or many: those that weigh nothing more, padded places, are 0 in both."""
        rng = np.random.default_rng(seeds)
        factors = rng.normal(size=(20, 6)).astype(np.float32)
        y, targets = factors[rng.integers(0, 20, (5, seeds))], factors[rng.integers(0, 20, (5, 4))]
        c = rng.choice(np.array([0, 1, 4, 9], np.float32), (5, seeds))
        shared = gram(factors, 0.5)
        dual = np.linalg.solve(shared, np.swapaxes(y, -1, -2)).swapaxes(-1, -2)

        many = shares(system(shared, y, c), y, c, targets)

        assert np.allclose(few_shares(dual, y, c, targets), many, atol=1e-4)
        assert (many[c == 0] == 0).all()

    def test_add_up_to_the_score(self) -> None:
        rng = np.random.default_rng(0)
        factors = rng.normal(size=(20, 6)).astype(np.float32)
        y, c = factors[:3], np.array([1, 4, 9], np.float32)
        shared = gram(factors, 0.5)
        score = factors @ vector(system(shared, y, c), y, c)
        dual = np.linalg.solve(shared, y.T).T
        assert np.allclose(few_shares(dual, y, c, factors).sum(0), score, atol=1e-4)
