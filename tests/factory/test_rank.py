from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory import judge as judging
from factory.blend import probabilities
from factory.evidence import as_of
from factory.rank import rank
from factory.reasons import segment_favourites
from factory.train import BASELINE, template_baseline, view
from factory.why import REASONS
from schema.names import Reason
from schema.records import History, Ids, Lists, Model
from schema.settings import ListSettings, TenantSettings
from tests.factory.build import catalogue, history
from tests.factory.test_train import TOLD, trained

MODEL = trained(TOLD)
RULE = ListSettings(length=12, at_least_new=4, at_least_bought=4)


def ranked(model: Model = MODEL, told: History = TOLD, rule: ListSettings = RULE) -> Lists:
    return rank(model, told, 120, catalogue(told), rule)


def listed(lists: Lists, row: int) -> list[int]:
    return [int(n) for n in lists.entries[row]["product"] if n >= 0]


class TestALists:
    def test_is_made_for_every_customer_with_a_history(self) -> None:
        assert ranked().customers == TOLD.customers.names

    def test_comes_by_probability_then_product_and_holds_none_twice(self) -> None:
        lists = ranked()
        for row in range(len(lists.customers)):
            entries = lists.entries[row]
            numbers = listed(lists, row)
            assert len(set(numbers)) == len(numbers)
            order = [(-float(e["probability"]), int(e["product"])) for e in entries[: len(numbers)]]
            assert order == sorted(order)

    def test_shows_the_probability_the_model_was_judged_by(self) -> None:
        lists = ranked()
        p = probabilities(view(MODEL, TOLD, 120), MODEL.blend, np.arange(40))
        for row in (0, 13):
            for entry in lists.entries[row]:
                assert entry["probability"] == pytest.approx(p[row, entry["product"]], rel=1e-5)

    def test_holds_enough_new_and_enough_bought_products(self) -> None:
        lists = ranked()
        for row in range(len(lists.customers)):
            times = lists.entries[row]["times"][: len(listed(lists, row))]
            assert (times == 0).sum() >= 4
            assert (times > 0).sum() >= 4

    def test_holds_the_best_of_each_kind(self) -> None:
        lists = ranked()
        scene = view(MODEL, TOLD, 120)
        p = probabilities(scene, MODEL.blend, np.arange(40))
        for row in (0, 7):
            _, pairs = scene.moment.evidence.pairs_of(np.array([row]))
            owned = set(scene.moment.evidence.product[pairs].tolist())
            fresh = sorted(set(range(20)) - owned, key=lambda n, r=row: (-p[r, n], n))  # type: ignore[misc]
            assert [n for n in listed(lists, row) if n not in owned][:4] == fresh[:4]

    def test_holds_no_product_that_cannot_be_sold(self) -> None:
        sellable = np.arange(20) % 3 > 0
        lists = ranked(told=replace(TOLD, sellable=sellable))
        shown = {n for row in range(40) for n in listed(lists, row)}
        shown |= {int(n) for n in lists.popular["product"] if n >= 0}
        assert shown <= set(np.flatnonzero(sellable).tolist())

    def test_is_the_whole_catalogue_where_that_is_short(self) -> None:
        lists = ranked(rule=ListSettings(length=50))
        assert all(len(listed(lists, row)) == 20 for row in range(40))

    def test_is_the_same_in_small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = ranked()
        monkeypatch.setattr(judging, "CHUNK_CELLS", 60)
        assert ranked().entries["product"].tolist() == whole.entries["product"].tolist()

    def test_is_the_same_twice(self) -> None:
        assert ranked().entries.tobytes() == ranked().entries.tobytes()


class TestAReason:
    def test_of_a_reorder_tells_what_really_happened(self) -> None:
        lists = ranked()
        seen = as_of(TOLD, 120, MODEL.horizon_days)
        facts = {
            (int(c), int(p)): (int(t), 120 - int(last))
            for c, p, t, last in zip(
                seen.customer, seen.product, seen.times, seen.last, strict=True
            )
        }
        for row in range(40):
            for entry in lists.entries[row]:
                if REASONS[entry["reason"]] is Reason.REORDER:
                    told = (int(entry["times"]), int(entry["days_ago"]))
                    assert told == facts[row, int(entry["product"])]
                elif entry["product"] >= 0:
                    assert (row, int(entry["product"])) not in facts

    def test_of_similarity_names_a_product_the_customer_bought(self) -> None:
        lists = ranked()
        named = 0
        for row in range(40):
            owned = set(TOLD.product[TOLD.customer == row].tolist())
            for entry in lists.entries[row]:
                if REASONS[entry["reason"]] is Reason.SIMILAR:
                    assert int(entry["because"]) in owned
                    named += 1
        assert named

    def test_of_a_segment_is_the_customers_own_where_no_taste_explains_the_product(self) -> None:
        grouped = replace(
            TOLD,
            segments=Ids(["even", "odd"]),
            segment=np.where(np.arange(40) < 4, -1, np.arange(40) % 2).astype(np.int32),
        )
        favourites = segment_favourites(as_of(grouped, 120, MODEL.horizon_days))
        owned = set(zip(TOLD.customer.tolist(), TOLD.product.tolist(), strict=True))
        for model in (MODEL, trained(TOLD, BASELINE)):
            lists = ranked(model, grouped)
            told = 0
            for row in range(40):
                segment = int(grouped.segment[row])
                for entry in lists.entries[row]:
                    product, reason = int(entry["product"]), REASONS[entry["reason"]]
                    liked = favourites[segment + 1, product] and (row, product) not in owned
                    if reason is Reason.SEGMENT:
                        assert liked
                        assert int(entry["because"]) == segment
                        told += 1
                    elif reason is Reason.POPULAR:
                        assert not liked
                        assert int(entry["because"]) == -1
            assert lists.segments == ("even", "odd")
        assert told  # a baseline knows no other reason

    def test_never_names_a_product_that_was_only_looked_at(self) -> None:
        looked = [(row, product, 119) for row in range(40) for product in range(20)]
        known = set(zip(TOLD.customer.tolist(), TOLD.product.tolist(), strict=True))
        fresh = [(c, p, d) for c, p, d in looked if (c, p) not in known]
        rows = sorted(
            [
                *(
                    (int(c), int(p), int(d), 1.0)
                    for c, p, d in zip(TOLD.customer, TOLD.product, TOLD.day, strict=True)
                ),
                *((c, p, d, 0.1) for c, p, d in fresh),
            ]
        )
        told = history([row[:3] for row in rows], 40, 20, weights=[row[3] for row in rows])
        for row, entries in enumerate(ranked(told=told).entries):
            for entry in entries:
                if REASONS[entry["reason"]] is Reason.SIMILAR:
                    assert (row, int(entry["because"])) in known


class TestAStranger:
    def test_sees_what_most_customers_buy_lately(self) -> None:
        rows = [(c, 0, d) for c in range(10) for d in (70, 95)] + [(0, 1, 10), (1, 2, 90)]
        told = history(rows, 10, 4)
        model = template_baseline(told, 100, TenantSettings(), "f")
        lists = rank(model, told, 100, catalogue(told), RULE)
        assert lists.popular["product"][0] == 0
        assert {REASONS[n] for n in lists.popular["reason"]} == {Reason.POPULAR}


class TestEdges:
    def test_a_tenant_of_two_customers_gets_lists(self) -> None:
        told = history([(0, 0, 1), (1, 1, 3)], 2, 3)
        model = template_baseline(told, 10, TenantSettings(), "f")
        assert rank(model, told, 10, catalogue(told), RULE).customers == ("C-000", "C-001")

    def test_a_tenant_where_everybody_bought_everything_gets_full_lists(self) -> None:
        told = history([(c, p, c + p) for c in range(5) for p in range(6)], 5, 6)
        model = template_baseline(told, 30, TenantSettings(), "f")
        lists = rank(model, told, 30, catalogue(told), RULE)
        assert all(sorted(listed(lists, row)) == list(range(6)) for row in range(5))

    def test_a_tenant_without_interactions_has_a_popular_list_only(self) -> None:
        told = history([], 2, 3)
        model = template_baseline(told, 30, TenantSettings(), "f")
        lists = rank(model, told, 30, catalogue(told), RULE)
        assert lists.customers == ()
        assert (lists.popular["product"] >= 0).sum() == 3

    @given(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 60)), max_size=40)
    )
    def test_whatever_happened_lists_are_whole(self, rows: list[tuple[int, int, int]]) -> None:
        told = history(rows, 5, 7, unsellable=[6])
        model = template_baseline(told, 61, TenantSettings(), "f")
        lists = rank(model, told, 61, catalogue(told), RULE)
        for row in range(len(lists.customers)):
            assert sorted(listed(lists, row)) == list(range(6))
            p = lists.entries[row]["probability"]
            assert np.isfinite(p).all()
