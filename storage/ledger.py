"""Tenants, modes, rules and keys: verbs over SQL.

Every act is noted in the audit trail in the same transaction, which also raises ``revision``, by
which serving notices it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from schema.errors import NotThere, Refused
from schema.names import Action, Mode, ProductId, Role, TenantId
from schema.records import Control, Key, Rule, Tenant
from schema.rules import admit
from storage.audit import note
from storage.database import patiently, reading
from storage.rows import KEY_USES, KEYS, REVISION, RULES, TENANTS


class Ledger:
    """Who our tenants are and what they chose."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(
        self, tenant: TenantId, uid: str, title: str, timezone: str, *, by: str, at: datetime
    ) -> Tenant:
        """Add a tenant, on, with the template's settings.

        Raises:
            Refused: the name is taken (``TENANT_EXISTS``).
        """
        try:
            self.register_all([(tenant, uid, title)], timezone, by=by, at=at)
        except IntegrityError as error:
            raise Refused(
                f"tenant {tenant} exists already", "choose another name", code="TENANT_EXISTS"
            ) from error
        return self.tenant(tenant)

    def register_all(
        self,
        tenants: Sequence[tuple[TenantId, str, str]],
        timezone: str,
        *,
        by: str,
        at: datetime,
    ) -> None:
        """Add many new tenants of one time zone at once: (name, uid, title) of each."""
        with self._engine.begin() as connection:
            for tenant, uid, title in tenants:
                row = {"tenant": tenant, "uid": uid, "title": title, "timezone": timezone}
                begin = {"mode": Mode.ON.value, "changes": {}, "fence": 0, "created_at": at}
                connection.execute(insert(TENANTS).values(**row, **begin))
                note(connection, tenant, by, "register", {"title": title, "timezone": timezone}, at)

    def tenant(self, tenant: str) -> Tenant:
        """One tenant by name.

        Raises:
            NotThere: no such tenant.
        """
        with reading(self._engine) as connection:
            row = connection.execute(_HERE.where(TENANTS.c.tenant == tenant)).first()
            rules = _rules(connection, [tenant])
        if row is None:
            raise no_tenant(tenant)
        return _tenant(row, rules)

    def named(self, names: Sequence[TenantId]) -> dict[TenantId, Tenant]:
        """These tenants by name; one that does not exist is left out. Nights ask, and can wait."""

        def found() -> dict[TenantId, Tenant]:
            with reading(self._engine) as connection:
                return every(connection, names)

        return patiently(self._engine, found)

    def tenants(self) -> list[Tenant]:
        with reading(self._engine) as connection:
            rows = connection.execute(_HERE.order_by(TENANTS.c.tenant)).all()
            rules = _rules(connection)
        return [_tenant(row, rules) for row in rows]

    def change_mode(
        self, tenant: TenantId, mode: Mode, *, by: str, why: str, at: datetime
    ) -> tuple[Mode, Mode]:
        """Switch a tenant; the row lock makes a night that publishes right now come before it.

        Returns:
            What it was, and what it is.
        """
        with self._engine.begin() as connection:
            was = locked(connection, tenant)
            connection.execute(
                update(TENANTS).where(TENANTS.c.tenant == tenant).values(mode=mode.value)
            )
            detail = {"was": was.mode.value, "mode": mode.value, "why": why}
            note(connection, tenant, by, "mode", detail, at)
        return was.mode, mode

    def change_settings(
        self, tenant: TenantId, changes: Mapping[str, Any], *, by: str, at: datetime
    ) -> None:
        """Keep the tenant's own settings; they were checked by ``schema.settings.with_changes``."""
        with self._engine.begin() as connection:
            was = locked(connection, tenant)
            connection.execute(
                update(TENANTS).where(TENANTS.c.tenant == tenant).values(changes=dict(changes))
            )
            detail = {"was": dict(was.changes), "changes": dict(changes)}
            note(connection, tenant, by, "settings", detail, at)

    def change_mapping(
        self, tenant: TenantId, mapping: Mapping[str, Any], *, by: str, why: str, at: datetime
    ) -> None:
        """Keep how the tenant's files look; it was checked by ``schema.mapping.declared``."""
        with self._engine.begin() as connection:
            was = locked(connection, tenant)
            connection.execute(
                update(TENANTS).where(TENANTS.c.tenant == tenant).values(mapping=dict(mapping))
            )
            detail = {"was": dict(was.mapping), "mapping": dict(mapping), "why": why}
            note(connection, tenant, by, "mapping", detail, at)

    def release(self, tenant: TenantId, *, by: str, at: datetime) -> None:
        """End the hold of a rollback: the next night publishes again."""
        with self._engine.begin() as connection:
            locked(connection, tenant)
            connection.execute(
                update(TENANTS).where(TENANTS.c.tenant == tenant).values(held_until=None)
            )
            note(connection, tenant, by, "release", {}, at)

    def add_rule(self, tenant: TenantId, rule: Rule, *, at: datetime) -> Rule:
        """Keep a rule under the tenant's next number.

        Raises:
            Refused: it does not go with the rules there are (``schema.rules.admit``).
        """
        with self._engine.begin() as connection:
            admit(rule, locked(connection, tenant).rules, at)
            query = select(func.max(RULES.c.rule)).where(RULES.c.tenant == tenant)
            rule = replace(rule, number=(connection.execute(query).scalar() or 0) + 1)
            row = {
                "rule": rule.number,
                "action": rule.action.value,
                "product": rule.product,
                "category": rule.category,
                "value": rule.value,
                "why": rule.why,
            }
            connection.execute(
                insert(RULES).values(
                    tenant=tenant,
                    created_by=rule.created_by,
                    created_at=rule.created_at,
                    expires_at=rule.expires_at,
                    **row,
                )
            )
            ends = rule.expires_at.isoformat() if rule.expires_at else None
            detail = {**row, "expires_at": ends}
            note(connection, tenant, rule.created_by, "rule added", detail, at)
        return rule

    def remove_rule(self, tenant: TenantId, number: int, *, by: str, at: datetime) -> Rule:
        """Take a rule away, and return what it was.

        Raises:
            NotThere: the tenant has no such rule (any more).
        """
        with self._engine.begin() as connection:
            rules = {rule.number: rule for rule in locked(connection, tenant).rules}
            if number not in rules:
                raise NotThere(
                    f"there is no rule {number}", f"see `recfactory rule list {tenant}`", "NO_RULE"
                )
            connection.execute(
                update(RULES)
                .where(RULES.c.tenant == tenant, RULES.c.rule == number)
                .values(removed_at=at)
            )
            note(connection, tenant, by, "rule removed", {"rule": number}, at)
        return rules[number]

    def add_key(self, key: Key, *, by: str) -> None:
        with self._engine.begin() as connection:
            if key.tenant is not None:
                locked(connection, key.tenant)
            _insert(connection, key)
            detail = {"key": key.key_id, "role": key.role.value, "label": key.label}
            note(connection, key.tenant, by, "key created", detail, key.created_at)

    def rotate_key(self, key_id: str, successor: Key, until: datetime, *, by: str) -> Key:
        """Put another key in a key's place; both open until the overlap is over.

        Args:
            successor: of the same tenant and role.
            until: the end of the old one, unless it ends before.

        Returns:
            The old key as it is now.

        Raises:
            NotThere: no such key.
            Refused: it was revoked, or its time is over (``KEY_ENDED``).
        """
        at = successor.created_at
        with self._engine.begin() as connection:
            old = _found(connection, key_id)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= at):
                raise Refused("the key has ended", "make a new one", code="KEY_ENDED")
            ends = until if old.expires_at is None else min(until, old.expires_at)
            connection.execute(update(KEYS).where(KEYS.c.key_id == key_id).values(expires_at=ends))
            _insert(connection, successor)
            detail = {"key": key_id, "by": successor.key_id, "until": ends.isoformat()}
            note(connection, old.tenant, by, "key rotated", detail, at)
        return replace(old, expires_at=ends)

    def revoke_key(self, key_id: str, *, by: str, at: datetime) -> None:
        """Stop a key; again changes nothing.

        Raises:
            NotThere: no such key.
        """
        with self._engine.begin() as connection:
            key = _found(connection, key_id)
            if key.revoked_at is None:
                connection.execute(
                    update(KEYS).where(KEYS.c.key_id == key_id).values(revoked_at=at)
                )
                note(connection, key.tenant, by, "key revoked", {"key": key_id}, at)

    def key(self, key_id: str) -> Key:
        """One key.

        Raises:
            NotThere: no such key.
        """
        with reading(self._engine) as connection:
            return _found(connection, key_id)

    def keys(self, tenant: TenantId | None = None) -> list[Key]:
        """All keys, or one tenant's."""
        query = _KEYS.order_by(KEYS.c.created_at)
        if tenant is not None:
            query = query.where(KEYS.c.tenant == tenant)
        with reading(self._engine) as connection:
            return [_key(row) for row in connection.execute(query).all()]

    def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Keep when keys were last used; a later moment that somebody else told stays."""
        with self._engine.begin() as connection:
            rows = connection.execute(select(KEY_USES)).all()
            known = {row.key_id: row.last_used_at for row in rows}
            for key_id, at in uses.items():
                if key_id not in known:
                    connection.execute(insert(KEY_USES).values(key_id=key_id, last_used_at=at))
                elif known[key_id] < at:
                    connection.execute(
                        update(KEY_USES).where(KEY_USES.c.key_id == key_id).values(last_used_at=at)
                    )

    def revision(self) -> int:
        with reading(self._engine) as connection:
            return int(connection.execute(select(REVISION.c.number)).scalar_one())

    def control(self) -> Control:
        """Everything serving has to know, as of one moment."""
        with reading(self._engine) as connection:
            revision = connection.execute(select(REVISION.c.number)).scalar_one()
            tenants = connection.execute(_HERE).all()
            rules = _rules(connection)
            keys = connection.execute(_KEYS).all()
        return Control(
            revision,
            {row.tenant: _tenant(row, rules) for row in tenants},
            {row.key_id: _key(row) for row in keys},
        )


def no_tenant(tenant: str) -> NotThere:
    return NotThere(
        f"there is no tenant {tenant[:80]!r}", "see `recfactory tenant list`", code="NO_TENANT"
    )


def no_key() -> NotThere:
    return NotThere("there is no such key", "see `recfactory key list`", code="NO_SUCH_KEY")


def locked(connection: Connection, tenant: TenantId) -> Tenant:
    query = _HERE.where(TENANTS.c.tenant == tenant).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise no_tenant(tenant)
    return _tenant(row, _rules(connection, [tenant]))


def every(
    connection: Connection, names: Sequence[TenantId], *, lock: bool = False
) -> dict[TenantId, Tenant]:
    """These tenants by name; one that does not exist is left out."""
    query = _HERE.where(TENANTS.c.tenant.in_(names)).order_by(TENANTS.c.tenant)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    rules = _rules(connection, names)
    return {TenantId(row.tenant): _tenant(row, rules) for row in rows}


def all_locked(connection: Connection, names: Sequence[TenantId]) -> dict[TenantId, Tenant]:
    """As ``every``, their rows locked, always in one order: two who lock several never wait in a ring."""
    return every(connection, names, lock=True)


_HERE = select(TENANTS).where(TENANTS.c.left_at.is_(None))
"""Who left is nobody's tenant any more, though its row stays (``storage.leaving``)."""

_KEYS = select(KEYS, KEY_USES.c.last_used_at).outerjoin(KEY_USES)


def _found(connection: Connection, key_id: str) -> Key:
    row = connection.execute(_KEYS.where(KEYS.c.key_id == key_id)).first()
    if row is None:
        raise no_key()
    return _key(row)


def _insert(connection: Connection, key: Key) -> None:
    connection.execute(
        insert(KEYS).values(
            key_id=key.key_id,
            tenant=key.tenant,
            role=key.role.value,
            label=key.label,
            digest=key.digest,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
    )


def _rules(connection: Connection, tenants: Sequence[str] | None = None) -> dict[str, list[Rule]]:
    """Rules that were not removed, by tenant and number: of these tenants, or of all."""
    query = select(RULES).where(RULES.c.removed_at.is_(None)).order_by(RULES.c.rule)
    if tenants is not None:
        query = query.where(RULES.c.tenant.in_(tenants))
    rules: dict[str, list[Rule]] = {}
    for row in connection.execute(query).all():
        rules.setdefault(row.tenant, []).append(_rule(row))
    return rules


def _rule(row: Row[Any]) -> Rule:
    return Rule(
        number=row.rule,
        action=Action(row.action),
        product=None if row.product is None else ProductId(row.product),
        category=row.category,
        value=row.value,
        why=row.why,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _tenant(row: Row[Any], rules: Mapping[str, list[Rule]]) -> Tenant:
    return Tenant(
        tenant=TenantId(row.tenant),
        uid=row.uid,
        title=row.title,
        timezone=row.timezone,
        mode=Mode(row.mode),
        changes=row.changes,
        mapping=row.mapping or {},
        model=row.model,
        held_until=row.held_until,
        rules=tuple(rules.get(row.tenant, ())),
    )


def _key(row: Row[Any]) -> Key:
    return Key(
        key_id=row.key_id,
        tenant=None if row.tenant is None else TenantId(row.tenant),
        role=Role(row.role),
        label=row.label,
        digest=row.digest,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
