"""A sign-in for tests: signs tokens with keys of its own, and serves their public halves over HTTP."""

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schema.config import Oidc
from schema.names import Role

NAME, OURS = "https://sign-in.example", "recfactory"
ROLES = {
    "sales": Role.SELLER,
    "sales-lead": Role.ADMIN,
    "platform": Role.OPERATOR,
    "audit": Role.AUDITOR,
}
RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
EC = ec.generate_private_key(ec.SECP256R1())


class SignIn:
    """Signs tokens and publishes the public halves of its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"one": RSA[0], "curve": EC}
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
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
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


def token(key: Any = RSA[0], alg: str = "RS256", kid: str | None = "one", **claims: Any) -> str:
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
        RSA[0]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body, _ = token().split(".")
    head = (
        base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one","typ":"JWT"}').rstrip(b"=").decode()
    )
    mac = hmac.digest(public, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
