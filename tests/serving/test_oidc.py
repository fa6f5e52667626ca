"""Tokens of a sign-in: a real issuer that signs, and serves its keys over HTTP."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi.testclient import TestClient
from pydantic import ValidationError

from schema.config import Oidc
from schema.names import Mode, Role
from serving.app import create_app
from serving.oidc import Issuer
from tests.serving.morning import Night, problem, until
from tests.world import ACME, World

NAME, OURS = "https://sign-in.example", "recfactory"
ROLES = {
    "sales": Role.SELLER,
    "sales-lead": Role.ADMIN,
    "platform": Role.OPERATOR,
    "audit": Role.AUDITOR,
}
_RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
_EC = ec.generate_private_key(ec.SECP256R1())


class SignIn:
    """Signs tokens and publishes the public halves of its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"one": _RSA[0], "curve": _EC}
        self.asked, self.away = 0, False
        sign_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sign_in.asked += 1
                self.send_response(503 if sign_in.away else 200)
                self.end_headers()
                if not sign_in.away:
                    self.wfile.write(json.dumps({"keys": sign_in.published()}).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def settings(self) -> Oidc:
        port = self._server.server_port
        return Oidc(
            issuer=NAME, audience=OURS, jwks_url=f"http://127.0.0.1:{port}/jwks", roles=ROLES
        )

    def published(self) -> list[dict[str, Any]]:
        kinds = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
        found = []
        for kid, key in self.keys.items():
            name = next(alg for kind, alg in kinds.items() if isinstance(key, kind))
            algorithm: Any = jwt.get_algorithm_by_name(name)
            found.append({**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid})
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def token(key: Any = _RSA[0], alg: str = "RS256", kid: str | None = "one", **claims: Any) -> str:
    """A good seller's token of acme, but for what is said; a claim that is None is left out."""
    now = int(time.time())
    body = {"iss": NAME, "aud": OURS, "sub": "u-17", "exp": now + 60, "iat": now}
    body |= {"tenant": "acme", "role": "sales"} | claims
    headers = None if kid is None else {"kid": kid}
    said = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(said, key, algorithm=alg, headers=headers)


def confused() -> str:
    """Signed by HMAC with the public key for a secret, which everybody knows."""
    public = (
        _RSA[0]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body, _ = token().split(".")
    head = (
        base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one","typ":"JWT"}').rstrip(b"=").decode()
    )
    mac = hmac.digest(public, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.fixture
def sign_in() -> Iterator[SignIn]:
    made = SignIn()
    yield made
    made.close()


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
        assert issuer.caller(token(_EC, "ES256", "curve")) is not None

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
            {"key": _RSA[1]},
            {"alg": "RS512"},
            {"key": "", "alg": "none"},
        ],
        ids=str,
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
        sign_in.keys["two"] = _RSA[1]
        new = token(_RSA[1], kid="two")

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
        assert morning.stores.audit.of(ACME, 1)[0].actor == "oidc u-17"
