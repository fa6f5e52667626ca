from schema.names import Mode, Role
from tests.serving.morning import Night, Served, serving, until
from tests.world import ACME, BETA, World

OK, NOT_READY = {"status": "ok"}, {"status": "not ready"}


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
