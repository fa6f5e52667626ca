from typing import Any

import pytest
from httpx2 import Response

from schema.names import Mode, Role, TenantId
from tests.serving.morning import Served, problem
from tests.serving.test_keys import ask
from tests.world import ACME, BETA


def lines(found: Response) -> dict[str, Any]:
    assert found.status_code == 200, found.text
    return {line["tenant"]: line for line in found.json()["lines"]}


class TestTheFleet:
    def test_says_what_every_tenant_serves_how_old_it_is_and_why(self, own: Served) -> None:
        own.world.switch(BETA, Mode.FREEZE)

        told = lines(ask(own, "GET", "/fleet"))

        assert (told[ACME]["mode"], told[BETA]["mode"]) == ("on", "freeze")
        assert told[ACME]["edition"] == 1
        assert told[ACME]["age_hours"] >= 0
        assert told[ACME]["verdict"] == "promoted"
        assert told[ACME]["because"]

    def test_counts(self, own: Served) -> None:
        ask(own, "POST", "/tenants", json={"tenant": "new"})

        told = ask(own, "GET", "/fleet").json()

        assert (told["tenants"], told["without_edition"]) == (3, 1)
        assert told["modes"] == {"on": 3, "freeze": 0, "off": 0}
        assert told["verdicts"] == {"promoted": 2}

    def test_shows_a_damaged_pointer_and_hides_nobody_for_it(self, own: Served) -> None:
        uid = own.world.tenant(ACME).uid
        (own.world.config.home / "tenants" / uid / "CURRENT").write_text("{")

        told = lines(ask(own, "GET", "/fleet"))

        assert (told[ACME]["edition"], told[ACME]["problem"]) == (None, "CURRENT_BROKEN")
        assert (told[BETA]["edition"], told[BETA]["problem"]) == (1, None)


class TestTenants:
    def test_are_listed_by_name(self, own: Served) -> None:
        found = ask(own, "GET", "/tenants").json()

        assert [line["tenant"] for line in found] == [ACME, BETA]
        assert found[0] == {
            "tenant": "acme", "title": "acme Ltd", "timezone": "UTC", "mode": "on",
        }  # fmt: skip

    def test_are_registered_on_and_known_at_once(self, own: Served) -> None:
        body = {"tenant": "new", "title": "New Ltd", "timezone": "Europe/Zurich"}

        made = ask(own, "POST", "/tenants", json=body)

        assert made.json() == {**body, "mode": "on"}
        assert ask(own, "GET", "/tenants/new/mode").json() == {"tenant": "new", "mode": "on"}
        assert own.world.stores.audit.of(TenantId("new"))[0].act == "register"

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"tenant": "acme"}, "TENANT_EXISTS"),
            ({"tenant": "../x"}, "TENANT_NAME"),
            ({"tenant": "new", "timezone": "Mars/Base"}, "TIMEZONE"),
            ({"tenant": "new", "uid": "x"}, "INVALID"),
        ],
    )
    def test_that_cannot_be_are_refused(self, body: dict[str, str], code: str, own: Served) -> None:
        problem(ask(own, "POST", "/tenants", json=body), 422, code)
        assert len(own.world.stores.ledger.tenants()) == 2


@pytest.mark.parametrize("path", ["/fleet", "/tenants", "/keys"])
def test_no_tenants_key_sees_the_fleet(path: str, house: Served) -> None:
    for role in (Role.SELLER, Role.ADMIN):
        headers = {"Authorization": f"Bearer {house.keys[ACME, role]}"}
        problem(house.client.get(path, headers=headers), 403, "ROLE")
