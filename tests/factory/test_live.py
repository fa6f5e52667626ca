"""Re-ranking during a call, against tonight's ranking of a history in which it had been said."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from factory.blend import Moment, Scene, probabilities, product_bias
from factory.evidence import as_of, taste
from factory.features import Features, features
from factory.live import SPREAD, Ranked, rerank
from factory.rank import rank
from factory.train import ALS, BASELINE, train, view
from factory.why import REASONS
from factory.windows import choose
from schema.names import Reason
from schema.records import Grounds, History, Lists, Model, Said
from schema.rules import NO_RULING, Ruling
from schema.settings import AlsSettings, ListSettings, TenantSettings, WindowSettings
from tenants.rules import ordered
from tests.factory.build import catalogue, history

SETTINGS = TenantSettings(
    als=AlsSettings(factors=6, regularization=0.5), windows=WindowSettings(min_pairs=20)
)
CUSTOMERS, PRODUCTS, TONIGHT = 46, 32, 120
STRANGERS = (44, 45)
"""In the catalogue of customers, but without any history."""
ASKED = 0.3
WHOLE = ListSettings(length=PRODUCTS, at_least_new=10, at_least_bought=10)
SEEDS = [0, 1, 2]

_Floats = NDArray[np.float32]


@cache
def told(seed: int) -> History:
    """Customers keep to two of four categories; some products were only looked at."""
    rng = np.random.default_rng(seed)
    rows = set()
    for customer in range(STRANGERS[0]):
        liked = [n for n in range(PRODUCTS - 1) if n % 4 in (customer % 4, (customer + 1) % 4)]
        for _ in range(int(rng.integers(3, 30))):
            rows.add((customer, int(rng.choice(liked)), int(rng.integers(TONIGHT))))
    weights = np.where(rng.random(len(rows)) < 0.15, 0.1, 1.0)
    return history(
        rows,
        CUSTOMERS,
        PRODUCTS,
        unsellable=[5, 9],
        weights=weights.tolist(),
        category=[n % 4 if n % 7 else -1 for n in range(PRODUCTS)],
        segment=[n % 3 - 1 for n in range(CUSTOMERS)],
    )


@cache
def model(seed: int, kind: str = ALS) -> Model:
    windows = choose(told(seed), TONIGHT, SETTINGS.windows, SETTINGS.blend)
    assert windows is not None
    made = train(told(seed), windows, SETTINGS, kind=kind, fingerprint="f")
    # whatever it learned from so little: each part of the blend shall count here
    fresh = {**made.blend.fresh, "neighbours": 0.3, "category": 0.4, "segment": 0.5}
    repeat = {**made.blend.repeat, "neighbours": 0.2, "category": 0.1, "segment": -0.5}
    if kind == ALS:
        fresh["als"], repeat["als"] = 2.0, 1.5
    return replace(made, blend=replace(made.blend, fresh=fresh, repeat=repeat))


@cache
def lists(seed: int, kind: str = ALS) -> Lists:
    return rank(model(seed, kind), told(seed), TONIGHT, catalogue(told(seed)), WHOLE)


def grounds(seed: int, kind: str = ALS) -> Grounds:
    found = lists(seed, kind).grounds
    assert found is not None
    return found


def name(customer: int) -> str:
    return f"C-{customer:03}"


def asked(
    seed: int,
    customer: int,
    said: Said | None = None,
    *,
    kind: str = ALS,
    ruling: Ruling = NO_RULING,
    most: int = PRODUCTS,
) -> Ranked:
    return rerank(
        grounds(seed, kind),
        name(customer),
        said or Said(),
        told(seed).sellable,
        ruling,
        most=most,
    )


def about(*products: int, rejected: tuple[int, ...] = ()) -> Said:
    return Said(frozenset(products), {}, frozenset(rejected))


def having_shown(told: History, customer: int, interest: Mapping[int, float]) -> History:
    """The same history with one more event for each product, on the last day before tonight."""
    more = len(interest)
    columns: dict[str, Any] = {
        "customer": np.append(told.customer, np.full(more, customer, np.int32)),
        "product": np.append(told.product, np.array(list(interest), np.int32)),
        "day": np.append(told.day, np.full(more, TONIGHT - 1, np.int32)),
        "bought": np.append(told.bought, np.zeros(more, bool)),
        "weight": np.append(told.weight, np.array(list(interest.values()), np.float32)),
    }
    order = np.lexsort((columns["day"], columns["product"], columns["customer"]))
    return replace(told, **{key: values[order] for key, values in columns.items()})


def by_brute_force(seed: int, customer: int, interest: Mapping[int, float]) -> _Floats:
    """(P,) probabilities of tonight's ranking, had the interest been in the history: everything is
    computed again from it, but products, other customers and factors are those of the night.
    """
    published = view(model(seed), told(seed), TONIGHT)
    days = model(seed).horizon_days
    also = having_shown(told(seed), customer, interest)
    evidence = as_of(also, TONIGHT, days)
    anew = features(evidence)
    scene = Scene(
        Moment(
            evidence,
            Features(published.moment.features.product, anew.customer, anew.pair),
            published.moment.affinities,
        ),
        taste(also, TONIGHT, SETTINGS.als.memory * days),
        published.factors,
        SETTINGS.als,
    )
    return np.asarray(probabilities(scene, model(seed).blend, np.array([customer]))[0])


def agree(found: Ranked, p: _Floats, sellable: NDArray[np.bool_]) -> None:
    """The same products with the same chances in the same order, but for ties within rounding."""
    numbers = [entry.product for entry in found.entries]
    assert sorted(numbers) == np.flatnonzero(sellable).tolist()
    shown = [entry.probability for entry in found.entries]
    assert np.abs(p[numbers] - shown).max() < 1e-6
    assert (np.diff(p[numbers]) < 1e-6).all()


class TestWhatWasSaid:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("customer", [0, 7, 21, 43, *STRANGERS])
    @pytest.mark.parametrize("products", [(3,), (31,), (1, 2, 5, 30), tuple(range(12))])
    def test_ranks_as_tonight_would_have_had_it_been_in_the_history(
        self, seed: int, customer: int, products: tuple[int, ...]
    ) -> None:
        p = by_brute_force(seed, customer, dict.fromkeys(products, ASKED))

        agree(asked(seed, customer, about(*products)), p, told(seed).sellable)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("customer", [2, 44])
    def test_of_a_category_counts_as_one_product_shared_out_among_its_most_wanted(
        self, seed: int, customer: int
    ) -> None:
        members = np.array([n for n in range(PRODUCTS) if n % 4 == 2 and n % 7])
        wanted = product_bias(view(model(seed), told(seed), TONIGHT), model(seed).blend)[members]
        stand = members[np.argsort(-wanted, kind="stable")[:SPREAD]].tolist()
        p = by_brute_force(seed, customer, {**dict.fromkeys(stand, ASKED / 5), 3: ASKED})

        found = asked(
            seed, customer, Said(frozenset([3]), {"group 2": frozenset(members.tolist())})
        )

        agree(found, p, told(seed).sellable)
        assert found.spoken == {3, *stand}

    def test_moves_what_goes_with_it(self) -> None:
        """Or the comparison would hold for a ranking that ignores what was said."""
        moved = {
            customer: np.abs(
                by_brute_force(0, customer, {3: ASKED}) - by_brute_force(0, customer, {})
            ).max()
            for customer in (0, 21, 44)
        }
        assert min(moved.values()) > 0.002

    def test_counts_as_the_strongest_interest_that_the_tenant_has(self) -> None:
        weights = {**SETTINGS.interest_weights}
        made = model(0)
        shy = replace(
            made,
            settings=made.settings.model_copy(
                update={"interest_weights": dict.fromkeys(weights, 0.07)}
            ),
        )
        found = rank(shy, told(0), TONIGHT, catalogue(told(0)), WHOLE).grounds
        assert found is not None
        assert found.asked == pytest.approx(0.07)
        assert grounds(0).asked == pytest.approx(max(weights.values()))

    def test_leaves_no_trace(self) -> None:
        before = asked(0, 7)
        asked(0, 7, about(1, 2, 3))
        assert asked(0, 7) == before

    def test_moves_nothing_under_a_model_without_factors_and_the_answer_says_so(self) -> None:
        found = asked(0, 7, about(3), kind=BASELINE)
        assert not found.moved
        silent = asked(0, 7, kind=BASELINE)
        assert [(e.product, e.probability) for e in found.entries] == [
            (e.product, e.probability) for e in silent.entries
        ]
        assert asked(0, 7, about(3)).moved


class TestNothingSaid:
    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("kind", [ALS, BASELINE])
    def test_gives_the_list_of_the_night_with_its_reasons(self, seed: int, kind: str) -> None:
        nightly = lists(seed, kind)
        for row, customer in enumerate(nightly.customers):
            found = rerank(
                grounds(seed, kind), customer, Said(), told(seed).sellable, NO_RULING, most=50
            )
            kept = nightly.entries[row][nightly.entries[row]["product"] >= 0]
            published = {int(entry["product"]): entry for entry in kept}
            assert {entry.product for entry in found.entries} == set(published)
            for entry in found.entries:
                other = published[entry.product]
                assert entry.probability == pytest.approx(float(other["probability"]), abs=1e-6)
                for field in ("reason", "because", "times", "days_ago", "every_days"):
                    assert getattr(entry, field) == other[field], (customer, field)
            assert not found.moved

    def test_gives_a_stranger_the_popular_list(self) -> None:
        found = asked(1, STRANGERS[0])
        popular = lists(1).popular[: len(found.entries)]
        assert not found.personal
        assert [entry.product for entry in found.entries] == popular["product"].tolist()
        assert [entry.reason for entry in found.entries] == popular["reason"].tolist()
        for entry, other in zip(found.entries, popular, strict=True):
            assert entry.probability == pytest.approx(float(other["probability"]), abs=1e-6)


class TestAStranger:
    def test_is_anybody_without_a_list(self) -> None:
        same = [
            rerank(grounds(0), who, about(3), told(0).sellable, NO_RULING, most=10)
            for who in ("C-045", "never seen", "C-0", "", "Ω" * 100, "\ud800")
        ]
        assert all(found == same[0] for found in same)
        assert same[0].personal

    def test_who_only_rejects_gets_the_popular_list_without_it(self) -> None:
        first = asked(0, STRANGERS[0]).entries[0].product
        found = asked(0, STRANGERS[0], about(rejected=(first,)))
        rest = [entry for entry in asked(0, STRANGERS[0]).entries if entry.product != first]
        assert (found.personal, found.entries) == (False, rest)


class TestWhatWasRejected:
    def test_is_gone_and_moves_nothing_else(self) -> None:
        before = asked(0, 7).entries
        out = {before[0].product, before[3].product}
        found = asked(0, 7, about(rejected=tuple(out)))
        assert found.entries == [entry for entry in before if entry.product not in out]
        assert not found.moved


class TestACandidate:
    @pytest.mark.parametrize("most", [1, 3, 10, 15])
    @pytest.mark.parametrize(
        "ruling",
        [
            NO_RULING,
            Ruling(hidden=frozenset([2, 6])),
            Ruling(
                hidden=frozenset([2, 6]),
                odds={1: 50.0, 3: 0.01, 10: 4.0},
                pins=((frozenset([8, 12, 20]), 2), (frozenset([29]), 1)),
                limits={n: (f"group {n % 4}", 2) for n in range(PRODUCTS) if n % 7},
            ),
        ],
        ids=["no rules", "hiding", "all kinds"],
    )
    def test_is_there_for_every_place_of_an_answer_whatever_the_rules(
        self, ruling: Ruling, most: int
    ) -> None:
        for customer in (0, 7, 21, 44):
            whole = asked(0, customer, about(3, 17)).entries
            few = asked(0, customer, about(3, 17), ruling=ruling, most=most).entries
            for kind in (lambda e: True, lambda e: e.times > 0, lambda e: e.times == 0):
                expected = ordered(filter(kind, whole), ruling)[:most]
                assert ordered(filter(kind, few), ruling)[:most] == expected

    def test_is_no_more_than_the_answer_can_use(self) -> None:
        assert len(asked(0, 7, about(3), most=4).entries) <= 2 * max(4, 10) + 10

    def test_can_be_sold_now(self) -> None:
        found = rerank(grounds(0), name(7), about(3), np.arange(PRODUCTS) == 11, NO_RULING, most=10)
        assert [entry.product for entry in found.entries] == [11]


class TestAReason:
    def reasons(self, said: Said, customer: int = 7) -> Mapping[int, tuple[Reason, int, int]]:
        found = asked(0, customer, said)
        return {e.product: (REASONS[e.reason], e.because, e.times) for e in found.entries}

    def test_of_a_product_asked_about_is_that_it_was(self) -> None:
        for product, (reason, because, times) in self.reasons(about(*range(20))).items():
            if product < 20 and not times:
                assert (reason, because) == (Reason.SIMILAR, product)

    def test_of_any_product_of_a_category_asked_about_is_that_it_was(self) -> None:
        members = frozenset(n for n in range(PRODUCTS) if n % 4 == 3 and n % 7)
        assert len(members) > SPREAD
        found = self.reasons(Said(categories={"group 3": members}))
        for product in members & set(found):
            reason, because, times = found[product]
            assert times or (reason, because) == (Reason.SIMILAR, product)

    def test_of_a_product_bought_before_stays_that_it_was(self) -> None:
        for reason, _, times in self.reasons(about(*range(20))).values():
            assert (reason is Reason.REORDER) == (times > 0)

    def test_names_what_was_asked_about_where_that_speaks_for_a_product(self) -> None:
        """A stranger has nothing else: whatever their taste favours goes with what they said."""
        named = {
            because
            for product, (reason, because, _) in self.reasons(about(3), STRANGERS[0]).items()
            if reason is Reason.SIMILAR and product != 3
        }
        assert named == {3}

    def test_never_names_what_was_only_looked_at_earlier(self) -> None:
        bought = {
            (int(customer), int(product))
            for customer, product, real in zip(
                told(0).customer, told(0).product, told(0).bought, strict=True
            )
            if real
        }
        for customer in range(STRANGERS[0]):
            for product, found in self.reasons(about(3), customer).items():
                reason, because, _ = found
                if reason is Reason.SIMILAR and because not in (3, product):
                    assert (customer, because) in bought


def test_it_takes_numpy_alone() -> None:
    code = "import factory.live, serving.app, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    roots = {module.split(".")[0] for module in done.stdout.split()}
    assert "numpy" in roots
    assert roots & {"scipy", "implicit", "pandas"} == set()
