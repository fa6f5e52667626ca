"""Tokens of a sign-in that really signs them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from schema.config import Oidc
from schema.names import Mode, Role
from serving.app import create_app
from serving.oidc import Issuer
from tests.serving.morning import Night, problem, until
from tests.serving.sign_in import EC, NAME, OURS, ROLES, RSA, SignIn, confused, token
from tests.world import ACME, World


@pytest.fixture
def issuer(sign_in: SignIn) -> Iterator[Issuer]:
    """Looks again for an unknown key after a fiftieth of a second."""
    made = Issuer(sign_in.settings, cooldown_seconds=0.02)
    made.start()
    until(lambda: bool(made._keys))
    yield made
    made.stop()
    made._thread.join()


class TestAToken:
    def test_of_the_issuer_says_who_it_is_whose_and_what_they_may(self, issuer: Issuer) -> None:
        caller = issuer.caller(token())

        assert caller is not None
        assert (caller.actor, caller.tenant, caller.role) == ("oidc u-17", "acme", Role.SELLER)

    def test_may_be_signed_on_a_curve(self, issuer: Issuer) -> None:
        assert issuer.caller(token(EC, "ES256", "curve")) is not None

    @pytest.mark.parametrize("word", ["platform", "audit"])
    def test_of_an_operator_or_auditor_names_no_tenant(self, word: str, issuer: Issuer) -> None:
        caller = issuer.caller(token(role=word, tenant=None))

        assert caller is not None
        assert (caller.tenant, caller.role) == (None, ROLES[word])
        assert issuer.caller(token(role=word)) is None

    def test_may_list_several_words_of_which_the_highest_role_counts(self, issuer: Issuer) -> None:
        caller = issuer.caller(token(role=["staff", "sales", "sales-lead"]))

        assert caller is not None
        assert caller.role is Role.ADMIN

    @pytest.mark.parametrize(
        "wrong",
        [
            {"aud": "another"},
            {"aud": ["another", "third"]},
            {"aud": None},
            {"iss": "https://evil.example"},
            {"iss": None},
            {"exp": int(time.time()) - 60},
            {"exp": None},
            {"nbf": int(time.time()) + 3600},
            {"sub": None},
            {"sub": ""},
            {"sub": "x" * 256},
            {"sub": "u-17\nkey 0a1b2c3d4e5f"},
            {"role": None},
            {"role": "boss"},
            {"role": ["boss", 7, None]},
            {"role": {"sales": True}},
            {"tenant": None},
            {"tenant": 7},
            {"tenant": ["acme", "beta"]},
            {"role": "operator", "tenant": None},
            {"kid": None},
            {"kid": "curve"},
            {"key": RSA[1]},
            {"alg": "RS512"},
            {"key": "", "alg": "none"},
        ],
        ids="+".join,
    )
    def test_that_says_anything_wrong_is_worth_nothing(
        self, wrong: dict[str, Any], issuer: Issuer
    ) -> None:
        assert issuer.caller(token(**wrong)) is None

    def test_signed_with_the_public_key_as_a_secret_is_worth_nothing(self, issuer: Issuer) -> None:
        assert issuer.caller(confused()) is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            "a.b.c",
            "eyJ" + "[" * 9000,
            "é.é.é",
            token() + "x",
            token()[:-9],
            "9" * 9000,
        ],
        ids=lambda text: ascii(text[:9]),
    )
    def test_that_is_none_is_worth_nothing(self, text: str, issuer: Issuer) -> None:
        assert issuer.caller(text) is None


class TestTheIssuersKeys:
    def test_are_fetched_again_when_one_is_not_known(self, sign_in: SignIn, issuer: Issuer) -> None:
        sign_in.keys["two"] = RSA[1]
        new = token(RSA[1], kid="two")

        assert issuer.caller(new) is None  # nobody waits for the issuer
        until(lambda: issuer.caller(new) is not None)

    def test_that_are_gone_open_nothing_any_more(self, sign_in: SignIn, issuer: Issuer) -> None:
        sign_in.keys.pop("one")
        issuer.caller(token(kid="unknown"))

        until(lambda: issuer.caller(token()) is None)

    def test_hold_while_the_issuer_is_away(
        self, sign_in: SignIn, issuer: Issuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        sign_in.away = True
        issuer.caller(token(kid="unknown"))
        until(lambda: "cannot be fetched" in caplog.text)

        assert issuer.caller(token()) is not None

    def test_are_not_asked_for_by_every_unknown_key(self, sign_in: SignIn) -> None:
        patient = Issuer(sign_in.settings)
        patient.start()
        until(lambda: bool(patient._keys))
        for n in range(100):
            patient.caller(token(kid=f"k{n}"))
        patient.stop()
        patient._thread.join()

        assert sign_in.asked == 1


class TestASignIn:
    @pytest.mark.parametrize(
        "half",
        [
            {"issuer": NAME},
            {"issuer": NAME, "audience": OURS, "roles": ROLES},
            {"issuer": NAME, "audience": OURS, "jwks_url": "https://a.example/jwks"},
            {"issuer": NAME, "jwks_url": "https://a.example/jwks", "roles": ROLES},
            {"audience": OURS, "jwks_url": "https://a.example/jwks", "roles": ROLES},
            {"issuer": NAME, "audience": OURS, "jwks_url": "http://a.example/j", "roles": ROLES},
            {"issuer": NAME, "audience": OURS, "jwks_url": "file:///j", "roles": ROLES},
        ],
        ids=lambda half: "+".join(half),
    )
    def test_that_is_half_configured_is_none(self, half: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Oidc(**half)

    def test_opens_its_own_tenant_and_is_named_in_the_audit_trail(
        self, sign_in: SignIn, night: Night, morning: World
    ) -> None:
        config = morning.config.model_copy(update={"oidc": sign_in.settings})
        seller, lead = (
            {"Authorization": f"Bearer {token(role=word)}"} for word in ("sales", "sales-lead")
        )
        change = {"mode": Mode.FREEZE, "why": "a test"}
        with TestClient(create_app(config), raise_server_exceptions=False) as client:
            recs = "/tenants/acme/customers/C-0001/recs"
            until(lambda: client.get(recs, headers=seller).status_code == 200)

            problem(client.put("/tenants/acme/mode", json=change, headers=seller), 403, "ROLE")
            assert client.put("/tenants/acme/mode", json=change, headers=lead).status_code == 200
            foreign = client.get("/tenants/beta/mode", headers=lead)
            problem(foreign, 404, "NO_TENANT")
            assert foreign.content == client.get("/tenants/nobody/mode", headers=lead).content
            bad = {"Authorization": f"Bearer {confused()}"}
            problem(client.get(recs, headers=bad), 401, "NO_KEY")
        assert morning.stores.ledger.audit(ACME)[0]["actor"] == "oidc u-17"
