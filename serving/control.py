"""Who may ask and what each tenant chose, kept in memory so that a lookup never waits for SQL.

A thread asks the ledger for its revision a few times a second and reads the rest only when that
has changed. While the ledger is away, the last known state answers.
"""

import hashlib
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from schema.errors import NotThere
from schema.names import Role
from schema.records import Caller, Control, Key, Tenant
from storage.ledger import Ledger
from storage.revoked import Revoked
from tenants.access import PREFIX, holder, sees

log = logging.getLogger("recfactory.serving")


class Denied(Exception):
    """Not this key, not this role, not so much or not now: 4xx, or 503.

    Args:
        retry_after: seconds; 0 where coming again would change nothing.
    """

    def __init__(
        self, status: int, what: str, next_step: str, code: str, retry_after: float = 0
    ) -> None:
        super().__init__(status, what, next_step, code, retry_after)
        self.status, self.what, self.next_step, self.code = status, what, next_step, code
        self.retry_after = retry_after


class Tokens(Protocol):
    """Whoever knows what a bearer token is worth (``serving.oidc``)."""

    def caller(self, token: str) -> Caller | None:
        """Who it is about; None where it is not good."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is in force as of one moment; replaced whole, so that nothing proved outlives it."""

    control: Control
    revoked: frozenset[str]
    proven: dict[bytes, tuple[Key, Caller]] = field(default_factory=dict)


class Switchboard:
    """The control state in force, refreshed in the background."""

    def __init__(
        self,
        ledger: Ledger,
        revoked: Revoked,
        pepper: bytes,
        refresh_seconds: float,
        tokens: Tokens | None = None,
    ) -> None:
        self._tokens = tokens
        self._ledger, self._revoked = ledger, revoked
        self._pepper, self._seconds = pepper, refresh_seconds
        self._known = _Known(ledger.control(), revoked.ids())
        self.reachable = True
        """Whether the ledger answered when it was last asked."""
        self.used: dict[str, datetime] = {}
        """When each key was last used, here."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def refresh(self) -> None:
        """Read the state again if it has changed."""
        with self._lock:  # or a slow reader could put an older state over a newer one
            revoked = self._revoked.ids()
            if revoked != self._known.revoked:  # before the ledger, which may be away
                self._known = _Known(self._known.control, revoked)
            if self._ledger.revision() != self._known.control.revision:
                self._known = _Known(self._ledger.control(), revoked)

    def caller(self, presented: str | None) -> Caller:
        """Who asks.

        Args:
            presented: what the Authorization header bears: "rf_…", or a token.

        Raises:
            Denied: 401, whatever is wrong with it.
        """
        caller = None
        if presented is not None and presented.startswith(PREFIX):
            caller = self._holder(presented)
        elif presented is not None and self._tokens is not None:
            caller = self._tokens.caller(presented)
        if caller is not None:
            return caller
        raise Denied(
            401,
            "there is no valid key in the Authorization header",
            "send `Authorization: Bearer rf_…`; an admin makes keys with `recfactory key create`",
            "NO_KEY",
        )

    def _holder(self, presented: str) -> Caller | None:
        """Who holds a key; what was proved once is remembered, by its hash, until anything changes."""
        known, now = self._known, datetime.now(UTC)
        proof = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
        found = known.proven.get(proof)
        if found is None:
            key = holder(presented, known.control.keys, self._pepper, now=now)
            if key is None or key.key_id in known.revoked:
                return None
            found = key, Caller(f"key {key.key_id}", key.tenant, key.role)
            known.proven[proof] = found
        key, caller = found
        if key.expires_at is not None and key.expires_at <= now:
            return None
        self.used[key.key_id] = now
        return caller

    def tenant(self, name: str, caller: Caller, roles: Collection[Role]) -> Tenant:
        """The tenant in the path, as the one who asks sees it.

        Args:
            roles: who may do what is asked for, the least of them first.

        Raises:
            NotThere: no such tenant, or not theirs: the two look alike.
            Denied: 403, their role may not do this.
        """
        tenant = self._known.control.tenants.get(name)
        if tenant is None or not sees(caller, name):
            raise NotThere(
                "there is no such tenant", "check the tenant in the address", code="NO_TENANT"
            )
        self.allow(caller, roles)
        return tenant

    def allow(self, caller: Caller, roles: Collection[Role]) -> None:
        """Let pass whose role may do what is asked for.

        Raises:
            Denied: 403.
        """
        if caller.role not in roles:
            raise Denied(
                403,
                f"the role {caller.role} may not do this",
                f"ask for a key with the role {next(iter(roles))}",
                "ROLE",
            )

    @property
    def tenants(self) -> list[Tenant]:
        return list(self._known.control.tenants.values())

    def key(self, key_id: str) -> Key | None:
        """A key as it is kept; as last known while the ledger is away."""
        self.follow()
        return self._known.control.keys.get(key_id)

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            self.follow()

    def follow(self) -> None:
        """Refresh; while the ledger is away, keep what is known and say so once."""
        try:
            self.refresh()
            self.reachable = True
        except Exception as error:  # whatever the database does, lookups go on
            if self.reachable:
                log.warning("the ledger cannot be read (%s); the last known state answers", error)
            self.reachable = False
