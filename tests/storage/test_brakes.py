"""The fleet's brake, as the ledger keeps it."""

from datetime import timedelta

import pytest

from schema.errors import Refused
from tests.world import NOW, World


def pull(world: World, sign: str = "LISTS_EMPTY") -> None:
    world.stores.brakes.pull(1, sign, "in wave 1, their lists are empty", at=NOW)


def release(world: World) -> None:
    world.stores.brakes.release(by="test", why="mended", at=NOW + timedelta(hours=9))


class TestTheBrake:
    def test_is_off_until_it_is_pulled_and_on_until_it_is_released(
        self, empty_world: World
    ) -> None:
        brakes = empty_world.stores.brakes
        assert brakes.on() is None
        pull(empty_world)
        on = brakes.on()
        assert on is not None
        assert (on.wave, on.sign, on.at) == (1, "LISTS_EMPTY", NOW)
        release(empty_world)
        assert brakes.on() is None

    def test_that_is_on_is_not_pulled_again(self, empty_world: World) -> None:
        pull(empty_world)
        pull(empty_world, "DEFECT")
        (brake,) = empty_world.stores.brakes.all()
        assert brake.sign == "LISTS_EMPTY"

    def test_keeps_every_time_newest_first(self, empty_world: World) -> None:
        pull(empty_world)
        release(empty_world)
        pull(empty_world, "DEFECT")
        known = empty_world.stores.brakes.all()
        assert [(brake.sign, brake.released_at is None) for brake in known] == [
            ("DEFECT", True),
            ("LISTS_EMPTY", False),
        ]

    def test_that_is_off_cannot_be_released(self, empty_world: World) -> None:
        with pytest.raises(Refused) as told:
            release(empty_world)
        assert told.value.code == "NOT_BRAKED"

    def test_stands_in_the_audit_trail_with_who_released_it_and_why(
        self, empty_world: World
    ) -> None:
        pull(empty_world)
        release(empty_world)
        released, braked = empty_world.stores.audit.all(2)
        assert (braked.tenant, braked.act, braked.detail["sign"]) == (
            None,
            "fleet braked",
            "LISTS_EMPTY",
        )
        assert (released.actor, released.act, released.detail["why"]) == (
            "test",
            "fleet released",
            "mended",
        )
