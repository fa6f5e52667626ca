import logging
from typing import Any

import pytest

from schema.names import Role, TenantId
from tests.serving.morning import Served, problem
from tests.world import ACME, BETA, NOW


@pytest.fixture
def served(house: Served) -> Served:
    return house


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "recfactory.access"]


class TestTheDoor:
    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"mode": "boss"}'])
    def test_asks_for_a_key_before_it_reads(self, body: bytes, served: Served) -> None:
        for tenant in (ACME, "nobody"):
            found = served.client.put(f"/tenants/{tenant}/mode", content=body)
            problem(found, 401, "NO_KEY")

    def test_asks_whose_and_what_for_before_it_reads(self, served: Served) -> None:
        problem(served.ask("PUT", "/mode", BETA, key=ACME, content=b"{"), 404, "NO_TENANT")
        problem(served.ask("PUT", "/mode", role=Role.SELLER, content=b"{"), 403, "ROLE")

    def test_is_not_opened_by_a_header_that_names_another_method(self, served: Served) -> None:
        headers = {
            "Authorization": f"Bearer {served.keys[ACME, Role.SELLER]}",
            "X-HTTP-Method-Override": "PUT",
            "X-Method-Override": "PUT",
        }
        url = "/tenants/acme/mode"
        problem(served.client.get(url, headers=headers), 403, "ROLE")
        problem(served.client.post(url, headers=headers), 405, "HTTP_405")


class TestWhoIsTurnedAway:
    @pytest.mark.parametrize(
        ("tenant", "role", "code"), [(BETA, Role.ADMIN, "NO_TENANT"), (ACME, Role.SELLER, "ROLE")]
    )
    def test_is_written_down_with_where_they_wanted_to_go(
        self,
        tenant: TenantId,
        role: Role,
        code: str,
        served: Served,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        [key] = [k for k in served.world.stores.ledger.keys(ACME) if k.role is role]

        with caplog.at_level(logging.WARNING):
            served.ask("GET", "/rules", tenant, key=ACME, role=role)

        assert told(caplog) == [
            f"key {key.key_id} was refused GET /tenants/{{tenant}}/rules "
            f"for tenant '{tenant}': {code}"
        ]
        [record] = [r for r in caplog.records if r.name == "recfactory.access"]
        assert (record.actor, record.target, record.code) == (  # type: ignore[attr-defined]
            f"key {key.key_id}", tenant, code,
        )  # fmt: skip

    def test_is_named_by_the_key_they_tried(
        self, own: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger, shown = own.world.stores.ledger, own.keys[ACME, Role.SELLER]
        [key] = [k for k in ledger.keys(ACME) if k.role is Role.SELLER]
        slip = shown[:-1] + ("0" if shown[-1] != "0" else "1")
        ledger.revoke_key(key.key_id, by="test", at=NOW)
        own.client.app.api.state.switchboard.refresh()  # type: ignore[attr-defined]

        for text in (shown, slip, "rf_x", "nonsense"):
            headers = {"Authorization": f"Bearer {text}"}
            own.client.get("/tenants/acme/customers/C-0001/recs", headers=headers)

        assert [line.partition(" was ")[0] for line in told(caplog)] == [
            f"key {key.key_id}, not valid",
            f"key {key.key_id}, mistyped",
            "nobody known",
            "nobody known",
        ]

    def test_never_has_a_secret_or_a_customer_written_down(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        shown = served.keys[ACME, Role.SELLER]
        served.ask("GET", "/customers/C-0001/recs", BETA, key=ACME, role=Role.SELLER)
        served.client.get("/tenants/acme/customers/C-0001/recs", params={"key": shown})

        assert len(told(caplog)) == 2
        assert "C-0001" not in " ".join(told(caplog))
        assert shown.partition(".")[2] not in " ".join(told(caplog))

    @pytest.mark.parametrize("name", ["a%0d%0aERROR fake", "a%1b[31m", "%e2%80%a8x", "x" * 5000])
    def test_cannot_forge_a_line(
        self, name: Any, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        served.ask("GET", "/mode", TenantId(name), key=ACME)

        [line] = told(caplog)
        assert line.isprintable()
        assert len(line) < 250
