"""A tenant's rules: what can be written, and what they say of each product."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schema.errors import Refused
from schema.names import Action
from schema.records import Product, Rule
from schema.rules import (
    MOST_PINNED,
    MOST_RULES,
    NO_RULING,
    Ruling,
    admit,
    expiry,
    in_force,
    ruling,
    told,
    written,
)

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
ZURICH = ZoneInfo("Europe/Zurich")
PRODUCTS = (
    Product("P-0", "stout", "Beer", 10.0, "sellable", 5.0),
    Product("P-1", "ale", "Beer", 4.0, "sellable", 3.9),
    Product("P-2", "crisps", "Snacks", 2.0, "sellable", None),
    Product("P-3", "nuts", "Snacks", None, "sellable", 1.0),
    Product("P-4", "a thing", None, 0.0, "sellable", 1.0),
)


def rule(action: Action, number: int = 1, **fields: Any) -> Rule:
    """A rule as the ledger keeps it."""
    known = {"product": None, "category": None, "value": None, "expires_at": None}
    return Rule(
        **{"number": number, "action": action, "why": "a test", **known, **fields},
        created_by="test",
        created_at=NOW,
    )


def wrote(action: Action, **fields: Any) -> Rule:
    return written(action, **{"why": "a test", "zone": ZURICH, "by": "ann", "at": NOW, **fields})


def laid(*rules: Rule, now: datetime = NOW) -> Ruling:
    return ruling(rules, PRODUCTS, now)


class TestWriting:
    @pytest.mark.parametrize(
        ("action", "fields"),
        [
            (Action.EXCLUDE, {"product": "P-1"}),
            (Action.EXCLUDE, {"category": "Beer"}),
            (Action.PIN, {"product": "P-1"}),
            (Action.PIN, {"category": "Beer", "value": 2}),
            (Action.BOOST, {"category": "Beer", "value": 1.5}),
            (Action.BURY, {"product": "P-1", "value": 0.5}),
            (Action.MIN_PRICE, {"value": 3}),
            (Action.MIN_PRICE, {"category": "Beer", "value": 3}),
            (Action.MIN_MARGIN, {"value": 0}),
            (Action.MAX_PER_CATEGORY, {"value": 2}),
            (Action.MAX_PER_CATEGORY, {"category": "Beer", "value": 2}),
        ],
    )
    def test_goes_with_these_targets_and_values(
        self, action: Action, fields: dict[str, Any]
    ) -> None:
        made = wrote(action, **fields)

        assert (made.number, made.action, made.created_by, made.created_at) == (
            0,
            action,
            "ann",
            NOW,
        )
        assert {name: getattr(made, name) for name in fields} == fields

    @pytest.mark.parametrize(
        ("action", "fields", "advice"),
        [
            (Action.EXCLUDE, {}, "name a product or a category"),
            (Action.PIN, {}, "name a product or a category"),
            (Action.BOOST, {"value": 2}, "name a product or a category"),
            (Action.BURY, {"product": "P-1", "category": "Beer", "value": 0.5}, "name a product"),
            (Action.MIN_PRICE, {"product": "P-1", "value": 3}, "name a category, or nothing"),
            (Action.MIN_MARGIN, {"product": "P-1", "value": 0.3}, "name a category, or nothing"),
            (Action.MAX_PER_CATEGORY, {"product": "P-1", "value": 3}, "name a category"),
        ],
    )
    def test_of_another_target_is_refused(
        self, action: Action, fields: dict[str, Any], advice: str
    ) -> None:
        with pytest.raises(Refused) as refused:
            wrote(action, **fields)

        assert refused.value.code == "RULE_TARGET"
        assert advice in refused.value.next_step

    @pytest.mark.parametrize(
        ("action", "value"),
        [
            (Action.EXCLUDE, 1),
            (Action.PIN, 0),
            (Action.PIN, 1.5),
            (Action.PIN, 11),
            *((Action.BOOST, value) for value in (None, 1, 0.5, -2, 1001)),
            *((Action.BURY, value) for value in (None, 1, 2, 0, -0.5)),
            *((Action.MIN_PRICE, value) for value in (None, 0, -1, 2e9)),
            *((Action.MIN_MARGIN, value) for value in (None, -0.1, 1, 30)),
            *((Action.MAX_PER_CATEGORY, value) for value in (None, 0, 2.5, 51)),
            *(
                (action, float(word))
                for action in (Action.PIN, Action.BOOST)
                for word in ("nan", "inf")
            ),
        ],
    )
    def test_of_another_value_is_refused(self, action: Action, value: float | None) -> None:
        with pytest.raises(Refused) as refused:
            wrote(action, category="Beer", value=value)

        assert refused.value.code == "RULE_VALUE"

    def test_pins_one_place_of_a_category_unless_told_otherwise(self) -> None:
        assert wrote(Action.PIN, category="Beer").value == 1

    def test_of_a_pinned_product_has_no_value(self) -> None:
        with pytest.raises(Refused):
            wrote(Action.PIN, product="P-1", value=1)

    def test_with_an_end_in_the_past_is_refused(self) -> None:
        with pytest.raises(Refused, match="2026-04-01 00:00 CEST") as refused:
            wrote(Action.EXCLUDE, product="P-1", until="2026-03-31")

        assert refused.value.code == "RULE_EXPIRY"


class TestAnEnd:
    def test_on_a_date_is_the_end_of_that_local_day(self) -> None:
        assert expiry("2026-12-24", ZURICH) == datetime(2026, 12, 24, 23, tzinfo=UTC)

    def test_at_a_time_without_a_zone_is_local(self) -> None:
        assert expiry("2026-07-01T18:00", ZURICH) == datetime(2026, 7, 1, 16, tzinfo=UTC)

    def test_at_a_time_with_a_zone_is_that_moment(self) -> None:
        assert expiry("2026-07-01T18:00:00Z", ZURICH) == datetime(2026, 7, 1, 18, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["", "tomorrow", "2026-02-30", "9999-12-31", "x" * 500])
    def test_that_cannot_be_read_is_refused(self, text: str) -> None:
        with pytest.raises(Refused) as refused:
            expiry(text, ZURICH)

        assert refused.value.code == "RULE_EXPIRY"
        assert len(refused.value.what) < 200

    def test_is_the_first_moment_at_which_it_does_nothing(self) -> None:
        ending = rule(Action.EXCLUDE, product="P-0", expires_at=NOW)

        assert in_force(ending, NOW - timedelta(microseconds=1))
        assert not in_force(ending, NOW)


class TestAdmitting:
    def test_a_rule_that_says_the_same_is_refused_by_its_number(self) -> None:
        there = rule(Action.BOOST, 7, category="Beer", value=2)

        with pytest.raises(Refused, match="rule 7 says so already") as refused:
            admit(rule(Action.BOOST, 0, category="Beer", value=3), [there], NOW)

        assert refused.value.code == "RULE_EXISTS"

    def test_one_that_has_expired_is_in_nobodys_way(self) -> None:
        there = rule(Action.EXCLUDE, product="P-1", expires_at=NOW)

        admit(rule(Action.EXCLUDE, 0, product="P-1"), [there], NOW)

    def test_another_action_or_target_goes_beside_it(self) -> None:
        there = rule(Action.EXCLUDE, product="P-1")

        admit(rule(Action.PIN, 0, product="P-1"), [there], NOW)
        admit(rule(Action.EXCLUDE, 0, category="P-1"), [there], NOW)

    def test_pins_leave_no_more_than_the_first_places(self) -> None:
        there = [rule(Action.PIN, 1, category="Beer", value=MOST_PINNED - 1)]

        admit(rule(Action.PIN, 0, product="P-2"), there, NOW)
        with pytest.raises(Refused) as refused:
            admit(rule(Action.PIN, 0, category="Snacks", value=2), there, NOW)

        assert refused.value.code == "RULE_PINS"

    def test_there_is_an_end_to_their_number(self) -> None:
        many = [rule(Action.EXCLUDE, n, product=f"X-{n}") for n in range(MOST_RULES)]

        with pytest.raises(Refused) as refused:
            admit(rule(Action.EXCLUDE, 0, product="P-1"), many, NOW)

        assert refused.value.code == "RULE_MANY"


class TestWhatRulesSay:
    def test_is_nothing_without_rules_or_when_all_have_expired(self) -> None:
        assert laid() is NO_RULING
        assert laid(rule(Action.EXCLUDE, product="P-0", expires_at=NOW)) is NO_RULING

    @pytest.mark.parametrize(
        ("made", "hidden"),
        [
            (rule(Action.EXCLUDE, product="P-2"), {2}),
            (rule(Action.EXCLUDE, category="Beer"), {0, 1}),
            (rule(Action.EXCLUDE, product="gone"), set()),
            (rule(Action.MIN_PRICE, value=4.0), {2, 4}),
            (rule(Action.MIN_PRICE, value=4.01, category="Beer"), {1}),
            (rule(Action.MIN_MARGIN, value=0.1), {1}),
            (rule(Action.MIN_MARGIN, value=0.6), {0, 1}),
            (rule(Action.MIN_MARGIN, value=0.6, category="Snacks"), set()),
        ],
    )
    def test_hides_what_is_excluded_or_below_a_known_price_or_margin(
        self, made: Rule, hidden: set[int]
    ) -> None:
        assert laid(made).hidden == hidden
        assert laid(made).touched == {1: hidden}
        assert not laid(made).reorders

    def test_multiplies_the_factors_of_several_rules(self) -> None:
        found = laid(
            rule(Action.BOOST, 1, category="Beer", value=3.0),
            rule(Action.BURY, 2, product="P-1", value=0.5),
        )

        assert found.odds == {0: 3.0, 1: 1.5}

    def test_keeps_the_lowest_of_several_limits_and_none_without_a_category(self) -> None:
        found = laid(
            rule(Action.MAX_PER_CATEGORY, 1, value=3.0),
            rule(Action.MAX_PER_CATEGORY, 2, category="Beer", value=1.0),
        )

        assert found.limits == {0: ("Beer", 1), 1: ("Beer", 1), 2: ("Snacks", 3), 3: ("Snacks", 3)}

    def test_hides_a_product_that_is_pinned_and_excluded(self) -> None:
        found = laid(rule(Action.PIN, 1, product="P-0"), rule(Action.EXCLUDE, 2, product="P-0"))

        assert found.hidden == {0}
        assert found.pins == ()

    def test_pins_in_the_order_of_the_rules(self) -> None:
        found = laid(
            rule(Action.PIN, 1, product="P-2"), rule(Action.PIN, 2, category="Beer", value=2.0)
        )

        assert found.pins == ((frozenset({2}), 1), (frozenset({0, 1}), 2))

    def test_holds_until_the_first_rule_expires(self) -> None:
        soon, late = NOW + timedelta(hours=1), NOW + timedelta(days=1)
        first = rule(Action.EXCLUDE, 1, product="P-0", expires_at=soon)
        rules = (first, rule(Action.EXCLUDE, 2, product="P-1", expires_at=late))

        assert laid(*rules).until == soon
        assert laid(*rules, now=soon).hidden == {1}
        assert laid(replace(first, expires_at=None)).until is None


class TestInWords:
    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (rule(Action.EXCLUDE, product="P-0"), "exclude product P-0"),
            (rule(Action.PIN, category="Beer", value=2.0), "pin category Beer, 2"),
            (rule(Action.BOOST, category="Beer", value=2.0), "boost category Beer, odds × 2"),
            (rule(Action.MIN_MARGIN, value=0.125), "min_margin everything, 12.5% of the price"),
        ],
    )
    def test_a_rule_says_what_it_does_to_what(self, made: Rule, words: str) -> None:
        assert told(made) == words
