"""API keys and roles: make, check.

A key is ``rf_<key id>.<secret>``: the id finds the row, the secret has 256 random bits and a
checksum, by which scanners of source code and logs know a key from a chance. Only an HMAC of the
secret under the installation's pepper is kept, so a copied ledger opens nothing.
"""

import hmac
import secrets
import zlib
from collections.abc import Mapping
from datetime import datetime

from schema.names import Role, TenantId
from schema.records import Caller, Key

PREFIX = "rf_"
_CHECK = 8
"""Hexadecimal digits of CRC-32 at a key's end."""
EVERY_TENANT = frozenset({Role.OPERATOR, Role.AUDITOR})
"""The roles that belong to no tenant."""


def make_key(
    tenant: TenantId | None,
    role: Role,
    label: str,
    pepper: bytes,
    *,
    at: datetime,
    expires_at: datetime | None = None,
) -> tuple[Key, str]:
    """Make a key.

    Args:
        tenant: whose; None for an operator or auditor, and for nobody else.

    Returns:
        What is kept, and the text to show once.
    """
    if (tenant is None) != (role in EVERY_TENANT):
        raise ValueError("an operator's or auditor's key has no tenant, any other has one")
    key_id, random = secrets.token_hex(6), secrets.token_urlsafe(32)
    secret = random + _checksum(f"{PREFIX}{key_id}.{random}")
    key = Key(key_id, tenant, role, label, digest(secret, pepper), at, expires_at, None)
    return key, f"{PREFIX}{key_id}.{secret}"


def successor(key: Key, pepper: bytes, *, at: datetime) -> tuple[Key, str]:
    """A key to take another one's place: as ``make_key``, and it lasts as long as that one did."""
    lasts = None if key.expires_at is None else key.expires_at - key.created_at
    return make_key(
        key.tenant,
        key.role,
        key.label,
        pepper,
        at=at,
        expires_at=None if lasts is None else at + lasts,
    )


def mistyped(presented: str) -> bool:
    """Whether a text that should be a key is not as it was given out: a slip, not a guess.

    Keys of before 0.3 have no checksum and count as mistyped where they are unknown.
    """
    return presented[-_CHECK:] != _checksum(presented[:-_CHECK])


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):0{_CHECK}x}"


def digest(secret: str, pepper: bytes) -> str:
    """HMAC-SHA256 of a secret, hex."""
    return hmac.digest(pepper, secret.encode("utf-8", "surrogatepass"), "sha256").hex()


def holder(presented: str, keys: Mapping[str, Key], pepper: bytes, *, now: datetime) -> Key | None:
    """The key behind a presented text; None where it is unknown, wrong, expired or revoked.

    Compared in constant time, and a digest is made whether or not the id is known.
    """
    if not presented.startswith(PREFIX):
        return None
    key_id, _, secret = presented[len(PREFIX) :].partition(".")
    key = keys.get(key_id)
    right = hmac.compare_digest(digest(secret, pepper), key.digest if key else "0" * 64)
    if key is None or not right or key.revoked_at is not None:
        return None
    return None if key.expires_at is not None and key.expires_at <= now else key


def sees(caller: Caller, tenant: str) -> bool:
    """Whether a tenant exists for the one who asks."""
    return caller.tenant is None or caller.tenant == tenant
