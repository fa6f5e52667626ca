"""A09, A10: readers against swaps, rollbacks and a removal that keeps as little as it may."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schema.names import TenantId
from schema.records import Tenant
from serving.shelf import Shelved
from storage.datasets import Datasets
from storage.durable import Disk
from storage.editions import Current, Editions
from storage.rollback import activate
from tests.faults.conftest import Tell
from tests.faults.homes import Homes
from tests.faults.size import size
from tests.serving.test_shelf import over, tag, tenant_of, whole
from tests.storage.made import AT, lists, seal
from tests.world import ACME, NEXT_NIGHT, THIRD_NIGHT, World

SECONDS = size(4, 60)
ROLLBACKS = size(20, 100)
UID = TenantId("t0")


class Readers:
    """Two readers that read without a pause, each in a thread with a shelf of its own."""

    def __init__(
        self, editions: Editions, datasets: Datasets, tenant: Tenant, read: Callable[[Shelved], int]
    ) -> None:
        self.count, self.problems = Counter[str](), list[str]()
        self._sources, self._tenant, self._read = (editions, datasets), tenant, read
        self._stop = False
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    @contextmanager
    def running(self) -> Iterator["Readers"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop = True
            for thread in self._threads:
                thread.join(30)

    def _run(self) -> None:
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        shelf = over(*self._sources)
        while not self._stop:
            try:
                found = await shelf.current(self._tenant)
                assert found is not None
                self.count[f"e{self._read(found)}"] += 1
            except AssertionError as error:
                self.count["mixed"] += 1
                self.problems.append(str(error))
            except Exception as error:
                self.count["errors"] += 1
                self.problems.append(repr(error))
            self.count["reads"] += 1
            await asyncio.sleep(0)
        await shelf.close()


def naive(editions: Editions) -> int:
    """A reader that reads the pointer, then what it says; nothing is kept, nothing tried again."""
    current = editions.current(UID)
    assert current is not None
    edition = editions.open(UID, current.edition, current.manifest_sha256)
    try:
        return len(edition.lists.of("C-1") or b"")
    finally:
        edition.lists.close()


def swaps(editions: Editions, seconds: float) -> Iterator[int]:
    """New editions for so long; the one before is removed as soon as it is not served any more."""
    begin, number = time.monotonic(), 1
    while time.monotonic() < begin + seconds:
        taken, number = number, number + 1
        sealed, sha = seal(editions, UID, taken, lists(tag=tag(UID, number)))
        assert sealed == number
        editions.point(UID, Current(number, sha, number, AT))
        editions.discard(UID, taken)
        yield number


def first(folder: Path) -> Editions:
    editions = Editions(folder, Disk())
    number, sha = seal(editions, UID, 0, lists(tag=tag(UID, 1)))
    editions.point(UID, Current(number, sha, 1, AT))
    return editions


@pytest.mark.timeout(300)
class TestRemoval:
    def test_that_keeps_only_what_is_served_disturbs_no_reader(
        self, tmp_path: Path, tell: Tell
    ) -> None:
        editions = first(tmp_path)
        readers = Readers(
            editions,
            Datasets(tmp_path, Disk()),
            tenant_of(UID),
            lambda found: whole(found, UID),
        )
        with readers.running() as made:
            done = sum(1 for _ in swaps(editions, SECONDS))
        count = made.count
        tell(
            "A10",
            seconds=SECONDS,
            swaps=done,
            reads=count["reads"],
            reader_errors=count["errors"],
            mixed=count["mixed"],
        )

        assert made.problems == []
        assert done > 10
        assert len(count) > 5  # editions were followed, not only kept

    def test_would_be_seen_to_disturb_a_reader_that_neither_keeps_nor_asks_again(
        self, tmp_path: Path
    ) -> None:
        editions, errors = first(tmp_path), Counter[str]()
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                try:
                    naive(editions)
                except Exception as error:
                    errors[type(error).__name__] += 1

        reader = threading.Thread(target=read)
        reader.start()
        for _ in swaps(editions, 20):
            if errors:
                break
        stop.set()
        reader.join(30)
        assert errors


@pytest.mark.timeout(300)
class TestRollbacks:
    def test_under_load_take_under_a_second_and_the_next_night_undoes_none(
        self, homes: Homes, tell: Tell
    ) -> None:
        with homes.copy() as world:
            for night in (NEXT_NIGHT, THIRD_NIGHT):
                assert world.night(ACME, night).published
            tenant = world.tenant(ACME)
            readers = Readers(
                world.stores.editions, world.stores.datasets, tenant, lambda f: f.shown.edition
            )
            with readers.running() as made:
                spent = [rollback(world, 1 + n % 3) for n in range(ROLLBACKS)]
            served = 1 + (ROLLBACKS - 1) % 3
            report = world.night(ACME, FOURTH)
            now = world.stores.editions.current(tenant.uid)
            assert now is not None
            undone = int(now.edition != served)
            tell(
                "A09",
                rollbacks=ROLLBACKS,
                longest=f"{max(spent):.3f}s",
                reads=made.count["reads"],
                reader_errors=made.count["errors"],
                undone_by_next_night=undone,
            )

            assert made.problems == []
            assert (undone, report.published) == (0, False)

    def test_would_be_seen_to_be_undone_where_nothing_holds_them(self, homes: Homes) -> None:
        with homes.copy() as world:
            assert world.night(ACME, NEXT_NIGHT).published
            rollback(world, 1, hold=timedelta(0))
            assert world.night(ACME, FOURTH).published


FOURTH = THIRD_NIGHT + timedelta(days=1)


def rollback(world: World, number: int, hold: timedelta = timedelta(days=3)) -> float:
    """Seconds that going back took."""
    begin = time.perf_counter()
    now = datetime(2026, 4, 3, 9, tzinfo=UTC)
    activate(world.stores, world.tenant(ACME), number, hold=hold, by="ann", why="a trial", now=now)
    return time.perf_counter() - begin
