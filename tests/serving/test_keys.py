from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response

from schema.names import Role, TenantId
from tests.serving.morning import Served, problem, until
from tests.world import ACME, BETA


def ask(own: Served, method: str, path: str, role: Role = Role.OPERATOR, **more: Any) -> Response:
    """Ask outside any tenant's address."""
    headers = {"Authorization": f"Bearer {own.keys[None, role]}"}
    return own.client.request(method, path, headers=headers, **more)


def made(own: Served, tenant: TenantId = ACME, **body: Any) -> dict[str, Any]:
    """A key of a tenant, made by its admin."""
    found = own.ask("POST", "/keys", tenant, json=body)
    assert found.status_code == 200, found.text
    shown: dict[str, Any] = found.json()
    return shown


def opens(own: Served, key: str, tenant: TenantId = ACME) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return own.client.get(f"/tenants/{tenant}/customers/C-0001/recs", headers=headers).status_code


class TestANewKey:
    def test_opens_at_once_its_own_tenant_only(self, own: Served) -> None:
        key = made(own, label="call centre")["key"]

        assert (opens(own, key), opens(own, key, BETA)) == (200, 404)

    def test_is_a_sellers_and_never_shown_again(self, own: Served) -> None:
        shown = made(own, label="call centre")

        [line] = [
            each for each in own.ask("GET", "/keys").json() if each["key_id"] == shown["key_id"]
        ]
        assert {**line, "key": shown["key"]} == shown
        assert (line["tenant"], line["role"], line["label"]) == (ACME, "seller", "call centre")

    def test_ends_after_its_days(self, own: Served) -> None:
        shown = made(own, days=30)

        lasts = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=29) < lasts <= timedelta(days=30)

    def test_of_an_admin_is_made_by_operators_only(self, own: Served) -> None:
        problem(own.ask("POST", "/keys", json={"role": "admin"}), 403, "ROLE")
        found = own.ask("POST", "/keys", role=Role.OPERATOR, json={"role": "admin"})
        assert found.json()["role"] == "admin"

    @pytest.mark.parametrize("role", ["operator", "auditor"])
    def test_of_a_tenant_never_opens_every_tenant(self, role: str, own: Served) -> None:
        found = own.ask("POST", "/keys", role=Role.OPERATOR, json={"role": role})

        problem(found, 422, "KEY_ROLE")

    @pytest.mark.parametrize(
        "body", [{"role": "boss"}, {"days": 0}, {"days": 10**9}, {"label": "x" * 201}]
    )
    def test_that_makes_no_sense_is_refused(self, body: dict[str, Any], own: Served) -> None:
        problem(own.ask("POST", "/keys", json=body), 422, "INVALID")

    def test_of_anybody_is_an_operators_act(self, own: Served) -> None:
        auditor = ask(own, "POST", "/keys", json={"role": "auditor"}).json()
        seller = ask(own, "POST", "/keys", json={"tenant": BETA}).json()

        assert (auditor["tenant"], seller["tenant"]) == (None, BETA)
        assert opens(own, seller["key"], BETA) == 200
        assert opens(own, auditor["key"]) == 403
        problem(ask(own, "POST", "/keys", json={"tenant": "nobody"}), 404, "NO_TENANT")
        problem(ask(own, "POST", "/keys", json={}), 422, "KEY_ROLE")


class TestTheListOfKeys:
    def test_of_a_tenant_is_its_own(self, own: Served) -> None:
        assert {line["tenant"] for line in own.ask("GET", "/keys").json()} == {ACME}

    def test_of_all_is_an_operators(self, own: Served) -> None:
        assert {line["tenant"] for line in ask(own, "GET", "/keys").json()} == {ACME, BETA, None}

    def test_never_shows_a_digest(self, own: Served) -> None:
        [key] = [k for k in own.world.stores.ledger.keys(ACME) if k.role is Role.SELLER]

        assert key.key_id in own.ask("GET", "/keys").text
        assert key.digest not in own.ask("GET", "/keys").text

    def test_says_when_each_was_last_used(self, own: Served) -> None:
        board = own.client.app.state.switchboard  # type: ignore[attr-defined]
        own.recs()
        own.world.stores.ledger.note_uses(dict(board.used))

        used = {line["role"]: line["last_used_at"] for line in own.ask("GET", "/keys").json()}

        assert used["seller"] is not None


class TestRotation:
    def test_leaves_both_keys_open_during_the_overlap(self, own: Served) -> None:
        old = made(own, label="till")

        new = own.ask("POST", f"/keys/{old['key_id']}/rotate", json={}).json()

        assert (new["tenant"], new["role"], new["label"]) == (ACME, "seller", "till")
        assert (opens(own, old["key"]), opens(own, new["key"])) == (200, 200)
        [line] = [k for k in own.ask("GET", "/keys").json() if k["key_id"] == old["key_id"]]
        left = datetime.fromisoformat(line["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=23) < left <= timedelta(hours=24)

    def test_ends_the_old_one_after_it(self, own: Served) -> None:
        old = made(own)

        new = own.ask("POST", f"/keys/{old['key_id']}/rotate", json={"overlap_hours": 0}).json()

        assert (opens(own, old["key"]), opens(own, new["key"])) == (401, 200)

    def test_of_a_key_that_has_ended_is_refused(self, own: Served) -> None:
        old = made(own)
        own.ask("DELETE", f"/keys/{old['key_id']}")

        found = own.ask("POST", f"/keys/{old['key_id']}/rotate", json={})

        problem(found, 422, "KEY_ENDED")


class TestARevokedKey:
    def test_stops_before_the_answer_is_sent(self, own: Served) -> None:
        key = made(own)

        found = own.ask("DELETE", f"/keys/{key['key_id']}")

        assert found.json()["revoked_at"] is not None
        assert opens(own, key["key"]) == 401

    def test_stops_although_the_ledger_is_away(self, own: Served) -> None:
        key = made(own)["key"]
        key_id = key.removeprefix("rf_").partition(".")[0]
        home = own.world.config.home
        own.client.app.state.stores.engine.dispose()  # type: ignore[attr-defined]
        (home / "ledger.db").rename(home / "elsewhere.db")
        (home / "ledger.db").mkdir()
        assert opens(own, key) == 200

        problem(own.ask("DELETE", f"/keys/{key_id}"), 503, "LEDGER")

        assert opens(own, key) == 401
        assert opens(own, own.keys[ACME, Role.SELLER]) == 200

    def test_stops_on_every_server_that_shares_the_home(self, own: Served) -> None:
        key = made(own)["key"]

        own.world.stores.revoked.add(key.removeprefix("rf_").partition(".")[0])

        until(lambda: opens(own, key) == 401)


class TestAnAdmin:
    @pytest.mark.parametrize(("method", "end"), [("POST", "/rotate"), ("DELETE", "")])
    def test_touches_no_key_of_another_tenant_and_cannot_tell_it_from_none(
        self, method: str, end: str, own: Served
    ) -> None:
        theirs = made(own, BETA)
        body: dict[str, Any] | None = {} if method == "POST" else None

        found, absent = (
            own.ask(method, f"/keys/{key}{end}", json=body)
            for key in (theirs["key_id"], "0123456789ab")
        )

        problem(found, 404, "NO_SUCH_KEY")
        assert (found.content, found.headers) == (absent.content, absent.headers)
        assert opens(own, theirs["key"], BETA) == 200

    @pytest.mark.parametrize(("method", "end"), [("POST", "/rotate"), ("DELETE", "")])
    def test_touches_no_admins_key(self, method: str, end: str, own: Served) -> None:
        [admin] = [k for k in own.world.stores.ledger.keys(ACME) if k.role is Role.ADMIN]

        body: dict[str, Any] | None = {} if method == "POST" else None
        problem(own.ask(method, f"/keys/{admin.key_id}{end}", json=body), 403, "ROLE")
        assert own.ask("GET", "/mode").status_code == 200


def test_every_act_is_in_the_audit_trail_with_who_did_it(own: Served) -> None:
    [admin] = [k for k in own.world.stores.ledger.keys(ACME) if k.role is Role.ADMIN]
    key = made(own)
    own.ask("POST", f"/keys/{key['key_id']}/rotate", json={})
    own.ask("DELETE", f"/keys/{key['key_id']}")

    told = [(line["act"], line["actor"]) for line in own.world.stores.ledger.audit(ACME, 3)]

    by = f"key {admin.key_id}"
    assert told == [("key revoked", by), ("key rotated", by), ("key created", by)]
