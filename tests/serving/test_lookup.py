import pytest

from schema.names import Bought, Mode, Role, TenantId
from serving.bodies import Recommendations
from serving.policy import SELLS
from storage.lists import ListReader
from tests.serving.morning import Keys, Night, Served, ids, problem, serving
from tests.world import ACME, BETA, World, tables


@pytest.fixture
def served(house: Served) -> Served:
    """Lookups leave no trace."""
    return house


class TestALookup:
    def test_shows_the_customers_own_list(self, served: Served) -> None:
        body = served.recs("C-0001")

        assert (body["tenant"], body["customer"]) == ("acme", "C-0001")
        assert (body["mode"], body["source"]) == ("on", "personal")
        assert (body["edition"], body["published_at"]) == (1, "2026-04-01T00:05:00Z")
        assert len(ids(body)) == 10

    def test_fits_the_documented_shape_to_the_letter(self, served: Served) -> None:
        body = served.recs("C-0001")

        parsed = Recommendations.model_validate(body)
        assert set(body) == set(Recommendations.model_fields)
        assert parsed.model_dump(mode="json") == body

    def test_knows_the_taste_that_was_planted(self, served: Served) -> None:
        for customer, category in (("C-0001", "odd"), ("C-0002", "even")):
            first = served.recs(customer)["recommendations"][:5]
            assert {line["category"] for line in first} == {category}

    def test_comes_best_first(self, served: Served) -> None:
        lines = served.recs("C-0001", limit=50)["recommendations"]

        chances = [line["probability"] for line in lines]
        assert chances == sorted(chances, reverse=True)
        assert all(0 <= chance <= 1 for chance in chances)
        assert len(set(ids({"recommendations": lines}))) == len(lines)

    def test_is_the_same_every_time(self, served: Served) -> None:
        assert served.recs("C-0001") == served.recs("C-0001")

    @pytest.mark.parametrize("limit", [1, 7, 24])
    def test_holds_as_many_products_as_were_asked_for(self, limit: int, served: Served) -> None:
        assert len(ids(served.recs("C-0001", limit=limit))) == limit

    def test_may_leave_out_what_was_bought_or_show_nothing_else(self, served: Served) -> None:
        new = served.recs("C-0001", bought=Bought.EXCLUDE.value)["recommendations"]
        old = served.recs("C-0001", bought=Bought.ONLY.value)["recommendations"]

        assert new
        assert old
        assert not any(line["bought_before"] for line in new)
        assert all(line["bought_before"] for line in old)

    def test_is_open_to_admins_and_operators_too(self, served: Served) -> None:
        path = "/customers/C-0001/recs"

        bodies = [served.ask("GET", path, role=role).json() for role in SELLS]

        assert bodies == [served.recs("C-0001")] * 3

    def test_of_a_customer_whose_id_holds_a_slash_finds_their_own_list(
        self, empty_world: World
    ) -> None:
        empty_world.add(ACME)
        made = tables(ACME)
        for table in ("customers", "interactions"):
            names = [name.replace("C-", "K/") for name in made[table]["customer_id"].to_pylist()]
            place = made[table].schema.get_field_index("customer_id")
            made[table] = made[table].set_column(place, "customer_id", [names])
        empty_world.import_(ACME, made)
        empty_world.night(ACME)

        with serving(empty_world, {(ACME, Role.SELLER): empty_world.key(ACME)}) as served:
            body = served.recs("K%2F0001")

        assert (body["customer"], body["source"]) == ("K/0001", "personal")


class TestAStranger:
    def test_gets_the_popular_list_marked_so(self, served: Served) -> None:
        body = served.recs("never-seen")

        assert (body["customer"], body["source"]) == ("never-seen", "popular")
        assert len(ids(body)) == 10
        assert {line["reason"]["kind"] for line in body["recommendations"]} == {"popular"}

    def test_gets_the_same_as_any_other(self, served: Served) -> None:
        assert ids(served.recs("never-seen")) == ids(served.recs("c-0001"))

    def test_is_a_customer_of_another_tenant(self, morning: World, night: Night) -> None:
        more = tables(BETA, customers=61)
        morning.import_(BETA, more)
        morning.night(BETA, morning.stores.nights.nights(BETA)[0].night.replace(day=2))

        with serving(morning, night.keys) as served:
            assert served.recs("C-0060", BETA)["source"] == "personal"
            assert served.recs("C-0060", ACME)["source"] == "popular"


class TestTwoTenants:
    def test_never_see_each_others_products(self, served: Served) -> None:
        for mine, other in ((ACME, BETA), (BETA, ACME)):
            for customer in [*(f"C-{n:04}" for n in range(0, 60, 3)), "stranger"]:
                for bought in Bought:
                    found = served.ask(
                        "GET",
                        f"/customers/{customer}/recs",
                        mine,
                        params={"limit": 50, "bought": bought.value},
                    )
                    assert other.encode() not in found.content
                    assert mine.encode() in found.content

    def test_have_the_same_customer_with_another_list(self, served: Served) -> None:
        assert ids(served.recs("C-0001", ACME)) != ids(served.recs("C-0001", BETA))


class TestAWrongQuestion:
    @pytest.mark.parametrize("limit", [-1, 0, 51, 10**40])
    def test_for_too_many_or_too_few_is_refused(self, limit: int, served: Served) -> None:
        found = served.ask("GET", "/customers/C-0001/recs", params={"limit": limit})

        problem(found, 422, "LIMIT")

    @pytest.mark.parametrize("limit", ["ten", "", "1.5", "0x1"])
    def test_for_no_number_is_refused(self, limit: str, served: Served) -> None:
        found = served.ask("GET", "/customers/C-0001/recs", params={"limit": limit})

        assert "limit" in problem(found, 422, "INVALID")["detail"]

    @pytest.mark.parametrize("word", ["", "yes", "EXCLUDE", "x" * 5000])
    def test_with_an_unknown_word_is_refused(self, word: str, served: Served) -> None:
        found = served.ask("GET", "/customers/C-0001/recs", params={"bought": word})

        assert len(problem(found, 422, "BOUGHT")["detail"]) < 300

    @pytest.mark.parametrize("limit", ["9" * 4000, "-" + "9" * 40])
    def test_for_a_number_of_any_length_is_refused(self, limit: str, served: Served) -> None:
        problem(served.ask("GET", f"/customers/C-0001/recs?limit={limit}"), 422, "LIMIT")

    @pytest.mark.parametrize("limit", ["9" * 5000, "--1", "1e1", "٣x", "%00", "%ff", "1_", "inf"])
    def test_for_what_looks_like_a_number_is_refused(self, limit: str, served: Served) -> None:
        found = served.ask("GET", f"/customers/C-0001/recs?limit={limit}")

        assert len(problem(found, 422, "INVALID")["detail"]) < 300

    @pytest.mark.parametrize("query", ["&" * 20, "a=1&" * 21, "limit=3&" * 500, ";" * 9 + "&" * 99])
    def test_with_more_parameters_than_anybody_needs_is_refused(
        self, query: str, served: Served
    ) -> None:
        problem(served.ask("GET", f"/customers/C-0001/recs?{query}"), 422, "INVALID")

    def test_with_unknown_parameters_is_answered_as_if_they_were_not_there(
        self, served: Served
    ) -> None:
        found = served.ask("GET", "/customers/C-0001/recs?_=1&utm=x&limit=3")

        assert found.json() == served.recs("C-0001", limit=3)


class TestACategory:
    def test_that_was_asked_for_is_all_there_is(self, served: Served) -> None:
        for tenant in (ACME, BETA):
            whole = served.recs("C-0001", tenant, limit=50)["recommendations"]
            part = served.recs("C-0001", tenant, limit=50, category="odd")["recommendations"]

            assert [line["product_id"] for line in part] == [
                line["product_id"] for line in whole if line["category"] == "odd"
            ]

    def test_leaves_the_list_full(self, served: Served) -> None:
        for customer in ("C-0001", "C-0002", "never-seen"):
            assert len(ids(served.recs(customer, category="even"))) == 10

    @pytest.mark.parametrize(
        "word",
        [
            *("", "Odd", "odd ", "none", "null", "*", "%", "'", '"', "\\", "odd\x00", "x" * 5000),
            *("../odd", "odd,even", "偶", "\u202eddo", "<b>", "{0}", "acme-P-01", "' OR 1=1 --"),
        ],
    )
    def test_that_no_product_has_is_refused(self, word: str, served: Served) -> None:
        found = served.ask("GET", "/customers/C-0001/recs", params={"category": word})

        assert len(problem(found, 422, "CATEGORY")["detail"]) < 400

    @pytest.mark.parametrize("word", ["%ff", "%ed%a0%80", "%c0%af", "%zz", "%"])
    def test_that_is_no_text_is_refused(self, word: str, served: Served) -> None:
        problem(served.ask("GET", f"/customers/C-0001/recs?category={word}"), 422, "CATEGORY")

    def test_of_another_tenant_is_as_unknown_as_any(self, world: World) -> None:
        made = tables(BETA)
        place = made["products"].schema.get_field_index("category")
        made["products"] = made["products"].set_column(place, "category", [["secret"] * 24])
        world.import_(BETA, made)
        keys: Keys = {(name, Role.SELLER): world.key(name) for name in (ACME, BETA)}
        for name in (ACME, BETA):
            world.night(name)

        with serving(world, keys) as served:
            assert len(ids(served.recs("C-0001", BETA, category="secret"))) == 10
            told = [
                served.ask(
                    "GET", "/customers/C-0001/recs", role=Role.SELLER, params={"category": word}
                )
                for word in ("secret", "absent")
            ]

        assert told[0].text.replace("secret", "absent") == told[1].text
        problem(told[0], 422, "CATEGORY")


class TestADefect:
    def test_in_a_lookup_is_a_problem_document_and_told_in_the_log(
        self, served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("cogwheel")

        monkeypatch.setattr(served.state.shelf, "ready", broken)
        found = served.ask("GET", "/customers/C-0001/recs")

        problem(found, 500, "DEFECT")
        assert "cogwheel" not in found.text
        assert "RuntimeError: cogwheel" in caplog.text
        assert "C-0001" not in caplog.text


class TestATenant:
    def test_that_is_off_shows_nothing(self, morning: World, night: Night) -> None:
        morning.switch(ACME, Mode.OFF)

        with serving(morning, night.keys) as served:
            body = served.recs("C-0001")

        assert body == {
            "tenant": "acme",
            "customer": "C-0001",
            "mode": "off",
            "bought": None,
            "source": None,
            "edition": None,
            "model": None,
            "published_at": None,
            "stale": None,
            "recommendations": [],
        }

    def test_that_is_off_still_refuses_a_wrong_question(self, morning: World, night: Night) -> None:
        morning.switch(ACME, Mode.OFF)

        with serving(morning, night.keys) as served:
            found = served.ask("GET", "/customers/C-0001/recs", params={"limit": 0})

        problem(found, 422, "LIMIT")

    def test_that_is_frozen_shows_its_edition(self, morning: World, night: Night) -> None:
        with serving(morning, night.keys) as served:
            before = served.recs("C-0001")
        morning.switch(ACME, Mode.FREEZE)

        with serving(morning, night.keys) as served:
            assert served.recs("C-0001") == {**before, "mode": "freeze"}

    def test_that_had_no_night_yet_says_so(self, world: World) -> None:
        with serving(world, {(ACME, Role.SELLER): world.key(ACME)}) as served:
            found = served.ask("GET", "/customers/C-0001/recs", role=Role.SELLER)

        problem(found, 404, "NO_EDITION")

    def test_is_shown_while_the_other_has_nothing(self, world: World) -> None:
        world.night(ACME)
        keys: Keys = {(name, Role.SELLER): world.key(name) for name in (ACME, BETA)}

        with serving(world, keys) as served:
            assert len(ids(served.recs("C-0001", ACME))) == 10
            found = served.ask("GET", "/customers/C-0001/recs", BETA, role=Role.SELLER)

        problem(found, 404, "NO_EDITION")


def test_the_test_world_has_products_that_carry_their_tenants_name(world: World) -> None:
    """Or the search for a foreign tag above would find nothing, whatever was wrong."""
    for name in (ACME, BETA):
        products = world.stores.datasets.read(world.tenant(name).uid, "products")
        assert all(f"{name}-" in product for product in products["product_id"].to_pylist())


class TestLinesTheNightHasMade:
    @pytest.mark.parametrize("asked", ["", "?limit=9", "?bought=exclude", "?category=odd"])
    @pytest.mark.parametrize("tenant", [ACME, BETA])
    def test_are_the_very_bytes_a_lookup_would_make(
        self, served: Served, monkeypatch: pytest.MonkeyPatch, tenant: TenantId, asked: str
    ) -> None:
        names = [name or "nobody" for name, _ in everyone(served, tenant)]

        def answers() -> list[bytes]:
            paths = (f"/customers/{name}/recs{asked}" for name in names)
            return [served.ask("GET", path, tenant, role=Role.SELLER).content for path in paths]

        quick = answers()
        monkeypatch.setattr(ListReader, "first", lambda *_: None)

        assert len(names) > 20
        assert answers() == quick

    def test_are_there_for_everyone_and_spare_the_list(
        self, served: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = served.recs("C-0001")
        found = dict(everyone(served, ACME))
        monkeypatch.setattr(ListReader, "of", lambda *_: pytest.fail("the list was read"))

        assert all(found.values())
        assert served.recs("C-0001") == own


def everyone(served: Served, tenant: TenantId) -> list[tuple[str, bytes | None]]:
    """Who has a list, the strangers as "", and the lines that were made of it."""
    served.recs("C-0001", tenant)
    shelved = served.state.shelf.ready(served.world.stores.ledger.tenant(tenant))
    lists = shelved.edition.lists
    return [(name, lists.first(name)) for name in lists.everyone()[0]]
