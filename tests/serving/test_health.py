from collections.abc import Callable

import pytest

from schema.names import Mode, Role, TenantId
from tests.serving.morning import Night, Served, serving, until
from tests.world import ACME, BETA, World

Change = Callable[[World], None]

OK, DEGRADED, NOT_READY = {"status": "ok"}, {"status": "degraded"}, {"status": "not ready"}


class TestLive:
    def test_is_said_to_anybody_before_anything_was_published(self, empty_world: World) -> None:
        with serving(empty_world, {}) as served:
            found = served.client.get("/health/live")

        assert (found.status_code, found.json()) == (200, OK)


class TestReady:
    def test_means_that_somebodys_lists_can_be_served(self, served: Served) -> None:
        found = served.client.get("/health/ready")

        assert (found.status_code, found.json()) == (200, OK)

    def test_is_not_said_before_the_first_edition_and_is_said_after_it(self, world: World) -> None:
        with serving(world, {(ACME, Role.SELLER): world.key(ACME)}) as served:
            before = served.client.get("/health/ready")
            world.night(ACME)
            after = served.client.get("/health/ready")

        assert (before.status_code, before.json()) == (503, NOT_READY)
        assert (after.status_code, after.json()) == (200, OK)

    def test_is_not_said_where_every_tenant_is_off(self, morning: World, night: Night) -> None:
        for name in (ACME, BETA):
            morning.switch(name, Mode.OFF)

        with serving(morning, night.keys) as served:
            assert served.client.get("/health/ready").status_code == 503

    def test_is_said_where_a_tenant_is_frozen(self, morning: World, night: Night) -> None:
        morning.switch(ACME, Mode.OFF)
        morning.switch(BETA, Mode.FREEZE)

        with serving(morning, night.keys) as served:
            assert served.client.get("/health/ready").status_code == 200

    def test_follows_the_switch(self, served: Served) -> None:
        for name in (ACME, BETA):
            served.world.switch(name, Mode.OFF)

        until(lambda: served.client.get("/health/ready").status_code == 503)

    def test_does_not_depend_on_the_database(self, served: Served) -> None:
        home = served.world.config.home
        served.world.stores.engine.dispose()

        (home / "ledger.db").rename(home / "elsewhere.db")
        served.state.stores.engine.dispose()

        assert served.client.get("/health/ready").status_code == 200
        assert served.client.get("/health/live").status_code == 200
        assert served.recs("C-0001")["source"] == "personal"


def lose_the_database(served: Served) -> None:
    home = served.world.config.home
    (home / "ledger.db").rename(home / "elsewhere.db")
    served.client.app.api.state.stores.engine.dispose()  # type: ignore[attr-defined]


def nothing_published(world: World) -> None:
    for name in (ACME, BETA):
        (world.config.home / "tenants" / f"t-uid-of-{name}" / "CURRENT").unlink()


def damaged(*names: TenantId) -> Change:
    def damage(world: World) -> None:
        for name in names:
            (world.config.home / "tenants" / f"t-uid-of-{name}" / "CURRENT").write_text("{")

    return damage


def switched(acme: Mode, beta: Mode) -> Change:
    def switch(world: World) -> None:
        world.switch(ACME, acme)
        world.switch(BETA, beta)

    return switch


class TestHealthTellsTheTruth:
    @pytest.mark.parametrize("database", ["there", "away"])
    @pytest.mark.parametrize(
        ("change", "serves"),
        [
            (switched(Mode.ON, Mode.ON), True),
            (switched(Mode.FREEZE, Mode.OFF), True),
            (switched(Mode.OFF, Mode.OFF), False),
            (nothing_published, False),
            (damaged(ACME), True),
            (damaged(ACME, BETA), False),
        ],
        ids=["both on", "one frozen", "all off", "no lists", "one damaged", "all damaged"],
    )
    def test_in_every_state(
        self, change: Change, serves: bool, database: str, morning: World, night: Night
    ) -> None:
        change(morning)
        with serving(morning, night.keys) as served:
            if database == "away":
                lose_the_database(served)
            well = OK if database == "there" else DEGRADED
            expected = (200, well) if serves else (503, NOT_READY)

            def said() -> tuple[int, object]:
                found = served.client.get("/health/ready")
                return found.status_code, found.json()

            until(lambda: said() == expected)
            assert served.client.get("/health/live").json() == OK
            assert (
                any(
                    served.ask("GET", "/customers/C-0001/recs", name).json().get("recommendations")
                    for name in (ACME, BETA)
                )
                == serves
            )
