"""The editions that are open: the current one of every tenant that was asked for lately."""

import asyncio
import hashlib
import logging
import math
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schema.names import Mode
from schema.records import Rule, Tenant
from schema.rules import ruling
from serving.problems import Headers
from storage.datasets import Datasets
from storage.editions import Edition, Editions
from storage.erased import Erased, Marks
from tenants.answer import Shown, stale_from, unsold
from tenants.order import zone

log = logging.getLogger("recfactory.serving")


_Stamp = tuple[int, int, int] | None
_Stamps = tuple[_Stamp, _Stamp]  # of the pointer, and of the accepted data


PLAIN: Headers = [
    (b"content-type", b"application/json"),
    # whoever keeps an answer asks again each time, with its ETag; nobody else may keep it
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"authorization"),
]


@dataclass(frozen=True, slots=True)
class Dress:
    """What all answers from one edition have in common as long as nothing changes.

    Attributes:
        tag: their ETag: what else they depend on stands in their addresses.
    """

    mode: Mode
    stale: bool
    tag: bytes
    headers: Headers


@dataclass(slots=True)
class Shelved:
    """A tenant's edition in force, and how answers show it now.

    Attributes:
        sha: of the edition's manifest.
        basis: changes with the edition and the catalogue.
        stamp, checked: what its files looked like, and when (``time.monotonic``).
        erased: customers who are strangers from now on, whatever the edition holds.
    """

    edition: Edition
    shown: Shown
    sha: str
    basis: str
    stamp: _Stamps
    checked: float
    erased: Marks
    rules: tuple[Rule, ...] = ()
    _dress: "Dress | None" = None

    def obey(self, rules: tuple[Rule, ...]) -> None:
        """Lay the tenant's rules over the catalogue; made anew only where they or it changed."""
        until = self.shown.ruling.until
        if rules != self.rules or (until is not None and datetime.now(UTC) >= until):
            made = ruling(rules, self.shown.products, datetime.now(UTC))
            self.shown = replace(self.shown, ruling=made)
            self.rules, self._dress = rules, None

    def look_again(self, erased: Marks) -> None:
        """It may have grown stale meanwhile, and somebody may be a stranger by now."""
        self.erased, self._dress = erased, None

    def own(self, customer: str) -> bytes | None:
        """A customer's own list, packed; None for a stranger."""
        return None if self.erased.holds(customer) else self.edition.lists.of(customer)

    def first(self, customer: str) -> bytes | None:
        """The first lines of it; those of the popular list for ""."""
        return None if self.erased.holds(customer) else self.edition.lists.first(customer)

    def dress(self, mode: Mode) -> "Dress":
        """What every answer from here wears; made anew only where something changed."""
        if self._dress is None or self._dress.mode is not mode:
            stale = self.shown.stale(datetime.now(UTC))
            hidden = _digest(" ".join(sorted(self.erased.marks)))
            made = f"{self.basis} {sorted(self.shown.ruling.touched)} {mode} {stale} {hidden}"
            tag = f'"{_digest(made)}"'.encode()
            self._dress = Dress(mode, stale, tag, [*PLAIN, (b"etag", tag)])
        return self._dress


class Shelf:
    """Opens editions on demand, follows their pointers, and closes the least used.

    An answer takes one edition at its start and never mixes two. While a new one is read, in a
    thread, the old one goes on serving; if it cannot be read that is logged, and the old one stays.
    What can be sold is the catalogue's word of now, not the night's: also a frozen or held list
    drops a product that was discontinued. The event loop's thread alone may call these methods.
    """

    def __init__(
        self,
        editions: Editions,
        datasets: Datasets,
        erased: Erased,
        *,
        most: int,
        refresh_seconds: float,
        stale_days: float,
    ) -> None:
        self._editions, self._datasets, self._erased = editions, datasets, erased
        self._most, self._seconds, self._days = most, refresh_seconds, stale_days
        self._open: OrderedDict[str, Shelved] = OrderedDict()
        self._coming: dict[str, asyncio.Task[Shelved | None]] = {}
        self._told: dict[str, str] = {}  # by tenant, why its newest edition cannot be served
        self._turn = asyncio.Lock()  # nothing is opened before what was opened is on the shelf
        self._reader = ThreadPoolExecutor(1, "shelf")  # one: reading must not take every core

    def ready(self, tenant: Tenant) -> Shelved | None:
        """What the tenant serves, if it is open already; never waits for more than three stats."""
        found = self._open.get(tenant.uid)
        if found is None:
            return None
        now = time.monotonic()
        if now - found.checked > self._seconds:
            found.look_again(self._erased.of(tenant.uid))
            found.checked = now
            if self._stamp(tenant) != found.stamp and tenant.uid not in self._coming:
                self._fetch(tenant)
        self._open.move_to_end(tenant.uid)
        found.obey(tenant.rules)
        return found

    def look_again(self, tenant: Tenant) -> None:
        """With the next lookup, whatever the time is: somebody was just erased."""
        if tenant.uid in self._open:
            self._open[tenant.uid].checked = -math.inf

    async def current(self, tenant: Tenant) -> Shelved | None:
        """What the tenant serves now; None before its first publication.

        Raises:
            Problem: it cannot be read, and there is no older one open.
        """
        # others may have pushed it out again before we were woken, or our rules are newer
        while (found := self.ready(tenant)) is None:
            coming = self._coming.get(tenant.uid) or self._fetch(tenant)
            if await asyncio.shield(coming) is None:
                return None
        return found

    def published(self, tenant: Tenant) -> bool:
        """Whether the tenant has anything to serve."""
        return tenant.uid in self._open or self._editions.stamp(tenant.uid) is not None

    async def close(self) -> None:
        await asyncio.gather(*self._coming.values(), return_exceptions=True)
        self._reader.shutdown()
        while self._open:
            self._open.popitem()[1].edition.lists.close()

    def _fetch(self, tenant: Tenant) -> "asyncio.Task[Shelved | None]":
        task = self._coming[tenant.uid] = asyncio.create_task(self._replace(tenant))
        task.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # told by whoever waits
        return task

    async def _replace(self, tenant: Tenant) -> Shelved | None:
        held = self._open.get(tenant.uid)
        try:
            async with self._turn:
                loop = asyncio.get_running_loop()
                fresh = await loop.run_in_executor(self._reader, self._read, tenant, held)
                self._told.pop(tenant.uid, None)
                if fresh is None:
                    return held
                fresh.erased = self._erased.of(tenant.uid)  # while it was read, somebody may be
                self._open[tenant.uid] = fresh
                if held is not None and held.edition is not fresh.edition:
                    held.edition.lists.close()
                self._close_least_used()
            return fresh
        except Exception as problem:  # whatever it is, the old one goes on serving
            if self._told.get(tenant.uid) != str(problem):  # it is tried again and again
                log.error("%s: its newest edition cannot be served: %s", tenant.tenant, problem)
                self._told[tenant.uid] = str(problem)
            if held is None:
                raise
            return held
        finally:
            del self._coming[tenant.uid]

    def _close_least_used(self) -> None:
        # what is coming may be read again just now, or nobody has got it yet
        spare = [uid for uid in self._open if uid not in self._coming]
        for uid in spare[: max(0, len(self._open) - self._most)]:
            self._open.pop(uid).edition.lists.close()

    def _stamp(self, tenant: Tenant) -> _Stamps:
        return self._editions.stamp(tenant.uid), self._datasets.stamp(tenant.uid)

    def _read(self, tenant: Tenant, held: Shelved | None) -> Shelved | None:
        """Runs in the reader's thread."""
        # before the files: what changes meanwhile is seen next time
        stamp, erased = self._stamp(tenant), self._erased.of(tenant.uid)
        current = self._editions.current(tenant.uid)
        if current is None:
            return None
        # before the edition: what fails after that would leave it open, and LMDB opens no path twice
        sellable = self._datasets.sellable(tenant.uid)
        named = current.edition, current.manifest_sha256
        if held is not None and (held.edition.number, held.sha) == named:
            edition = held.edition  # the same files: LMDB opens a path once per process
        else:
            edition = self._editions.open(tenant.uid, current.edition, current.manifest_sha256)
        shown = Shown(
            current.edition,
            edition.model,
            current.published_at,
            edition.products,
            edition.popular,
            edition.segments,
            edition.bought,
            stale_from(edition.night, self._days, zone(tenant.timezone)),
            unsold(edition.products, sellable),
        )
        sha = current.manifest_sha256
        basis = _digest(f"{sha} {current.published_at} {sorted(shown.unsold)}")
        fresh = Shelved(edition, shown, sha, basis, stamp, time.monotonic(), erased)
        fresh.obey(tenant.rules)
        return fresh


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=9).hexdigest()
