"""The editions that are open: the current one of every tenant that was asked for lately."""

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from schema.errors import Problem
from schema.records import Rule, Tenant
from schema.rules import NO_RULING, Ruling, ruling
from storage.datasets import Datasets
from storage.editions import Edition, Editions
from tenants.answer import Shown

log = logging.getLogger("recfactory.serving")


_Stamp = tuple[int, int, int] | None
_Stamps = tuple[_Stamp, _Stamp]  # of the pointer, and of the accepted data


@dataclass(slots=True)
class _Open:
    edition: Edition
    shown: Shown
    stamp: _Stamps
    checked: float
    rules: tuple[Rule, ...] = ()
    ruling: Ruling = NO_RULING

    def ruled(self, rules: tuple[Rule, ...]) -> Ruling:
        """What the tenant's rules say of this catalogue now; made anew only where that changed."""
        if rules or self.rules:
            now = datetime.now(UTC)
            ended = self.ruling.until is not None and now >= self.ruling.until
            if ended or rules != self.rules:
                self.rules, self.ruling = rules, ruling(rules, self.edition.products, now)
        return self.ruling


class Shelf:
    """Opens editions on demand, follows their pointers, and closes the least used.

    An answer takes one edition at its start and never mixes two. A new edition that cannot be
    read is logged, and the old one goes on serving. What can be sold is the catalogue's word of
    now, not the night's: also a frozen or held list drops a product that was discontinued.
    """

    def __init__(
        self, editions: Editions, datasets: Datasets, most: int, refresh_seconds: float
    ) -> None:
        self._editions, self._datasets = editions, datasets
        self._most, self._seconds = most, refresh_seconds
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def current(self, tenant: Tenant) -> tuple[Edition, Shown, Ruling] | None:
        """What the tenant serves now, and what its rules say of that; None before its first
        publication.
        """
        found = self._open.get(tenant.uid)
        now = time.monotonic()
        if found is None or now - found.checked > self._seconds:
            found = self._follow(tenant, found, now)
        if found is None:
            return None
        self._open.move_to_end(tenant.uid)
        return found.edition, found.shown, found.ruled(tenant.rules)

    def published(self, tenant: Tenant) -> bool:
        """Whether the tenant has anything to serve."""
        return tenant.uid in self._open or self._editions.stamp(tenant.uid) is not None

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].edition.lists.close()

    def _follow(self, tenant: Tenant, found: _Open | None, now: float) -> _Open | None:
        pointer = self._editions.stamp(tenant.uid)
        stamp = (pointer, self._datasets.stamp(tenant.uid))
        if pointer is None or (found is not None and found.stamp == stamp):
            if found is not None:
                found.checked = now
            return found
        try:
            opened = self._read(tenant, stamp, now)
        except (Problem, OSError) as problem:
            log.error("%s: its newest edition cannot be served: %s", tenant.tenant, problem)
            if found is None:
                raise
            found.checked = now
            return found
        if found is not None and found.edition.number != opened.edition.number:
            found.edition.lists.close()
        self._open[tenant.uid] = opened
        while len(self._open) > self._most:
            self._open.popitem(last=False)[1].edition.lists.close()
        return opened

    def _read(self, tenant: Tenant, stamp: _Stamps, now: float) -> _Open:
        current = self._editions.current(tenant.uid)
        assert current is not None  # its stamp was just taken
        held = self._open.get(tenant.uid)
        if held is not None and held.edition.number == current.edition:
            edition = held.edition  # the same files: LMDB opens a path once per process
        else:
            edition = self._editions.open(tenant.uid, current.edition, current.manifest_sha256)
        sellable = self._datasets.sellable(tenant.uid)
        if sellable is not None:
            edition = edition.as_sold(sellable)
        shown = Shown(
            current.edition, edition.model, current.published_at, edition.segments, edition.bought
        )
        return _Open(edition, shown, stamp, now)
