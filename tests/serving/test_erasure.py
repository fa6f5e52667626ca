"""Erasing a customer over HTTP: what stops at once, and what is told of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from jobs.erasing import finish
from schema.config import Serving
from schema.names import Role, TenantId
from serving.app import create_app
from tests.serving.morning import Night, Served, ids, problem, until
from tests.world import ACME, BETA, NOW, World

WHO = "C-0001"
WHY = {"why": "request 17"}


def erase(served: Served, customer: str = WHO, tenant: TenantId = ACME) -> dict[str, Any]:
    found = served.ask("DELETE", f"/customers/{customer}", tenant, json=WHY)
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def without_names(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "customer"}


def seen(customer: str = WHO, **more: Any) -> dict[str, Any]:
    event = {"event_id": "e-1", "customer_id": customer, "product_id": "acme-P-01"}
    return {**event, "kind": "shown", **more}


class TestAnErasedCustomer:
    def test_is_a_stranger_to_the_next_lookup(self, own: Served) -> None:
        assert own.recs(WHO)["source"] == "personal"

        erase(own)

        assert own.recs(WHO)["source"] == "popular"
        assert without_names(own.recs(WHO)) == without_names(own.recs("nobody"))

    def test_is_one_before_the_answer_is_sent_however_seldom_changes_are_looked_for(
        self, morning: World, night: Night
    ) -> None:
        seldom = Serving(refresh_seconds=60)
        with TestClient(
            create_app(morning.config.model_copy(update={"serving": seldom}))
        ) as client:
            served = Served(morning, client, night.keys)
            assert served.recs(WHO)["source"] == "personal"

            erase(served)

            assert served.recs(WHO)["source"] == "popular"

    def test_is_one_when_the_list_is_ranked_during_the_call(self, own: Served) -> None:
        erase(own)
        for said in ({}, {"interested": {"products": ["acme-P-03"]}}):
            theirs, strangers = (
                own.ask("POST", f"/customers/{name}/recs", role=Role.SELLER, json=said).json()
                for name in (WHO, "nobody")
            )
            assert without_names(theirs) == without_names(strangers)

    def test_is_one_to_whoever_kept_the_old_answer(self, own: Served) -> None:
        path = f"/customers/{WHO}/recs"
        kept = own.ask("GET", path).headers["etag"]

        erase(own)

        headers = {"Authorization": f"Bearer {own.keys[ACME, Role.ADMIN]}", "If-None-Match": kept}
        found = own.client.get(f"/tenants/{ACME}{path}", headers=headers)
        assert (found.status_code, found.json()["source"]) == (200, "popular")

    def test_is_one_on_every_other_worker_soon(self, own: Served) -> None:
        with TestClient(create_app(own.world.config)) as client:
            other = Served(own.world, client, own.keys)
            assert other.recs(WHO)["source"] == "personal"

            erase(own)

            until(lambda: other.recs(WHO)["source"] == "popular")

    def test_is_one_although_the_ledger_is_away(
        self, own: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own.recs(WHO)
        ledger = own.world.config.home / "ledger.db"
        nowhere = ledger.with_name("nowhere")
        nowhere.symlink_to(ledger.with_name("away") / "ledger.db")
        # At one stroke: whoever watches the ledger meanwhile would make an empty one anew.
        nowhere.rename(ledger)
        own.state.stores.engine.dispose()

        problem(own.ask("DELETE", f"/customers/{WHO}", json=WHY), 503, "LEDGER")

        assert own.recs(WHO)["source"] == "popular"

    def test_is_nobody_else(self, own: Served) -> None:
        others = [own.recs("C-0002"), own.recs(WHO, BETA), own.recs("C-00011")]

        erase(own)

        assert [own.recs("C-0002"), own.recs(WHO, BETA), own.recs("C-00011")] == others

    def test_may_have_slashes_in_the_id(self, own: Served) -> None:
        assert erase(own, "north/7")["known"] is False

        uid = own.world.tenant(ACME).uid
        assert own.world.stores.erased.of(uid).holds("north/7")

    def test_is_not_meant_by_the_address_of_a_lookup(self, own: Served) -> None:
        found = own.ask("DELETE", f"/customers/{WHO}/recs", json=WHY)

        assert found.status_code == 405
        assert own.recs(WHO)["source"] == "personal"


class TestFeedbackAboutThem:
    def test_is_refused_and_the_rest_of_the_letter_is_kept(self, own: Served) -> None:
        erase(own)

        told = own.tell(seen(), seen("C-0002", event_id="e-2"))

        assert [(r["result"], r["code"]) for r in told["results"]] == [
            ("refused", "CUSTOMER_ERASED"),
            ("stored", None),
        ]

    def test_of_another_tenants_is_kept(self, own: Served) -> None:
        erase(own)

        told = own.tell(seen(product_id="beta-P-01"), tenant=BETA)

        assert told["stored"] == 1


class TestTheReceipt:
    def test_says_what_is_done_and_what_follows(self, own: Served) -> None:
        made = erase(own)

        assert (made["receipt"], made["state"], made["known"]) == (1, "pending", True)
        assert made["done"] == ["lookups", "imports", "new feedback"]
        assert "editions" in made["pending"]
        assert own.ask("GET", "/erasures/1").json() == made

    def test_shows_when_all_of_it_is_done(self, own: Served) -> None:
        erase(own)

        finish(own.world.stores, NOW)

        made = own.ask("GET", "/erasures/1").json()
        assert (made["state"], made["pending"]) == ("done", [])
        assert made["removed"]["customers"] == 1
        assert made["removed"]["interactions"] > 1
        assert made["removed"]["editions"] == 1
        until(lambda: own.recs("C-0002")["edition"] == 2)

    def test_is_the_same_when_they_are_erased_again(self, own: Served) -> None:
        assert erase(own) == erase(own)

    def test_tells_a_slip_of_the_pen(self, own: Served) -> None:
        assert erase(own, "C-OOO1")["known"] is False

    def test_names_nobody_and_neither_does_the_audit_trail(self, own: Served) -> None:
        erase(own, "C-0033")

        assert "C-0033" not in own.ask("GET", "/erasures/1").text
        line = own.ask("GET", "/audit").json()[0]
        assert (line["act"], line["detail"]["receipt"]) == ("erase", 1)
        assert "C-0033" not in json.dumps(line)

    def test_is_not_given_for_a_reason_that_names_them(self, own: Served) -> None:
        found = own.ask("DELETE", f"/customers/{WHO}", json={"why": f"{WHO} asked"})

        problem(found, 422, "WHY_NAMES")
        assert own.recs(WHO)["source"] == "personal"

    def test_of_another_tenant_is_none(self, own: Served) -> None:
        erase(own)

        problem(own.ask("GET", "/erasures/1", BETA), 404, "NO_RECEIPT")

    def test_wants_a_reason(self, own: Served) -> None:
        problem(own.ask("DELETE", f"/customers/{WHO}", json={}), 422, "INVALID")


class TestADamagedList:
    def test_of_erased_customers_stops_the_tenant_and_nobody_else(self, own: Served) -> None:
        erase(own)
        uid = own.world.tenant(ACME).uid
        (own.world.config.home / "erased" / uid).write_text("nonsense")

        def refused() -> bool:
            return own.ask("GET", f"/customers/{WHO}/recs").status_code == 503

        until(refused)
        problem(own.ask("GET", f"/customers/{WHO}/recs"), 503, "ERASED_BROKEN")
        assert own.recs(WHO, BETA)["source"] == "personal"


def test_a_lookup_of_a_restored_home_knows_whom_it_must_not_show(
    night: Night, tmp_path: Path
) -> None:
    """The marks lie beside the ledger: the newest of them are put back with any backup."""
    before, after = night.world(tmp_path / "before"), night.world(tmp_path / "after")
    uid = after.tenant(ACME).uid
    after.stores.erased.add(uid, [after.stores.erased.of(uid).of(WHO)])

    (before.config.home / "erased").mkdir()
    (before.config.home / "erased" / uid).write_bytes(
        (after.config.home / "erased" / uid).read_bytes()
    )

    with TestClient(create_app(before.config)) as client:
        served = Served(before, client, night.keys)
        assert served.recs(WHO)["source"] == "popular"
        assert ids(served.recs("C-0002"))
    for world in (before, after):
        world.stores.engine.dispose()
