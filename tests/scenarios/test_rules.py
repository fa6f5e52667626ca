"""Rules and products bought before, from the command line through the night to the button."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from jobs.cli import recfactory
from jobs.data import read_data
from schema.errors import Refused
from schema.names import Bought, Mode, TenantId
from schema.rules import FIRST_TEN
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, THIRD_NIGHT, World, tables


@pytest.fixture
def twins(empty_world: World) -> World:
    """acme and beta with the very same customers, products and purchases."""
    for name in (ACME, BETA):
        empty_world.add(name)
        empty_world.import_(name, tables(ACME))
    return empty_world


def cli(world: World, *words: object) -> Result:
    home = {"RECFACTORY_HOME": str(world.config.home), "COLUMNS": "200"}
    return CliRunner().invoke(recfactory, [str(word) for word in words], env=home)


def add(world: World, action: str, *options: object, name: TenantId = ACME) -> str:
    done = cli(world, "rule", "add", name, action, *options, "--why", "a test")
    assert done.exit_code == 0, done.output
    return done.stdout


def recs(
    world: World, customer: str = "C-0001", name: TenantId = ACME, *options: object
) -> dict[str, Any]:
    done = cli(world, "recs", name, customer, "--json", *options)
    assert done.exit_code == 0, done.output
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def ids(body: dict[str, Any]) -> list[str]:
    return [line["product_id"] for line in body["recommendations"]]


def line_of(world: World, rule: int | None, name: TenantId = ACME) -> dict[str, Any]:
    """What the newest night's report says of a rule."""
    [line] = [
        found
        for found in world.stores.nights.nights(name)[0].figures["rules"]
        if found["rule"] == rule
    ]
    return dict(line)


class TestTwoTenantsWithTheSameProducts:
    def test_never_meet_in_a_rule(self, twins: World) -> None:
        add(twins, "exclude", "--product", "acme-P-01")
        add(twins, "pin", "--product", "acme-P-20")
        add(twins, "exclude", "--product", "acme-P-03", name=BETA)
        for name in (ACME, BETA):
            twins.night(name)

        for customer in ("C-0001", "C-0002", "stranger"):
            ours = ids(recs(twins, customer, ACME, "--limit", 50))
            theirs = ids(recs(twins, customer, BETA, "--limit", 50))
            assert ours[0] == "acme-P-20"
            assert ("acme-P-01" in ours, "acme-P-03" in ours) == (False, True)
            assert ("acme-P-01" in theirs, "acme-P-03" in theirs) == (True, False)
        assert [line["rule"] for line in twins.stores.nights.nights(BETA)[0].figures["rules"]] == [
            1
        ]


class TestANight:
    def test_ranks_by_the_rules_so_that_every_answer_stays_full(self, world: World) -> None:
        add(world, "exclude", "--product", "acme-P-01")
        add(world, "max_per_category", "--value", 5)
        add(world, "pin", "--product", "acme-P-22")
        world.night(ACME)

        for customer in ("C-0001", "C-0008", "stranger"):
            lines = recs(world, customer)["recommendations"]
            assert len(lines) == FIRST_TEN
            assert lines[0]["product_id"] == "acme-P-22"
            assert [line["category"] for line in lines].count("odd") == 5

    def test_tells_what_each_rule_did(self, world: World) -> None:
        world.night(ACME)
        shown = [ids(recs(world, f"C-{n:04}")) for n in range(60)]
        first = sum("acme-P-01" in products for products in shown)
        led = sum(products[0] == "acme-P-20" for products in shown)
        add(world, "exclude", "--product", "acme-P-01")
        add(world, "pin", "--product", "acme-P-20")
        add(world, "boost", "--category", "odd", "--value", 1.0001)

        world.night(ACME, NEXT_NIGHT)

        hidden, pinned = line_of(world, 1), line_of(world, 2)
        assert hidden["what"] == "exclude product acme-P-01"
        assert (hidden["products"], hidden["added"], hidden["moved"]) == (1, 0, 0)
        assert abs(hidden["removed"] - first) <= 3  # a day more of history
        assert abs(pinned["added"] + pinned["moved"] - (60 - led)) <= 3
        assert line_of(world, 3)["products"] == 12

    def test_lists_an_expired_rule_as_such(self, world: World) -> None:
        add(world, "min_price", "--value", 30)
        [rule] = world.tenant(ACME).rules
        world.stores.ledger.remove_rule(ACME, 1, by="test", at=NOW)
        ending = replace(rule, expires_at=NOW + timedelta(hours=1))
        world.stores.ledger.add_rule(ACME, ending, at=NOW)

        world.night(ACME, NIGHT)
        assert line_of(world, 2)["state"] == "in force"
        assert line_of(world, 2)["products"] == 19
        world.night(ACME, NEXT_NIGHT)

        assert line_of(world, 2) == {
            "rule": 2,
            "what": "min_price everything, 30",
            "state": "expired",
            "products": 0,
            "removed": 0,
            "added": 0,
            "moved": 0,
        }

    def test_tells_what_cannot_be_sold(self, world: World) -> None:
        products = tables(ACME)["products"]
        states = ["out_of_stock" if n < 3 else "sellable" for n in range(24)]
        world.import_(ACME, {"products": products.append_column("status", [states])})

        world.night(ACME)

        line = line_of(world, None)
        assert (line["what"], line["products"]) == ("out_of_stock", 3)
        assert line["removed"] > 0

    def test_is_the_same_without_rules_whoever_else_has_some(self, world: World) -> None:
        add(world, "exclude", "--product", "beta-P-01", name=BETA)
        for name in (ACME, BETA):
            world.night(name)

        assert world.stores.nights.nights(ACME)[0].figures["rules"] == []


class TestAMargin:
    def test_is_known_where_price_and_cost_are_and_the_cost_is_never_shown(
        self, world: World
    ) -> None:
        products = tables(ACME)["products"]
        prices = products["price"].to_pylist()
        costs = [price * (0.9 if n % 2 else 0.5) for n, price in enumerate(prices)]
        costs[1] = None
        world.import_(ACME, {"products": products.append_column("cost", [costs])})
        add(world, "min_margin", "--value", 0.25)
        world.night(ACME)

        for customer in ("C-0001", "C-0002"):
            body = recs(world, customer, ACME, "--limit", 50)
            odd = [
                line["product_id"] for line in body["recommendations"] if line["category"] == "odd"
            ]
            assert odd == ["acme-P-01"]
            assert "cost" not in json.dumps(body)

    def test_of_products_taken_in_before_there_were_costs_is_unknown(self, world: World) -> None:
        """Their Parquet file has no such column."""
        dataset = world.stores.datasets.required(world.tenant(ACME).uid)
        folder = world.config.home / "tenants" / world.tenant(ACME).uid / "data" / "products"
        path = folder / f"{dataset.products[0]}.parquet"
        rows = pq.read_table(path).drop_columns(["cost"])
        path.chmod(0o644)
        pq.write_table(rows, path)
        add(world, "min_margin", "--value", 0.9)

        assert world.night(ACME).published
        assert line_of(world, 1)["products"] == 0


class TestAFrozenTenant:
    def test_obeys_a_new_rule_at_once_with_the_lists_it_has(self, world: World) -> None:
        world.night(ACME)
        world.switch(ACME, Mode.FREEZE)
        before = ids(recs(world))

        add(world, "exclude", "--product", before[0])

        assert ids(recs(world))[: FIRST_TEN - 1] == before[1:]


class TestTheCommandLine:
    def test_adds_lists_and_removes(self, world: World) -> None:
        said = add(world, "boost", "--category", "odd", "--value", 2, "--until", "2099-12-24")
        assert "rule 1, boost category odd, odds × 2, in force" in said
        assert f"recfactory rule remove {ACME} 1" in said

        [listed] = json.loads(cli(world, "rule", "list", ACME, "--json").stdout)
        assert (listed["rule"], listed["action"], listed["value"]) == (1, "boost", 2.0)
        assert "2099-12-25 00:00" in cli(world, "rule", "list", ACME).stdout
        assert json.loads(cli(world, "rule", "list", BETA, "--json").stdout) == []

        assert "removed" in cli(world, "rule", "remove", ACME, 1).stdout
        assert json.loads(cli(world, "rule", "list", ACME, "--json").stdout) == []

    def test_refuses_a_product_nobody_has_heard_of(self, world: World) -> None:
        done = cli(world, "rule", "add", ACME, "exclude", "--product", "P-404", "--why", "x")

        assert isinstance(done.exception, Refused)
        assert done.exception.code == "RULE_UNKNOWN_REF"
        assert world.tenant(ACME).rules == ()

    def test_tells_in_why_and_night_what_rules_did(self, world: World) -> None:
        add(world, "pin", "--product", "acme-P-20")
        add(world, "exclude", "--product", "acme-P-01")
        world.night(ACME)

        told = cli(world, "why", ACME).stdout

        assert "rule 1: pin product acme-P-20: 1 product; of first-ten places " in told
        assert "rule 2: exclude product acme-P-01: 1 product; of first-ten places " in told
        assert " added" in told
        assert " removed" in told


def collectors(tenant: str, customers: int = 60, products: int = 240) -> dict[str, pa.Table]:
    """Customers who never buy the same twice, with twice the catalogue they could empty."""
    made = tables(tenant, customers=customers, products=products)
    rng = np.random.default_rng(3)
    rows = made["interactions"].to_pylist()
    order: dict[str, list[int]] = {}
    for row in rows:
        left = order.setdefault(row["customer_id"], list(rng.permutation(products)))
        row["product_id"] = f"{tenant}-P-{left.pop():02}"
    return {**made, "interactions": pa.Table.from_pylist(rows, made["interactions"].schema)}


Pairs = set[tuple[str, str]]


def pairs_around(world: World, name: TenantId, judge: str) -> tuple[Pairs, Pairs]:
    """Bought (customer, product) pairs before the judge window, and in it."""
    made = read_data(world.stores, world.tenant(name), NIGHT).interactions.to_pylist()
    start = datetime.fromisoformat(judge).replace(tzinfo=UTC)
    known, inside = (
        {
            (row["customer_id"], row["product_id"])
            for row in made
            if (row["occurred_at"] < start) is before
        }
        for before in (True, False)
    )
    return known, inside


class TestProductsBoughtBefore:
    @pytest.fixture
    def shop(self, empty_world: World) -> World:
        """acme sells what is bought once, beta what is bought again and again."""
        for name in (ACME, BETA):
            empty_world.add(name)
        empty_world.import_(ACME, collectors(ACME))
        empty_world.import_(BETA, tables(BETA))
        return empty_world

    def test_are_shown_by_each_tenants_measured_repeat_rate(self, shop: World) -> None:
        for name in (ACME, BETA):
            shop.night(name)

        ours, theirs = (
            shop.stores.nights.nights(n)[0].figures["bought_before"] for n in (ACME, BETA)
        )
        assert (ours["decided"], ours["rate"], ours["by"]) == ("exclude", 0.0, "auto")
        assert (theirs["decided"], theirs["by"]) == ("include", "auto")
        assert theirs["rate"] > 0.5
        body = recs(shop)
        assert (body["bought"], len(ids(body))) == ("exclude", FIRST_TEN)
        assert not any(line["bought_before"] for line in body["recommendations"])
        assert recs(shop, "C-0001", BETA)["bought"] == "include"

    @pytest.mark.parametrize("bought", list(Bought))
    def test_are_as_a_lookup_asks_and_the_list_is_full_in_every_case(
        self, bought: Bought, shop: World
    ) -> None:
        shop.night(ACME)

        for customer in ("C-0001", "C-0002", "C-0033"):
            body = recs(shop, customer, ACME, "--bought", bought.value, "--limit", 20)
            assert (body["bought"], len(ids(body))) == (bought.value, 20)

    def test_are_judged_only_where_lookups_show_them(self, shop: World) -> None:
        """What nobody is offered must not decide which model is better."""
        for name in (ACME, BETA):
            shop.night(name)
            figures = shop.stores.nights.nights(name)[0].figures
            products = 240 if name == ACME else 24
            known, inside = pairs_around(shop, name, figures["windows"]["judge"])
            left_out = known if name == ACME else set()

            for whose in ("challenger", "incumbent"):
                judged = figures[whose]
                assert judged["pairs"] == 60 * products - len(left_out)
                assert judged["bought"] == len(inside - left_out)
                assert sum(n for n, _, _ in judged["reliability"]) == judged["pairs"]

    def test_are_judged_again_where_the_tenant_wants_them_shown(self, shop: World) -> None:
        changes = {"lists.bought_before": "include"}
        shop.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)
        assert shop.night(ACME).figures["challenger"]["pairs"] == 60 * 240

    def test_are_as_the_tenant_says_where_it_says_so_from_the_next_night_on(
        self, shop: World
    ) -> None:
        changes = {"lists.bought_before": "include"}
        shop.night(ACME)
        shop.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)
        assert recs(shop)["bought"] == "exclude"

        shop.night(ACME, NEXT_NIGHT)

        assert recs(shop)["bought"] == "include"
        figures = shop.stores.nights.nights(ACME)[0].figures["bought_before"]
        assert (figures["decided"], figures["by"]) == ("include", "setting")
        shop.stores.ledger.change_settings(ACME, {}, by="test", at=NOW)
        shop.night(ACME, THIRD_NIGHT)
        assert recs(shop)["bought"] == "exclude"
