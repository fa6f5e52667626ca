"""The shelf: what every tenant serves now, whatever happens to its files meanwhile."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lmdb
import pytest

from schema.errors import Problem
from schema.names import Action, Mode, ProductId, TenantId
from schema.records import Rule, Tenant, entries
from serving.shelf import Shelf, Shelved
from storage.datasets import Datasets
from storage.durable import Disk
from storage.editions import Current, Edition, Editions
from storage.erased import Erased
from tests.serving.morning import until
from tests.storage.made import AT, lists, seal
from tests.world import ACME, BETA, NEXT_NIGHT, NOW, World, tables

ALWAYS, NEVER = 1e-9, 1e9
"""How often a shelf looks whether a pointer has moved, in seconds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A shelf and the event loop that may ask it."""

    shelf: Shelf
    tenant: Callable[[TenantId], Tenant]
    loop: asyncio.Runner = field(default_factory=asyncio.Runner)

    def current(self, name: TenantId = ACME) -> Shelved | None:
        """What a tenant serves at this moment."""
        return self.loop.run(self.shelf.current(self.tenant(name)))

    def settled(self, name: TenantId = ACME) -> Shelved | None:
        """What it serves once the shelf has looked, and has read what it found."""

        async def read() -> None:
            await asyncio.gather(*self.shelf._coming.values(), return_exceptions=True)

        self.loop.run(read())
        self.current(name)
        self.loop.run(read())
        return self.current(name)

    def close(self) -> None:
        self.loop.run(self.shelf.close())
        self.loop.close()


def over(editions: Editions, datasets: Datasets, most: int = 512, seconds: float = ALWAYS) -> Shelf:
    erased = Erased(editions._root.parent / "erased", Disk(), b"a secret")
    return Shelf(editions, datasets, erased, most=most, refresh_seconds=seconds, stale_days=3)


def beside(world: World, most: int = 512, seconds: float = ALWAYS) -> Asked:
    """A shelf over a world."""
    return Asked(over(world.stores.editions, world.stores.datasets, most, seconds), world.tenant)


@pytest.fixture
def shelf(morning: World) -> Iterator[Asked]:
    """One that looks at every call."""
    made = beside(morning)
    yield made
    made.close()


def number(found: Shelved | None) -> int | None:
    """The edition that is served."""
    return None if found is None else found.shown.edition


def first_product(found: Shelved | None) -> str:
    """What a customer is shown first; reads the lists themselves."""
    assert found is not None
    best, *_ = entries(found.edition.lists.of("C-0001") or b"")
    return found.shown.products[best.product].product_id


def pointer(world: World, name: TenantId = ACME) -> Path:
    return world.config.home / "tenants" / world.tenant(name).uid / "CURRENT"


def swap(path: Path, body: bytes) -> None:
    """Put other bytes there by rename, as publishing does."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(body)
    os.replace(fresh, path)


def damage_edition(world: World, edition: int, name: TenantId = ACME) -> None:
    path = pointer(world, name).parent / "editions" / f"e{edition:06}" / "products.json"
    swap(path, b"[]")


class TestAShelf:
    def test_has_nothing_of_a_tenant_before_its_first_edition(self, empty_world: World) -> None:
        empty_world.add(ACME)
        asked = beside(empty_world)

        assert asked.current() is None
        assert not asked.shelf.published(empty_world.tenant(ACME))
        asked.close()

    def test_opens_what_a_tenants_pointer_names(self, morning: World, shelf: Asked) -> None:
        found = shelf.current()

        assert found is not None
        edition, shown = found.edition, found.shown
        assert (shown.edition, edition.number, shown.model) == (1, 1, edition.model)
        assert all(product.startswith("acme-") for product in edition.product_ids)

    def test_keeps_tenants_apart(self, morning: World, shelf: Asked) -> None:
        assert first_product(shelf.current(ACME)).startswith("acme-")
        assert first_product(shelf.current(BETA)).startswith("beta-")
        assert first_product(shelf.current(ACME)).startswith("acme-")

    def test_follows_a_pointer_that_moved(self, morning: World, shelf: Asked) -> None:
        assert number(shelf.current()) == 1

        morning.night(ACME, NEXT_NIGHT)

        assert number(shelf.settled()) == 2
        assert number(shelf.settled(BETA)) == 1
        assert first_product(shelf.current())

    def test_does_not_look_again_before_its_time(self, morning: World) -> None:
        shelf = beside(morning, seconds=NEVER)
        assert number(shelf.current()) == 1

        morning.night(ACME, NEXT_NIGHT)

        assert number(shelf.settled()) == 1
        shelf.close()

    def test_opens_an_edition_once_however_often_it_is_asked(self, shelf: Asked) -> None:
        first, again = shelf.current(), shelf.settled()

        assert first is not None
        assert first is again

    def test_serves_an_edition_that_was_pointed_to_again(
        self, morning: World, shelf: Asked
    ) -> None:
        product = first_product(shelf.current())
        body = pointer(morning).read_bytes()

        swap(pointer(morning), body)

        assert number(shelf.settled()) == 1
        assert first_product(shelf.current()) == product

    def test_knows_who_has_published_without_opening_anything(
        self, morning: World, shelf: Asked
    ) -> None:
        assert shelf.shelf.published(morning.tenant(ACME))
        assert shelf.shelf._open == {}


class TestAFullShelf:
    def test_closes_what_was_asked_for_longest_ago_and_opens_it_again(self, morning: World) -> None:
        shelf = beside(morning, most=1)

        for _ in range(3):
            for name in (ACME, BETA):
                assert first_product(shelf.current(name)).startswith(f"{name}-")
                assert len(shelf.shelf._open) == 1
        shelf.close()

    def test_keeps_what_was_asked_for_last(self, morning: World) -> None:
        shelf = beside(morning, most=2)
        morning.stores.ledger.register(TenantId("third"), "t3", "Third", "UTC", by="test", at=NOW)
        for name in (ACME, BETA, ACME):
            shelf.current(name)

        assert list(shelf.shelf._open) == [morning.tenant(BETA).uid, morning.tenant(ACME).uid]
        shelf.close()


class TestAnEditionThatCannotBeRead:
    def test_leaves_the_old_one_in_service_and_is_told_in_the_log(
        self, morning: World, shelf: Asked, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = first_product(shelf.current())
        morning.night(ACME, NEXT_NIGHT)
        damage_edition(morning, 2)

        with caplog.at_level(logging.ERROR):
            assert number(shelf.settled()) == 1

        assert first_product(shelf.current()) == product
        assert "acme: its newest edition cannot be served" in caplog.text

    def test_is_told_once_and_again_when_something_else_is_wrong(
        self, morning: World, shelf: Asked, caplog: pytest.LogCaptureFixture
    ) -> None:
        shelf.current()
        morning.night(ACME, NEXT_NIGHT)
        damage_edition(morning, 2)
        for _ in range(5):
            shelf.settled()
        assert caplog.text.count("cannot be served") == 1

        swap(pointer(morning), b"garbage")
        for _ in range(5):
            shelf.settled()

        assert caplog.text.count("cannot be served") == 2

    def test_that_fails_in_an_unforeseen_way_leaves_the_old_one_and_is_told_too(
        self,
        morning: World,
        shelf: Asked,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken(*_: object) -> None:
            raise ValueError("unforeseen")

        product = first_product(shelf.current())
        morning.night(ACME, NEXT_NIGHT)
        monkeypatch.setattr(morning.stores.editions, "open", broken)

        assert number(shelf.settled()) == 1
        assert first_product(shelf.current()) == product
        assert "acme: its newest edition cannot be served: unforeseen" in caplog.text

    def test_is_a_problem_where_there_is_no_old_one(self, morning: World) -> None:
        damage_edition(morning, 1)
        shelf = beside(morning)

        with pytest.raises(Problem):
            shelf.current()

        assert number(shelf.current(BETA)) == 1
        shelf.close()

    def test_is_served_once_it_is_mended(self, morning: World, shelf: Asked) -> None:
        assert number(shelf.current()) == 1
        morning.night(ACME, NEXT_NIGHT)
        path = pointer(morning).parent / "editions" / "e000002" / "products.json"
        whole = path.read_bytes()
        swap(path, b"[]")
        assert number(shelf.settled()) == 1

        swap(path, whole)

        assert number(shelf.settled()) == 2


class TestAPointer:
    @pytest.mark.parametrize("body", [b"", b"garbage", b"{}", b"[]", b"\xff", b'{"edition": 2}'])
    def test_that_is_damaged_leaves_the_old_edition_in_service(
        self, body: bytes, morning: World, shelf: Asked
    ) -> None:
        assert number(shelf.current()) == 1

        swap(pointer(morning), body)

        assert number(shelf.settled()) == 1
        assert first_product(shelf.current())

    @pytest.mark.parametrize("body", [b"", b"garbage", b"{}"])
    def test_that_is_damaged_from_the_start_is_a_problem_of_one_tenant(
        self, body: bytes, morning: World, shelf: Asked
    ) -> None:
        swap(pointer(morning), body)

        with pytest.raises(Problem):
            shelf.current()
        assert number(shelf.current(BETA)) == 1

    def test_that_disappears_leaves_the_old_edition_in_service(
        self, morning: World, shelf: Asked
    ) -> None:
        assert number(shelf.current()) == 1

        pointer(morning).unlink()

        assert number(shelf.settled()) == 1
        assert first_product(shelf.current())


class Held:
    """Editions whose opening waits for a sign, and the order in which they were asked for."""

    def __init__(self, editions: Editions, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open, self._go = editions.open, threading.Event()
        self.asked: list[tuple[str, int]] = []
        monkeypatch.setattr(editions, "open", self)

    def __call__(self, uid: str, number: int, sha: str | None = None) -> Edition:
        self.asked.append((uid, number))
        assert self._go.wait(20)
        return self._open(uid, number, sha)

    def go(self) -> None:
        self._go.set()


class TestWhileANewEditionIsRead:
    def test_the_old_one_goes_on_serving(
        self, morning: World, shelf: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = shelf.current()
        product = first_product(old)
        morning.night(ACME, NEXT_NIGHT)
        held = Held(morning.stores.editions, monkeypatch)

        for _ in range(5):
            assert shelf.current() is old
            assert first_product(old) == product
        held.go()

        assert number(shelf.settled()) == 2
        assert len(held.asked) == 1

    def test_the_old_one_is_closed_only_when_it_is_replaced(
        self, morning: World, shelf: Asked
    ) -> None:
        old = shelf.current()
        assert old is not None
        morning.night(ACME, NEXT_NIGHT)

        shelf.settled()

        with pytest.raises(lmdb.Error):
            old.edition.lists.of("C-0001")

    def test_the_first_one_is_opened_once_for_everybody_who_waits(
        self, morning: World, shelf: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = Held(morning.stores.editions, monkeypatch)
        held.go()

        async def all_at_once() -> list[Shelved | None]:
            asks = (shelf.shelf.current(morning.tenant(ACME)) for _ in range(20))
            return await asyncio.gather(*asks)

        found = shelf.loop.run(all_at_once())

        assert found[0] is not None
        assert {id(one) for one in found} == {id(found[0])}
        assert len(held.asked) == 1

    def test_whoever_waits_and_goes_away_takes_it_from_nobody(
        self, morning: World, shelf: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = Held(morning.stores.editions, monkeypatch)

        async def one_leaves() -> Shelved | None:
            leaving, staying = (
                asyncio.ensure_future(shelf.shelf.current(morning.tenant(ACME))) for _ in range(2)
            )
            await asyncio.sleep(0)
            leaving.cancel()
            held.go()
            return await staying

        assert number(shelf.loop.run(one_leaves())) == 1

    def test_everybody_who_waits_gets_the_rules_they_came_with(
        self, morning: World, shelf: Asked
    ) -> None:
        before = morning.tenant(ACME)
        rule = Rule(1, Action.MIN_PRICE, None, None, 30.0, "a test", "cli", NOW)
        after = replace(before, rules=(rule,))

        async def hidden(tenant: Tenant) -> bool:
            found = await shelf.shelf.current(tenant)
            assert found is not None
            return bool(found.shown.ruling.hidden)

        async def both() -> tuple[bool, ...]:
            return tuple(await asyncio.gather(*map(hidden, (before, after, before))))

        assert shelf.loop.run(both()) == (False, True, False)

    def test_what_a_failed_reading_opened_is_no_obstacle_to_the_next(
        self, morning: World, shelf: Asked
    ) -> None:
        """LMDB opens a path once per process."""
        [sellable] = (pointer(morning).parent / "data" / "products").glob("*sellable*")
        whole = sellable.read_bytes()
        swap(sellable, b"damaged")
        with pytest.raises(Problem) as told:
            shelf.current()

        swap(sellable, whole)

        assert number(shelf.current()) == 1, told.value


def tag(uid: str, edition: int) -> str:
    """What the products of the cheap editions below begin with."""
    return f"{uid}-e{edition}"


def tenant_of(uid: TenantId) -> Tenant:
    return Tenant(uid, uid, uid, "UTC", Mode.ON, {}, None, None)


def whole(found: Shelved | None, uid: str) -> int:
    """The edition number of what is served, which is open, one edition's own, and this tenant's."""
    assert found is not None
    best, *_ = entries(found.edition.lists.of("C-1") or b"")
    product = found.shown.products[best.product].product_id
    assert product == f"{tag(uid, found.shown.edition)}-0"
    assert found.edition.number == found.shown.edition
    assert found.edition.products is found.shown.products
    assert found.shown.popular == found.edition.popular
    return found.shown.edition


def open_files(folder: Path) -> int:
    """Descriptors of this process below a folder."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith(str(folder))
        except FileNotFoundError:
            continue  # it was the listing's own
    return found


class Cheap:
    """Tenants with two tiny editions each, one of them pointed to."""

    def __init__(self, folder: Path, tenants: int) -> None:
        self.folder = folder
        self.editions, self.datasets = Editions(folder, Disk()), Datasets(folder, Disk())
        self.uids = [TenantId(f"t{n}") for n in range(tenants)]
        self._shas = {
            (uid, taken + 1): seal(self.editions, uid, taken, lists(tag=tag(uid, taken + 1)))[1]
            for uid in self.uids
            for taken in (0, 1)
        }
        for uid in self.uids:
            self.point(uid, 1)

    def point(self, uid: TenantId, number: int) -> None:
        self.editions.point(uid, Current(number, self._shas[uid, number], 1, AT))


@pytest.mark.parametrize("most", [1, 2, 8])
class TestManyTenants:
    def test_never_get_a_closed_edition_nor_two_mixed_while_theirs_are_swapped(
        self, most: int, tmp_path: Path
    ) -> None:
        cheap = Cheap(tmp_path, 4)
        shelf = over(cheap.editions, cheap.datasets, most)
        every = {(uid, number) for uid in cheap.uids for number in (1, 2)}
        seen: set[tuple[TenantId, int]] = set()
        swaps = 0

        async def ask(uid: TenantId) -> None:
            while seen != every or swaps < 60:
                seen.add((uid, whole(await shelf.current(tenant_of(uid)), uid)))
                await asyncio.sleep(0)

        async def swap_all() -> None:
            nonlocal swaps
            while seen != every or swaps < 60:
                for uid in cheap.uids:
                    cheap.point(uid, 1 + swaps % 2)
                swaps += 1
                await asyncio.sleep(0.001)

        async def all_at_once() -> None:
            await asyncio.gather(swap_all(), *(ask(uid) for uid in cheap.uids * 2))
            await shelf.close()

        asyncio.run(all_at_once())

        assert open_files(tmp_path) == 0

    def test_hold_no_more_files_open_than_there_is_room_for(
        self, most: int, tmp_path: Path
    ) -> None:
        cheap = Cheap(tmp_path, 24)
        shelf = over(cheap.editions, cheap.datasets, most, NEVER)

        async def ask(uid: TenantId) -> int:
            whole(await shelf.current(tenant_of(uid)), uid)
            return open_files(tmp_path)

        async def one_by_one() -> None:
            for uid in cheap.uids * 2:
                whole(await shelf.current(tenant_of(uid)), uid)
                assert open_files(tmp_path) <= most

        async def all_at_once() -> None:
            # one is being opened, and one of its files read
            assert max(await asyncio.gather(*(ask(uid) for uid in cheap.uids))) <= most + 2

        async def both() -> None:
            await one_by_one()
            await all_at_once()
            assert open_files(tmp_path) <= most
            await shelf.close()

        asyncio.run(both())

        assert open_files(tmp_path) == 0


class TestAShelfWithoutRoom:
    def test_closes_nothing_that_is_being_read_again_nor_what_was_just_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cheap = Cheap(tmp_path, 2)
        one, other = cheap.uids
        shelf = over(cheap.editions, cheap.datasets, 1)

        async def scene() -> tuple[int, int]:
            whole(await shelf.current(tenant_of(one)), one)
            held = Held(cheap.editions, monkeypatch)
            waiting = asyncio.ensure_future(shelf.current(tenant_of(other)))
            await asyncio.sleep(0)
            cheap.point(one, 2)
            assert whole(await shelf.current(tenant_of(one)), one) == 1  # read again, in its turn
            held.go()
            found = whole(await waiting, other)
            for task in list(shelf._coming.values()):
                await task
            return found, whole(await shelf.current(tenant_of(one)), one)

        assert asyncio.run(scene()) == (1, 2)


class TestTheETag:
    """The tag of all that an answer depends on, but for what stands in its address."""

    def of(self, asked: Asked, name: TenantId = ACME, mode: Mode = Mode.ON) -> bytes:
        found = asked.settled(name)
        assert found is not None
        return found.dress(mode).tag

    def test_is_the_same_as_long_as_nothing_changes_and_in_every_worker(
        self, morning: World, shelf: Asked
    ) -> None:
        first = self.of(shelf)
        assert self.of(shelf) == first
        shelf.loop.run(shelf.shelf.close())  # LMDB opens a path once per process

        another = beside(morning)

        assert self.of(another) == first
        another.close()

    def test_is_a_quoted_word(self, shelf: Asked) -> None:
        assert self.of(shelf).decode().strip('"').isalnum()
        assert self.of(shelf)[:1] + self.of(shelf)[-1:] == b'""'

    def test_is_another_for_another_tenant_mode_or_age(self, shelf: Asked) -> None:
        found = shelf.current()
        assert found is not None
        tags = []
        for stale_from in (None, datetime(2026, 4, 2, tzinfo=UTC)):
            found.shown = replace(found.shown, stale_from=stale_from)
            found.look_again(found.erased)
            tags += [found.dress(mode).tag for mode in Mode]

        assert len({*tags, self.of(shelf, BETA)}) == len(tags) + 1

    def test_changes_with_the_edition_and_comes_back_with_it_only_if_nothing_else_did(
        self, morning: World, shelf: Asked
    ) -> None:
        first = self.of(shelf)
        body = pointer(morning).read_bytes()
        morning.night(ACME, NEXT_NIGHT)
        assert self.of(shelf) != first

        swap(pointer(morning), body)

        assert self.of(shelf) == first

    def test_changes_with_what_can_be_sold_and_not_with_other_data(
        self, morning: World, shelf: Asked
    ) -> None:
        first, theirs = self.of(shelf), self.of(shelf, BETA)
        products = tables(ACME)["products"]

        morning.import_(ACME, {"products": products})
        assert self.of(shelf) == first
        morning.import_(ACME, {"products": products.slice(1)})
        assert self.of(shelf) != first
        morning.import_(ACME, {"products": products})
        assert self.of(shelf) == first

        assert self.of(shelf, BETA) == theirs

    def test_changes_with_every_rule_and_comes_back_when_none_is_left(
        self, morning: World, shelf: Asked
    ) -> None:
        tags = [self.of(shelf)]
        for product in ("acme-P-01", "acme-P-02"):
            rule = written(Action.EXCLUDE, product)
            kept = morning.stores.ledger.add_rule(ACME, rule, at=NOW)
            tags.append(self.of(shelf))
            morning.stores.ledger.remove_rule(ACME, kept.number, by="test", at=NOW)

        assert self.of(shelf) == tags[0]
        assert len(set(tags)) == 3

    def test_changes_when_a_rule_expires(self, morning: World, shelf: Asked) -> None:
        free = self.of(shelf)
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        rule = replace(written(Action.EXCLUDE, "acme-P-01"), expires_at=soon)
        morning.stores.ledger.add_rule(ACME, rule, at=NOW)
        assert self.of(shelf) != free

        until(lambda: self.of(shelf) == free)


def written(action: Action, product: str) -> Rule:
    return Rule(0, action, ProductId(product), None, None, "a test", "cli", NOW)
