"""Bearer tokens of the operator's own sign-in (OpenID Connect), beside API keys.

A lookup never waits for the issuer: a thread fetches its keys, and the last known ones hold while
it is away. A token signed by a key not known yet is refused, and the keys are fetched again soon.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

import jwt

from schema.config import Oidc
from schema.names import Role, TenantId
from schema.records import Caller
from tenants.access import EVERY_TENANT

log = logging.getLogger("recfactory.access")

ALGORITHMS = ("RS256", "ES256")
"""Never taken from the token: a public key must not serve as the secret of an HMAC."""

LEEWAY_SECONDS = 10
_RANK = list(Role)


class Issuer:
    """Who a token is about, by the keys of the one who issues tokens."""

    def __init__(
        self, settings: Oidc, *, every_seconds: float = 300, cooldown_seconds: float = 30
    ) -> None:
        self._settings = settings
        self._every, self._cooldown = every_seconds, cooldown_seconds
        # No cache of its own: what was fetched last is kept here.
        self._client = jwt.PyJWKClient(settings.jwks_url, cache_jwk_set=False, timeout=3)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._wanted, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="oidc", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Its thread may still wait for the issuer, and holds nothing up."""
        self._stop.set()
        self._wanted.set()

    def caller(self, token: str) -> Caller | None:
        """Who the token is about; None where it is not good, or says no role and tenant of ours."""
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                self._wanted.set()
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        return self._read(claims)

    def _read(self, claims: Mapping[str, Any]) -> Caller | None:
        said = claims.get(self._settings.role_claim)
        roles = [
            self._settings.roles[word]
            for word in (said if isinstance(said, list) else [said])
            if isinstance(word, str) and word in self._settings.roles
        ]
        tenant, subject = claims.get(self._settings.tenant_claim), claims["sub"]
        if not roles or not subject.isprintable() or not 1 <= len(subject) <= 255:
            return None
        role = max(roles, key=_RANK.index)
        fits = tenant is None if role in EVERY_TENANT else isinstance(tenant, str)
        if not fits:
            return None
        return Caller(f"oidc {subject}", None if tenant is None else TenantId(tenant), role)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._wanted.clear()
            self._fetch()
            self._stop.wait(self._cooldown)
            self._wanted.wait(max(0, self._every - self._cooldown))

    def _fetch(self) -> None:
        try:
            keys = self._client.get_signing_keys()
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.warning("the issuer's keys cannot be fetched (%s); the last known hold", error)
        else:
            self._keys = {key.key_id: key for key in keys if key.key_id}
