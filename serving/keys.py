"""API keys over HTTP: a tenant's own, and everybody's."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter

from schema.errors import Refused
from schema.names import Role, TenantId
from schema.records import Caller, Key, Tenant
from serving.bodies import KeyLine, NewKey, NewKeyOfAnybody, Overlap, ShownKey
from serving.control import Denied, Switchboard
from serving.deps import AllStores, Board, TheTenant, WhoAsks
from serving.guard import Guarded
from storage.ledger import no_key
from storage.revoked import revoke
from storage.stores import Stores
from tenants.access import EVERY_TENANT, make_key, successor

router = APIRouter(route_class=Guarded, tags=["keys"])

OF_A_TENANT = "/tenants/{tenant}/keys"


@router.get(OF_A_TENANT, summary="A tenant's keys")
def keys(tenant: TheTenant, stores: AllStores) -> list[KeyLine]:
    """Oldest first; never the secrets."""
    return [_line(key) for key in stores.ledger.keys(tenant.tenant)]


@router.post(OF_A_TENANT, summary="Make a key of this tenant")
def new_key(
    body: NewKey, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> ShownKey:
    """Shown once and kept only as a hash. A tenant's admin makes sellers' keys."""
    return _made(body, tenant.tenant, caller, stores, board)


@router.post(OF_A_TENANT + "/{key}/rotate", summary="Put a new key in the place of one")
def rotate_key(
    key: str, body: Overlap, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> ShownKey:
    """The new one opens at once, the old one ends after the overlap."""
    return _rotated(_key(key, tenant, caller, board), body, caller, stores, board)


@router.delete(OF_A_TENANT + "/{key}", summary="Revoke a key")
def revoke_key(
    key: str, tenant: TheTenant, caller: WhoAsks, stores: AllStores, board: Board
) -> KeyLine:
    """Stops on every worker within a second, also while the ledger is away; for good."""
    return _revoked(_key(key, tenant, caller, board), caller, stores, board)


@router.get("/keys", summary="All keys")
def all_keys(stores: AllStores) -> list[KeyLine]:
    """Oldest first; never the secrets."""
    return [_line(key) for key in stores.ledger.keys(None)]


@router.post("/keys", summary="Make a key of any tenant, or of none")
def new_key_of_anybody(
    body: NewKeyOfAnybody, caller: WhoAsks, stores: AllStores, board: Board
) -> ShownKey:
    """An operator's or auditor's key names no tenant, any other names one."""
    tenant = None if body.tenant is None else stores.ledger.tenant(body.tenant).tenant
    return _made(body, tenant, caller, stores, board)


@router.post("/keys/{key}/rotate", summary="Put a new key in the place of any")
def rotate_any_key(
    key: str, body: Overlap, caller: WhoAsks, stores: AllStores, board: Board
) -> ShownKey:
    """The new one opens at once, the old one ends after the overlap."""
    return _rotated(_key(key, None, caller, board), body, caller, stores, board)


@router.delete("/keys/{key}", summary="Revoke any key")
def revoke_any_key(key: str, caller: WhoAsks, stores: AllStores, board: Board) -> KeyLine:
    """Stops on every worker within a second, also while the ledger is away; for good."""
    return _revoked(_key(key, None, caller, board), caller, stores, board)


def _key(key_id: str, tenant: Tenant | None, caller: Caller, board: Switchboard) -> Key:
    """A key as the one who asks sees it: of the tenant in the path, where one is there."""
    key = board.key(key_id)
    if key is None or (tenant is not None and key.tenant != tenant.tenant):
        raise no_key()
    _refuse_higher(key.role, caller)
    return key


def _refuse_higher(role: Role, caller: Caller) -> None:
    """A tenant's admin handles sellers' keys; only an operator handles any other."""
    if caller.role is not Role.OPERATOR and role is not Role.SELLER:
        raise Denied(
            403, f"the role {caller.role} handles sellers' keys only", "ask an operator", "ROLE"
        )


def _made(
    body: NewKey, tenant: TenantId | None, caller: Caller, stores: Stores, board: Switchboard
) -> ShownKey:
    _refuse_higher(body.role, caller)
    if (tenant is None) != (body.role in EVERY_TENANT):
        raise Refused(
            "an operator's or auditor's key has no tenant, any other needs one",
            "choose a role that fits",
            code="KEY_ROLE",
        )
    now = datetime.now(UTC)
    ends = None if body.days is None else now + timedelta(days=body.days)
    key, shown = make_key(tenant, body.role, body.label, stores.pepper, at=now, expires_at=ends)
    stores.ledger.add_key(key, by=caller.actor)
    board.refresh()
    return ShownKey(**_line(key).model_dump(), key=shown)


def _rotated(
    old: Key, body: Overlap, caller: Caller, stores: Stores, board: Switchboard
) -> ShownKey:
    now = datetime.now(UTC)
    key, shown = successor(old, stores.pepper, at=now)
    until = now + timedelta(hours=body.overlap_hours)
    stores.ledger.rotate_key(old.key_id, key, until, by=caller.actor)
    board.refresh()
    return ShownKey(**_line(key).model_dump(), key=shown)


def _revoked(key: Key, caller: Caller, stores: Stores, board: Switchboard) -> KeyLine:
    try:
        revoke(stores.revoked, stores.ledger, key.key_id, by=caller.actor, at=datetime.now(UTC))
    finally:
        board.follow()
    return _line(stores.ledger.key(key.key_id))


def _line(key: Key) -> KeyLine:
    return KeyLine(
        key_id=key.key_id,
        tenant=key.tenant,
        role=key.role,
        label=key.label,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )
