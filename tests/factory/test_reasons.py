"""Why a product is on a list: against the definition, one customer and product after the other."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import reasons
from factory.als import confidence
from factory.blend import Scene
from factory.evidence import as_of
from factory.reasons import because, segment_favourites
from factory.train import view
from schema.records import Blend, History
from tests.factory.build import Bought, history
from tests.factory.test_train import TOLD, trained

MODEL = trained(TOLD)
EVERYBODY = np.arange(40)
ALL = np.tile(np.arange(20, dtype=np.int32), (40, 1))


def looked_at() -> History:
    """Everybody also looked at every product that is not their own colour's, yesterday."""
    known = set(zip(TOLD.customer.tolist(), TOLD.product.tolist(), strict=True))
    bought = zip(TOLD.customer.tolist(), TOLD.product.tolist(), TOLD.day.tolist(), strict=True)
    looks = [(c, p, 119) for c in range(0, 40, 3) for p in range(20) if (c, p) not in known]
    rows = sorted([*((row, 1.0) for row in bought), *((row, 0.1) for row in looks)])
    return history([row for row, _ in rows], 40, 20, weights=[weight for _, weight in rows])


def scene_of(told: History) -> Scene:
    return view(MODEL, told, 120)


def asked(scene: Scene, listed: np.ndarray = ALL, weight: float = 0.0) -> np.ndarray:
    """What is named, with the model's own or with another weight of the ALS score."""
    model = MODEL
    if weight:
        model = replace(
            MODEL, blend=Blend(MODEL.blend.repeat, {**MODEL.blend.fresh, "als": weight})
        )
    return because(scene, model, EVERYBODY, scene.vectors(EVERYBODY), listed)


def shares(scene: Scene, customer: int) -> tuple[np.ndarray, np.ndarray]:
    """(J,) products of the customer's taste, and (J, P) what each brings to every ALS score."""
    als = MODEL.settings.als
    y = scene.factors.astype(np.float64)
    row = confidence(scene.taste, als)[customer]
    a = y.T @ y + als.regularization * np.eye(4)
    a += (y[row.indices].T * (row.data - 1)) @ y[row.indices]
    return row.indices, (y[row.indices] @ np.linalg.solve(a, y.T)) * row.data[:, None]


def by_hand(scene: Scene, customer: int, product: int, weight: float) -> tuple[int, bool]:
    """The product to be named or -1, and whether it is too close to call in single precision."""
    seeds, parts = shares(scene, customer)
    part = parts[:, product]
    known = scene.moment.evidence
    owned = known.product[known.customer == customer]
    bought = np.isin(seeds, owned)
    odds = weight * part.sum()
    close = abs(odds - math.log(1.2)) < 1e-3
    if odds < math.log(1.2) or not bought.any():
        return -1, close
    order = np.argsort(np.where(bought, -part, np.inf))
    close |= abs(part[order[0]]) < 1e-4
    close |= bought.sum() > 1 and part[order[0]] - part[order[1]] < 1e-4
    return (int(seeds[order[0]]) if part[order[0]] > 0 else -1), close


class TestTheProductThatIsNamed:
    @pytest.mark.parametrize("told", [TOLD, looked_at()], ids=["bought", "bought and looked at"])
    @pytest.mark.parametrize("weight", [0.5, 2.0, 8.0])
    def test_is_the_bought_one_with_the_largest_share_of_a_score_that_raises_the_odds(
        self, told: History, weight: float
    ) -> None:
        scene = scene_of(told)
        found = asked(scene, weight=weight)
        clear = 0
        for customer in range(40):
            for product in range(20):
                expected, close = by_hand(scene, customer, product, weight)
                if not close:
                    assert found[customer, product] == expected, (customer, product)
                    clear += 1
        assert clear > 700
        assert (found >= 0).any()

    def test_is_named_for_shares_that_add_up_to_the_score(self) -> None:
        scene = scene_of(TOLD)
        scores = scene.vectors(EVERYBODY) @ scene.factors.T
        for customer in (3, 20):
            _, parts = shares(scene, customer)
            assert parts.sum(0) == pytest.approx(scores[customer], abs=1e-4)

    def test_is_the_same_in_small_groups_and_in_any_order(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = scene_of(TOLD)
        whole = asked(scene)
        for cells in (1, 500):
            monkeypatch.setattr(reasons, "_CELLS", cells)
            assert (asked(scene) == whole).all()
        back = EVERYBODY[::-1]
        turned = because(scene, MODEL, back, scene.vectors(back), ALL)
        assert (turned == whole[::-1]).all()

    def test_is_none_where_nothing_is_asked(self) -> None:
        some = np.where(np.random.default_rng(0).random(ALL.shape) < 0.5, ALL, -1)
        scene = scene_of(TOLD)
        found = asked(scene, some)
        assert (found == np.where(some >= 0, asked(scene), -1)).all()
        assert (asked(scene, np.full_like(ALL, -1)) == -1).all()

    def test_is_none_for_a_model_that_does_not_go_by_taste(self) -> None:
        scene = scene_of(TOLD)
        assert (asked(scene, weight=-1.0) == -1).all()
        plain = replace(MODEL.blend, fresh={"intercept": -3.0})
        vectors = scene.vectors(EVERYBODY)
        found = because(scene, replace(MODEL, blend=plain), EVERYBODY, vectors, ALL)
        assert (found == -1).all()

    def test_is_none_for_somebody_who_only_looked(self) -> None:
        rows = [(c, p, d) for c, p, d in zip(TOLD.customer, TOLD.product, TOLD.day, strict=True)]
        mine = [(40, p, 118) for p in range(0, 20, 2)]
        told = sorted([*((tuple(map(int, row)), 1.0) for row in rows), *((r, 0.3) for r in mine)])
        wide = history([row for row, _ in told], 41, 20, weights=[w for _, w in told])  # type: ignore[misc]
        scene = view(MODEL, wide, 120)
        block = np.array([40])
        found = because(scene, MODEL, block, scene.vectors(block), ALL[:1])
        assert (found == -1).all()


ROWS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(0, 60)), max_size=40, unique=True
)


class TestASegmentsFavourite:
    @given(ROWS, st.lists(st.integers(-1, 2), min_size=9, max_size=9))
    def test_is_bought_there_this_season_by_three_and_clearly_more_than_by_all(
        self, rows: list[Bought], segment: list[int]
    ) -> None:
        found = segment_favourites(as_of(history(rows, 9, 4, segment=segment), 60, 7))
        known = {c for c, _, d in rows if d < 60}
        lately = {(c, p) for c, p, d in rows if 60 - 3 * 7 <= d < 60}
        for group in range(max(segment) + 1):
            members = {c for c in known if segment[c] == group}
            for product in range(4):
                buyers = len({c for c, p in lately if p == product and c in members})
                everybody = len({c for c, p in lately if p == product})
                expected = buyers >= 3 and (
                    buyers * len(known) >= 1.2 * everybody * len(members) - 1e-9
                )
                assert found[group + 1, product] == expected

    def test_is_nobodys_without_a_segment(self) -> None:
        rows = [(c, 0, 55) for c in range(5)]
        assert not segment_favourites(as_of(history(rows, 9, 1), 60, 7)).any()
        some = history(rows, 9, 1, segment=[-1] * 5 + [0] * 4)
        assert not segment_favourites(as_of(some, 60, 7))[0].any()

    def test_is_none_where_all_buy_it_alike(self) -> None:
        rows = [(c, 0, 55) for c in range(8)]
        told = history(rows, 8, 1, segment=[0, 1] * 4)
        assert not segment_favourites(as_of(told, 60, 7)).any()
