"""Who may ask and what each tenant chose, kept in memory so that a lookup never waits for SQL.

A thread asks the ledger for its revision a few times a second and reads the rest only when that
has changed. While the ledger is away, the last known state answers.
"""

import logging
import threading
from datetime import UTC, datetime

from schema.errors import NotThere
from schema.names import Role
from schema.records import Control, Key, Tenant
from storage.ledger import Ledger
from tenants.access import holder, may, sees

log = logging.getLogger("recfactory.serving")


class Denied(Exception):
    """Not this key, or not this role: 401 or 403."""

    def __init__(self, status: int, what: str, next_step: str, code: str) -> None:
        super().__init__(status, what, next_step, code)
        self.status, self.what, self.next_step, self.code = status, what, next_step, code


class Switchboard:
    """The control state in force, refreshed in the background."""

    def __init__(self, ledger: Ledger, pepper: bytes, refresh_seconds: float) -> None:
        self._ledger, self._pepper, self._seconds = ledger, pepper, refresh_seconds
        self._control: Control = ledger.control()
        self.reachable = True
        """Whether the ledger answered when it was last asked."""
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
            if self._ledger.revision() != self._control.revision:
                self._control = self._ledger.control()

    def key(self, presented: str | None) -> Key:
        """Who asks.

        Args:
            presented: what the Authorization header bears, "rf_…".

        Raises:
            Denied: 401, whatever is wrong with it.
        """
        if presented is not None:
            now = datetime.now(UTC)
            key = holder(presented.strip(), self._control.keys, self._pepper, now=now)
            if key is not None:
                return key
        raise Denied(
            401,
            "there is no valid key in the Authorization header",
            "send `Authorization: Bearer rf_…`; an admin makes keys with `recfactory key create`",
            "NO_KEY",
        )

    def tenant(self, name: str, key: Key, role: Role) -> Tenant:
        """The tenant in the path, as the holder of a key sees it.

        Raises:
            NotThere: no such tenant, or not theirs: the two look alike.
            Denied: 403, their role may not do this.
        """
        tenant = self._control.tenants.get(name)
        if tenant is None or not sees(key, name):
            raise NotThere(
                "there is no such tenant", "check the tenant in the address", code="NO_TENANT"
            )
        if not may(key, role):
            raise Denied(
                403,
                f"a key with the role {key.role} may not do this",
                f"ask for a key with the role {role}",
                "ROLE",
            )
        return tenant

    @property
    def tenants(self) -> list[Tenant]:
        return list(self._control.tenants.values())

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.refresh()
                self.reachable = True
            except Exception as error:  # whatever the database does, lookups go on
                if self.reachable:
                    log.warning(
                        "the ledger cannot be read (%s); the last known state answers", error
                    )
                self.reachable = False
