"""The audit trail: who did what, when and why. Lines are only ever added, and each seals the one
before it.

Every tenant has a chain of its own and the installation (operators' keys) another, so that a
tenant's trail can be shown and checked without a word about anybody else, not even how much they
do. A line's hash is an HMAC under the installation's pepper: who has the database but not the
home can neither change a line nor rewrite what follows it. What no chain can tell by itself is
that its newest lines were cut off; heads that were kept elsewhere can (``Audit.verify``).
"""

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from schema.names import TenantId
from schema.records import AuditLine, Chain
from storage.database import reading
from storage.rows import AUDIT, REVISION, TENANTS

FIRST = 1
"""The number of a chain's first line."""


def note(
    connection: Connection,
    tenant: str | None,
    by: str,
    act: str,
    detail: Mapping[str, Any],
    at: datetime,
) -> None:
    """Add a line to the audit trail, inside the transaction that does the act.

    Raising the revision comes first: its row's lock lets one act at a time read the head of a
    chain and add to it. The pepper is an option of the engine (``storage.stores``), because it is
    a fact of the installation, not of any act.
    """
    connection.execute(update(REVISION).values(number=REVISION.c.number + 1))
    pepper: bytes = connection.get_execution_options()["pepper"]
    newest = select(AUDIT).where(AUDIT.c.tenant == tenant).order_by(AUDIT.c.number.desc()).limit(1)
    last = connection.execute(newest).first()
    number, prev = (last.number + 1, last.hash) if last else (FIRST, root(pepper, tenant))
    sealed = seal(pepper, number, at, tenant, by, act, detail, prev)
    connection.execute(
        insert(AUDIT).values(
            at=at,
            tenant=tenant,
            actor=by,
            act=act,
            detail=dict(detail),
            number=number,
            prev=prev,
            hash=sealed,
        )
    )


def root(pepper: bytes, tenant: str | None) -> str:
    """What the first line of a chain follows; no other chain's line can stand there."""
    return _mac(pepper, ["audit", tenant])


def seal(
    pepper: bytes,
    number: int,
    at: datetime,
    tenant: str | None,
    actor: str,
    act: str,
    detail: Mapping[str, Any],
    prev: str,
) -> str:
    """The hash of a line: HMAC-SHA256, hex, over everything it says and the hash before it."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return _mac(pepper, ["audit", number, moment, tenant, actor, act, dict(detail), prev])


def _mac(pepper: bytes, content: list[Any]) -> str:
    """Canonical JSON, so that what comes back from any database hashes as what went in."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()


class Audit:
    """The trail as it is read."""

    def __init__(self, engine: Engine, pepper: bytes) -> None:
        self._engine, self._pepper = engine, pepper

    def of(
        self,
        tenant: TenantId,
        limit: int = 100,
        acts: Collection[str] = (),
        *,
        before: int | None = None,
    ) -> list[AuditLine]:
        """What was done to a tenant, newest first.

        Args:
            acts: only these; every one if none is named.
            before: only lines of a lower number.
        """
        query = select(AUDIT).where(AUDIT.c.tenant == tenant)
        if acts:
            query = query.where(AUDIT.c.act.in_(acts))
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        return self._lines(query.order_by(AUDIT.c.number.desc()).limit(limit))

    def all(self, limit: int = 100, *, before: int | None = None) -> list[AuditLine]:
        """What was done to anybody, newest first.

        Args:
            before: only lines of a lower id.
        """
        query = select(AUDIT)
        if before is not None:
            query = query.where(AUDIT.c.id < before)
        return self._lines(query.order_by(AUDIT.c.id.desc()).limit(limit))

    def verify(self, heads: Collection[Chain] = ()) -> list[Chain]:
        """Check every line there is.

        Args:
            heads: chains as an earlier check found them; each must still hold its head of then.

        Returns:
            The installation's chain and every tenant's, each with what is wrong with it.
        """
        kept = {chain.tenant: chain for chain in heads}
        with reading(self._engine) as connection:
            owners = connection.execute(select(AUDIT.c.tenant).distinct()).scalars()
            registered = set(connection.execute(select(TENANTS.c.tenant)).scalars())
            named = {*owners, *registered, *kept} - {None}
            return [
                self._check(connection, tenant, tenant in registered, kept.get(tenant))
                for tenant in (None, *sorted(name for name in named if name is not None))
            ]

    def _check(
        self, connection: Connection, tenant: str | None, registered: bool, kept: Chain | None
    ) -> Chain:
        query = select(AUDIT).where(AUDIT.c.tenant == tenant).order_by(AUDIT.c.number, AUDIT.c.id)
        number, head, faults = FIRST - 1, root(self._pepper, tenant), []
        hashes = {number: head}
        try:
            for row in connection.execute(query):
                line = _line(row)
                faults += self._faults(line, number, head)
                number, head = line.number, line.hash
                if kept is not None and number == kept.number:
                    hashes[number] = head
        except ValueError as error:  # no time, or no JSON, where the program wrote one
            faults.append(f"a line after {number} cannot be read: {error}")
        if registered and number < FIRST:
            faults.append("every line is gone")
        if kept is not None and hashes.get(kept.number) != kept.head:
            faults.append(f"line {kept.number} is not the one that was the newest at that check")
        return Chain(tenant, number, head, tuple(faults))

    def _faults(self, line: AuditLine, number: int, head: str) -> list[str]:
        """What is wrong with a line that follows one of this number and hash."""
        mine = seal(
            self._pepper,
            line.number,
            line.at,
            line.tenant,
            line.actor,
            line.act,
            line.detail,
            line.prev,
        )
        if not hmac.compare_digest(mine, line.hash):
            return [f"line {line.number} was changed"]
        if line.number > number + 1:
            first, last = number + 1, line.number - 1
            return [
                f"line {first} is gone" if first == last else f"lines {first} to {last} are gone"
            ]
        if line.prev != head:
            return [f"line {line.number} does not follow the line before it"]
        return []

    def _lines(self, query: Any) -> list[AuditLine]:
        with reading(self._engine) as connection:
            return [_line(row) for row in connection.execute(query)]


def _line(row: Row[Any]) -> AuditLine:
    return AuditLine(
        id=row.id,
        tenant=None if row.tenant is None else TenantId(row.tenant),
        number=row.number,
        at=row.at,
        actor=row.actor,
        act=row.act,
        detail=row.detail,
        prev=row.prev,
        hash=row.hash,
    )
