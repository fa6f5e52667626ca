"""One tenant's order: its name, time zone and settings, laid over the template."""

from collections.abc import Mapping
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
    chosen: Mapping[str, Any] | None = None,
) -> TenantSettings:
    """The settings a tenant runs with: the template, what its data chose, its own word over both.

    Args:
        changes: what the tenant set itself; chosen: what tuning found.
    """
    return with_changes(with_changes(template, dict(chosen or {})), dict(changes))
