"""Whether a night has room on disk, before anything is touched."""

from collections.abc import Mapping, Sequence
from datetime import date

from schema.config import Nightly
from schema.errors import Problem
from schema.names import Mode, Outcome, TenantId
from schema.records import NightReport, Tenant
from storage.stores import Stores

_MARGIN = 1.25
"""New lists may be longer than the last ones, and a model is sealed twice on a first night."""

_LEAST, _A_BYTE = 128 * 2**10, 32
"""Bytes of a first edition with its models: at least, and for each byte of interactions (3 to 30 were
seen). A guess, from the files' sizes alone: who opens a tenant's data here could hang the fleet.
"""


def check_room(
    stores: Stores,
    nightly: Nightly,
    asks: Sequence[tuple[TenantId, date]],
    last: Mapping[TenantId, NightReport],
) -> None:
    """See that the new editions and models fit on disk beside the old ones, which go afterwards.

    Args:
        last: the newest night of each tenant that had one.

    Raises:
        Problem: they would not, with how many bytes are missing (``DISK_SPACE``).
    """
    known = stores.ledger.named([name for name, _ in asks])
    expected = sum(
        _bytes(stores, known[name], last.get(name), night) for name, night in asks if name in known
    )
    needed = int(expected * _MARGIN) + nightly.spare_bytes
    free = stores.disk.free(stores.home)
    if free < needed:
        raise Problem(
            f"the night needs about {needed:,} bytes of disk, {nightly.spare_bytes:,} of them to "
            f"stay free (nightly.spare_bytes), and there are {free:,}: "
            f"{needed - free:,} bytes are missing, nothing was begun",
            "make room on the disk of the home; what is served is served on",
            code="DISK_SPACE",
        )


def _bytes(stores: Stores, tenant: Tenant, last: NightReport | None, night: date) -> int:
    """What a tenant's night will add: as much as its last one did."""
    done = last is not None and last.night == night and last.outcome not in (None, Outcome.FAILED)
    if done or tenant.mode is Mode.OFF:
        return 0
    if last is not None and "bytes" in last.figures:
        return int(last.figures["bytes"])
    return _LEAST + _A_BYTE * stores.datasets.weight(tenant.uid)
