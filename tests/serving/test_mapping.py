"""A tenant's admin declares over HTTP how its files look."""

from schema.names import Role
from tests.serving.morning import Served, problem
from tests.world import ACME, BETA

MAPPING = {
    "customers": {"columns": {"customer_id": {"from": "Nr", "ending": ".0"}, "name": "Firma"}}
}


class TestAMapping:
    def test_is_empty_until_it_is_declared(self, house: Served) -> None:
        assert house.ask("GET", "/data/mapping").json() == {"tenant": ACME, "mapping": {}}

    def test_that_is_declared_is_kept_as_it_was_and_only_for_this_tenant(
        self, served: Served
    ) -> None:
        found = served.ask("PUT", "/data/mapping", json={"mapping": MAPPING, "why": "a test"})

        assert found.json() == {"tenant": ACME, "mapping": MAPPING}
        assert served.ask("GET", "/data/mapping").json()["mapping"] == MAPPING
        assert served.ask("GET", "/data/mapping", BETA).json()["mapping"] == {}

    def test_that_does_not_hold_says_where_and_changes_nothing(self, served: Served) -> None:
        wrong = {"customers": {"columns": {"nr": "Nr"}}}

        found = served.ask("PUT", "/data/mapping", json={"mapping": wrong, "why": "a test"})

        assert "have no column 'nr'" in problem(found, 422, "INVALID")["detail"]
        assert served.ask("GET", "/data/mapping").json()["mapping"] == {}

    def test_wants_a_reason(self, house: Served) -> None:
        problem(house.ask("PUT", "/data/mapping", json={"mapping": {}}), 422, "INVALID")

    def test_is_not_for_salespeople(self, house: Served) -> None:
        for method in ("GET", "PUT"):
            problem(house.ask(method, "/data/mapping", role=Role.SELLER), 403, "ROLE")
