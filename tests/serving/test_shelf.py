import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.errors import Problem
from schema.names import TenantId
from serving.shelf import Shelf
from tests.world import ACME, BETA, NEXT_NIGHT, NOW, World

ALWAYS, NEVER = 1e-9, 1e9
"""How often a shelf looks whether a pointer has moved, in seconds."""


@pytest.fixture
def shelf(morning: World) -> Iterator[Shelf]:
    """One that looks at every call."""
    made = Shelf(morning.stores.editions, morning.stores.datasets, 512, ALWAYS)
    yield made
    made.close()


def number(shelf: Shelf, world: World, name: TenantId = ACME) -> int | None:
    """The edition a tenant serves."""
    found = shelf.current(world.tenant(name))
    return None if found is None else found[1].edition


def first_product(shelf: Shelf, world: World, name: TenantId = ACME) -> str:
    """What a customer is shown first; reads the lists themselves."""
    found = shelf.current(world.tenant(name))
    assert found is not None
    own = found[0].lists.of("C-0001")
    assert own
    return found[0].products[own[0].product].product_id


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
        shelf = Shelf(empty_world.stores.editions, empty_world.stores.datasets, 512, ALWAYS)

        assert shelf.current(empty_world.tenant(ACME)) is None
        assert not shelf.published(empty_world.tenant(ACME))

    def test_opens_what_a_tenants_pointer_names(self, morning: World, shelf: Shelf) -> None:
        found = shelf.current(morning.tenant(ACME))

        assert found is not None
        edition, shown, _ = found
        assert (shown.edition, edition.number, shown.model) == (1, 1, edition.model)
        assert all(product.startswith("acme-") for product in edition.product_ids)

    def test_keeps_tenants_apart(self, morning: World, shelf: Shelf) -> None:
        assert first_product(shelf, morning, ACME).startswith("acme-")
        assert first_product(shelf, morning, BETA).startswith("beta-")
        assert first_product(shelf, morning, ACME).startswith("acme-")

    def test_follows_a_pointer_that_moved(self, morning: World, shelf: Shelf) -> None:
        assert number(shelf, morning) == 1

        morning.night(ACME, NEXT_NIGHT)

        assert number(shelf, morning) == 2
        assert number(shelf, morning, BETA) == 1
        assert first_product(shelf, morning)

    def test_does_not_look_again_before_its_time(self, morning: World) -> None:
        shelf = Shelf(morning.stores.editions, morning.stores.datasets, 512, NEVER)
        assert number(shelf, morning) == 1

        morning.night(ACME, NEXT_NIGHT)

        assert number(shelf, morning) == 1
        shelf.close()

    def test_opens_an_edition_once_however_often_it_is_asked(
        self, morning: World, shelf: Shelf
    ) -> None:
        first, again = (shelf.current(morning.tenant(ACME)) for _ in range(2))

        assert first is not None
        assert again is not None
        assert first[0] is again[0]

    def test_serves_an_edition_that_was_pointed_to_again(
        self, morning: World, shelf: Shelf
    ) -> None:
        product = first_product(shelf, morning)
        body = pointer(morning).read_bytes()

        swap(pointer(morning), body)

        assert number(shelf, morning) == 1
        assert first_product(shelf, morning) == product

    def test_knows_who_has_published_without_opening_anything(
        self, morning: World, shelf: Shelf
    ) -> None:
        assert shelf.published(morning.tenant(ACME))
        assert shelf._open == {}


class TestAFullShelf:
    def test_closes_what_was_asked_for_longest_ago_and_opens_it_again(self, morning: World) -> None:
        shelf = Shelf(morning.stores.editions, morning.stores.datasets, 1, ALWAYS)

        for _ in range(3):
            for name in (ACME, BETA):
                assert first_product(shelf, morning, name).startswith(f"{name}-")
                assert len(shelf._open) == 1
        shelf.close()

    def test_keeps_what_was_asked_for_last(self, morning: World) -> None:
        shelf = Shelf(morning.stores.editions, morning.stores.datasets, 2, ALWAYS)
        morning.stores.ledger.register(TenantId("third"), "t3", "Third", "UTC", by="test", at=NOW)
        for name in (ACME, BETA, ACME):
            number(shelf, morning, name)

        assert list(shelf._open) == [morning.tenant(BETA).uid, morning.tenant(ACME).uid]
        shelf.close()


class TestAnEditionThatCannotBeRead:
    def test_leaves_the_old_one_in_service_and_is_told_in_the_log(
        self, morning: World, shelf: Shelf, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = first_product(shelf, morning)
        morning.night(ACME, NEXT_NIGHT)
        damage_edition(morning, 2)

        with caplog.at_level(logging.ERROR):
            assert number(shelf, morning) == 1

        assert first_product(shelf, morning) == product
        assert "acme: its newest edition cannot be served" in caplog.text

    def test_is_a_problem_where_there_is_no_old_one(self, morning: World) -> None:
        damage_edition(morning, 1)
        shelf = Shelf(morning.stores.editions, morning.stores.datasets, 512, ALWAYS)

        with pytest.raises(Problem):
            number(shelf, morning)

        assert number(shelf, morning, BETA) == 1
        shelf.close()

    def test_is_served_once_it_is_mended(self, morning: World, shelf: Shelf) -> None:
        assert number(shelf, morning) == 1
        morning.night(ACME, NEXT_NIGHT)
        path = pointer(morning).parent / "editions" / "e000002" / "products.json"
        whole = path.read_bytes()
        swap(path, b"[]")
        assert number(shelf, morning) == 1

        swap(path, whole)

        assert number(shelf, morning) == 2


class TestAPointer:
    @pytest.mark.parametrize("body", [b"", b"garbage", b"{}", b"[]", b"\xff", b'{"edition": 2}'])
    def test_that_is_damaged_leaves_the_old_edition_in_service(
        self, body: bytes, morning: World, shelf: Shelf
    ) -> None:
        assert number(shelf, morning) == 1

        swap(pointer(morning), body)

        assert number(shelf, morning) == 1

    @pytest.mark.parametrize("body", [b"", b"garbage", b"{}"])
    def test_that_is_damaged_from_the_start_is_a_problem_of_one_tenant(
        self, body: bytes, morning: World, shelf: Shelf
    ) -> None:
        swap(pointer(morning), body)

        with pytest.raises(Problem):
            number(shelf, morning)
        assert number(shelf, morning, BETA) == 1

    def test_that_disappears_leaves_the_old_edition_in_service(
        self, morning: World, shelf: Shelf
    ) -> None:
        assert number(shelf, morning) == 1

        pointer(morning).unlink()

        assert number(shelf, morning) == 1
