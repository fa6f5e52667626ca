"""One tenant's order: its name, time zone and settings, laid over the template."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from schema.errors import Refused
from schema.settings import TenantSettings, with_changes


def zone(name: str) -> ZoneInfo:
    """A time zone by its name.

    Raises:
        Refused: there is none of that name (``TIMEZONE``).
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Refused(
            f"{name[:80]!r} is not a time zone",
            "use a name like Europe/Zurich or UTC",
            code="TIMEZONE",
        ) from error


def settings_of(
    template: TenantSettings,
    changes: Mapping[str, Any],
    chosen: Mapping[str, Any] = MappingProxyType({}),
) -> TenantSettings:
    """The settings a tenant runs with: the template, what its data chose, its own word over both.

    Where tuning is turned off, what it chose before does not hold either.

    Args:
        changes: what the tenant set itself; chosen: what tuning found.
    """
    ordered = with_changes(template, dict(changes))
    if not chosen or ordered.tuning.core_seconds == 0:
        return ordered
    return with_changes(with_changes(template, dict(chosen)), dict(changes))
