"""Who may read the audit trail, and that whatever is written leaves a line in it."""

import re
from typing import Any

import pytest

from schema.names import Role, TenantId
from schema.records import AuditLine
from tests.serving.morning import Served, problem
from tests.world import ACME, BETA

WHY = {"why": "a test"}
WRITES: dict[str, tuple[str, str, Any, str]] = {
    "PUT /tenants/{tenant}/mode": ("PUT", "/mode", {"mode": "freeze", **WHY}, "mode"),
    "PUT /tenants/{tenant}/data/mapping": (
        "PUT",
        "/data/mapping",
        {"mapping": {"currency": "EUR"}, **WHY},
        "mapping",
    ),
    "POST /tenants/{tenant}/rules": (
        "POST",
        "/rules",
        {"action": "exclude", "product_id": "acme-P-01", **WHY},
        "rule added",
    ),
    "DELETE /tenants/{tenant}/rules/{number}": ("DELETE", "/rules/1", None, "rule removed"),
    "POST /tenants/{tenant}/editions/{number}/activate": (
        "POST",
        "/editions/1/activate",
        WHY,
        "activate",
    ),
    "DELETE /tenants/{tenant}/customers/{customer}": (
        "DELETE",
        "/customers/C-0059",
        WHY,
        "erase",
    ),
    "POST /tenants/{tenant}/models/{number}/promote": (
        "POST",
        "/models/3/promote",
        WHY,
        "promote",
    ),
    "POST /tenants/{tenant}/models/{number}/discard": (
        "POST",
        "/models/3/discard",
        WHY,
        "discard",
    ),
}
"""Method, address, body and the act that is noted, by what the API's document calls it."""

NO_ACTS = {
    "POST /tenants/{tenant}/feedback",
    "POST /tenants/{tenant}/customers/{customer}/recs",
}
"""A salesperson's work, not an administrative act."""

ELSEWHERE = {
    "POST /tenants",  # test_fleet.py
    "PUT /tenants/{tenant}/data/{table}",  # test_upload.py
    *(  # test_reports.py
        f"POST /tenants/{{tenant}}/data/held/{{batch}}/{word}" for word in ("release", "discard")
    ),
    *(  # test_keys.py
        f"{method} {whose}/keys{end}"
        for whose in ("", "/tenants/{tenant}")
        for method, end in (("POST", ""), ("POST", "/{key}/rotate"), ("DELETE", "/{key}"))
    ),
}
"""Acts whose lines are looked at in other files."""


def newest(served: Served) -> AuditLine:
    return served.world.stores.audit.all(1)[0]


class TestEveryAct:
    def test_over_http_is_in_the_list_of_this_test(self, house: Served) -> None:
        document = house.client.get("/openapi.json").json()
        writing = {
            f"{method.upper()} {path}"
            for path, methods in document["paths"].items()
            for method in methods
            if method != "get"
        }
        assert writing == set(WRITES) | NO_ACTS | ELSEWHERE

    @pytest.mark.parametrize("name", sorted(set(WRITES) - {n for n in WRITES if "models" in n}))
    def test_over_http_leaves_a_line_with_the_key_that_did_it(self, name: str, own: Served) -> None:
        if name.endswith("/rules/{number}"):
            add = WRITES["POST /tenants/{tenant}/rules"]
            own.ask(add[0], add[1], json=add[2])
        before = newest(own).id
        method, path, body, act = WRITES[name]

        found = own.ask(method, path, json=body)

        assert found.status_code == 200, found.text
        line = newest(own)
        key_id = own.keys[ACME, Role.ADMIN].removeprefix("rf_").partition(".")[0]
        assert (line.id, line.tenant, line.act) == (before + 1, ACME, act)
        assert line.actor == f"key {key_id}"

    def test_that_was_refused_leaves_none(self, own: Served) -> None:
        before = own.world.stores.audit.all()
        for method, path, body, _ in WRITES.values():
            for role, tenant, key in (
                (Role.SELLER, ACME, ACME),
                (Role.ADMIN, BETA, ACME),
                (Role.ADMIN, ACME, ACME),
            ):
                if role is Role.ADMIN and key == tenant:
                    path, body = re.sub(r"\d+", "99", path), {"mode": "no"}
                assert (
                    own.ask(method, path, tenant, key=key, role=role, json=body).status_code > 400
                )
        assert own.world.stores.audit.all() == before


class TestATenantsAdmin:
    def test_reads_its_own_trail_newest_first(self, served: Served) -> None:
        served.ask("PUT", "/mode", json={"mode": "freeze", "why": "stocktaking"})

        lines = served.ask("GET", "/audit").json()

        assert lines[0]["act"] == "mode"
        assert lines[0]["detail"] == {"was": "on", "mode": "freeze", "why": "stocktaking"}
        assert [line["act"] for line in lines][-2:] == ["import", "register"]
        assert [line["number"] for line in lines] == [*range(len(lines), 0, -1)]
        assert {line["tenant"] for line in lines} == {ACME}

    def test_is_told_nothing_of_another(self, house: Served) -> None:
        assert BETA not in house.ask("GET", "/audit").text
        assert all("id" not in line for line in house.ask("GET", "/audit").json())

    def test_pages(self, house: Served) -> None:
        everything = house.ask("GET", "/audit").json()
        paged: list[Any] = []
        while page := house.ask(
            "GET",
            "/audit",
            params={"limit": 1, **({"before": paged[-1]["number"]} if paged else {})},
        ).json():
            paged += page
        assert paged == everything

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "before=0", "before=x"])
    def test_is_told_where_a_page_is_none(self, query: str, house: Served) -> None:
        problem(house.ask("GET", f"/audit?{query}"), 422, "INVALID")

    def test_does_not_see_the_installations(self, house: Served) -> None:
        key = {"Authorization": f"Bearer {house.keys[ACME, Role.ADMIN]}"}
        problem(house.client.get("/audit", headers=key), 403, "ROLE")
        problem(house.client.get("/audit"), 401, "NO_KEY")

    def test_sees_another_tenants_as_if_there_were_none(self, house: Served) -> None:
        foreign = problem(house.ask("GET", "/audit", BETA, key=ACME), 404, "NO_TENANT")
        absent = problem(house.ask("GET", "/audit", TenantId("nobody"), key=ACME), 404, "NO_TENANT")
        assert foreign == absent


class TestTheOperator:
    def test_reads_all_of_it_page_by_page(self, house: Served) -> None:
        key = {"Authorization": f"Bearer {house.keys[None, Role.OPERATOR]}"}

        def page(**params: int) -> list[Any]:
            found: list[Any] = house.client.get("/audit", headers=key, params=params).json()
            return found

        everything = page()
        assert {line["tenant"] for line in everything} == {ACME, BETA, None}
        paged = page(limit=3)
        while more := page(limit=3, before=paged[-1]["id"]):
            paged += more
        assert paged == everything
