"""A tenant's rules over HTTP: who may write them, and what a lookup does with them at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema.names import Action, Role, TenantId
from schema.records import Rule
from schema.rules import NO_RULING, Ruling
from tests.serving.morning import Served, ids, problem, until
from tests.serving.test_shelf import NEVER, beside
from tests.world import ACME, BETA, NOW, World


def add(served: Served, tenant: TenantId = ACME, **rule: Any) -> dict[str, Any]:
    found = served.ask("POST", "/rules", tenant, json={"why": "a test", **rule})
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def remove(served: Served, number: int) -> dict[str, Any]:
    found = served.ask("DELETE", f"/rules/{number}")
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def rules(served: Served, tenant: TenantId = ACME) -> list[dict[str, Any]]:
    body: list[dict[str, Any]] = served.ask("GET", "/rules", tenant).json()
    return body


class TestARule:
    def test_is_in_force_with_the_very_next_lookup(self, served: Served) -> None:
        first, second, *_ = ids(served.recs())

        add(served, action="exclude", product_id=first)

        shown = ids(served.recs())
        assert shown[0] == second
        assert first not in shown
        assert len(shown) == 10

    def test_that_is_removed_leaves_no_trace_in_the_next_lookup(self, served: Served) -> None:
        before = served.recs()
        add(served, action="boost", category="even", value=1000)
        assert served.recs() != before

        gone = remove(served, 1)

        assert (gone["rule"], gone["state"]) == (1, "removed")
        assert served.recs() == before
        assert rules(served) == []

    def test_moves_products_and_not_their_probability(self, served: Served) -> None:
        chance = {
            r["product_id"]: r["probability"] for r in served.recs(limit=50)["recommendations"]
        }

        add(served, action="boost", category="even", value=1000)

        lines = served.recs(limit=50)["recommendations"]
        assert {line["category"] for line in lines[:5]} == {"even"}
        assert {line["product_id"]: line["probability"] for line in lines} == chance

    def test_holds_for_strangers(self, served: Served) -> None:
        add(served, action="pin", product_id="acme-P-17")
        add(served, action="max_per_category", value=2)

        shown = served.recs("never-seen")["recommendations"]

        assert shown[0]["product_id"] == "acme-P-17"
        assert [line["category"] for line in shown].count("odd") == 2

    def test_about_a_price_hides_what_is_cheaper(self, served: Served) -> None:
        add(served, action="min_price", value=30)

        assert all(r["price"] >= 30 for r in served.recs(limit=50)["recommendations"])

    def test_does_not_touch_another_tenant(self, served: Served) -> None:
        before = served.recs(tenant=BETA)

        add(served, action="min_price", value=30)
        add(served, action="max_per_category", value=1)

        assert served.recs(tenant=BETA) == before
        assert rules(served, BETA) == []

    def test_that_somebody_else_made_is_noticed_soon(self, served: Served) -> None:
        first, *_ = ids(served.recs())
        made = Rule(0, Action.EXCLUDE, first, None, None, "a test", "cli", NOW)  # type: ignore[arg-type]

        served.world.stores.ledger.add_rule(ACME, made, at=NOW)

        until(lambda: first not in ids(served.recs()))

    def test_comes_back_as_it_was_written_with_who_and_when(self, served: Served) -> None:
        made = add(served, action="bury", category="odd", value=0.5, until="2099-12-24", why="slow")

        admin = served.keys[ACME, Role.ADMIN].removeprefix("rf_").partition(".")[0]
        assert rules(served) == [made]
        assert {**made, "created_at": None} == {
            "tenant": "acme",
            "rule": 1,
            "action": "bury",
            "product_id": None,
            "category": "odd",
            "value": 0.5,
            "state": "in force",
            "expires_at": "2099-12-25T00:00:00Z",
            "why": "slow",
            "created_by": f"key {admin}",
            "created_at": None,
        }

    def test_shows_its_end_in_the_tenants_zone(self, served: Served) -> None:
        zurich = served.world.add(TenantId("zurich"), "Europe/Zurich")
        served.state.switchboard.refresh()
        found = served.ask(
            "POST",
            "/rules",
            zurich.tenant,
            role=Role.OPERATOR,
            json={"action": "min_price", "value": 1, "until": "2099-07-01T18:00", "why": "a test"},
        )

        assert found.json()["expires_at"] == "2099-07-01T18:00:00+02:00"
        [kept] = served.world.tenant(zurich.tenant).rules
        assert kept.expires_at == datetime(2099, 7, 1, 16, tzinfo=UTC)


class TestARuleThatIsRefused:
    @pytest.mark.parametrize(
        ("rule", "code"),
        [
            ({"action": "exclude"}, "RULE_TARGET"),
            ({"action": "exclude", "product_id": "acme-P-01", "category": "odd"}, "RULE_TARGET"),
            ({"action": "boost", "category": "odd"}, "RULE_VALUE"),
            ({"action": "boost", "category": "odd", "value": 0.5}, "RULE_VALUE"),
            ({"action": "exclude", "product_id": "acme-P-99"}, "RULE_UNKNOWN_REF"),
            ({"action": "exclude", "product_id": "beta-P-01"}, "RULE_UNKNOWN_REF"),
            ({"action": "exclude", "category": "Odd"}, "RULE_UNKNOWN_REF"),
            ({"action": "min_price", "value": 1, "until": "2020-01-01"}, "RULE_EXPIRY"),
            ({"action": "min_price", "value": 1, "until": "soon"}, "RULE_EXPIRY"),
            ({"action": "hide", "product_id": "acme-P-01"}, "INVALID"),
            ({"action": "exclude", "product_id": "acme-P-01", "why": "  "}, "INVALID"),
            ({"action": "exclude", "product_id": "acme-P-01", "colour": "red"}, "INVALID"),
        ],
    )
    def test_says_why_and_changes_nothing(
        self, rule: dict[str, Any], code: str, served: Served
    ) -> None:
        found = served.ask("POST", "/rules", json={"why": "a test", **rule})

        problem(found, 422, code)
        assert rules(served) == []

    def test_is_one_that_is_there_already(self, served: Served) -> None:
        add(served, action="exclude", product_id="acme-P-01")

        again = {"action": "exclude", "product_id": "acme-P-01", "why": "a test"}
        problem(served.ask("POST", "/rules", json=again), 422, "RULE_EXISTS")

    @pytest.mark.parametrize("number", [0, -1, 7, 2**31 - 1])
    def test_cannot_be_removed_where_there_is_none(self, number: int, served: Served) -> None:
        add(served, BETA, action="min_price", value=1)

        problem(served.ask("DELETE", f"/rules/{number}"), 404, "NO_RULE")
        assert len(rules(served, BETA)) == 1


class TestAShelf:
    def test_lays_rules_over_a_catalogue_once_and_again_when_one_expires(
        self, morning: World
    ) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        made = Rule(0, Action.MIN_PRICE, None, None, 30.0, "a test", "cli", NOW, soon)
        morning.stores.ledger.add_rule(ACME, made, at=NOW)
        shelf = beside(morning, seconds=NEVER)

        def laid() -> Ruling:
            found = shelf.current()
            assert found is not None
            return found.shown.ruling

        first = laid()
        assert first.hidden
        assert laid() is first
        until(lambda: laid() is NO_RULING)
        shelf.close()
