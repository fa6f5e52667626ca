import logging
from typing import Any

import pytest

from schema.logs import JsonLines
from schema.names import Role
from serving.logs import HEADER, Access, request_id
from tests.serving.morning import Served
from tests.world import ACME, BETA


class TestARequestId:
    @pytest.mark.parametrize("given", [b"a", b"0190-Ab.c_d", b"x" * 64])
    def test_that_is_well_formed_is_kept(self, given: bytes) -> None:
        assert request_id([(HEADER, given)]) == given

    @pytest.mark.parametrize(
        "given", [b"", b"x" * 65, b"a b", b"a\nb", b"\xff", b"a;b", b'"', b"a\n"]
    )
    def test_that_is_not_is_replaced_by_a_new_one(self, given: bytes) -> None:
        made = {request_id([(HEADER, given)]) for _ in range(3)}

        assert len(made) == 3
        assert all(name.replace(b"-", b"").isalnum() for name in made)

    def test_is_in_every_answer(self, house: Served) -> None:
        for path in ("/health/live", "/nowhere", "/tenants/acme/mode", "/openapi.json"):
            found = house.client.get(path, headers={"X-Request-ID": "mine-1"})
            assert found.headers["x-request-id"] == "mine-1"
            assert house.client.get(path).headers["x-request-id"]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="recfactory.access")
    return caplog


def fields(lines: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in lines.records if hasattr(record, "fields")]


class TestTheAccessLog:
    def test_tells_who_did_what_of_every_administrative_request(
        self, own: Served, lines: pytest.LogCaptureFixture
    ) -> None:
        own.ask("PUT", "/mode", json={"mode": "freeze", "why": "a test"})

        [line] = fields(lines)
        key_id = own.keys[ACME, Role.ADMIN].removeprefix("rf_").partition(".")[0]
        assert (line["method"], line["route"], line["status"]) == (
            "PUT",
            "/tenants/{tenant}/mode",
            200,
        )
        assert (line["tenant"], line["actor"]) == (ACME, f"key {key_id}")
        assert line["ms"] > 0

    def test_says_whom_an_operators_request_was_about(
        self, house: Served, lines: pytest.LogCaptureFixture
    ) -> None:
        house.ask("GET", "/mode", BETA, role=Role.OPERATOR)

        assert fields(lines)[0]["tenant"] == BETA

    @pytest.mark.parametrize(
        ("path", "status"), [("/nowhere", 404), ("/tenants/acme/customers/C-0001/recs", 401)]
    )
    def test_tells_of_every_refused_request(
        self, path: str, status: int, house: Served, lines: pytest.LogCaptureFixture
    ) -> None:
        house.client.get(path)

        [line] = fields(lines)
        assert (line["status"], line["tenant"], line["actor"]) == (status, None, None)

    def test_is_silent_about_lookups_and_health(
        self, house: Served, lines: pytest.LogCaptureFixture
    ) -> None:
        house.recs()
        house.client.get("/health/live")

        assert fields(lines) == []

    def test_holds_no_customer_no_secret_and_no_address(
        self, own: Served, lines: pytest.LogCaptureFixture
    ) -> None:
        secret = own.keys[ACME, Role.SELLER].partition(".")[2]
        own.ask("GET", "/customers/CANARY-1/recs?limit=CANARY", role=Role.SELLER)
        own.ask("GET", "/customers/CANARY-2/recs", BETA, key=ACME, role=Role.SELLER)
        own.client.get("/CANARY-3")
        own.client.get("/tenants/acme/mode", headers={"Authorization": "Bearer CANARY-4"})
        own.ask("POST", "/feedback", content=b'{"CANARY-5": NaN}')

        told = "\n".join(JsonLines().format(record) for record in lines.records)
        assert len(fields(lines)) == 5
        assert "CANARY" not in told
        assert secret not in told

    def test_of_a_flood_is_cut_and_says_by_how_much(self, lines: pytest.LogCaptureFixture) -> None:
        access = Access(everything=False)
        for _ in range(1000):
            access.end({"method": "GET"}, 404, 0.0, act=False)
        few = len(fields(lines))
        access.end({"method": "GET"}, 200, 0.0, act=True)

        assert few < 300
        assert fields(lines)[-1]["unlogged"] == 1000 - few

    def test_tells_of_everything_where_that_is_asked_for(
        self, lines: pytest.LogCaptureFixture
    ) -> None:
        Access(everything=True).end({"method": "GET"}, 200, 0.0, act=False)

        assert fields(lines)[0]["status"] == 200
