import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from schema.errors import NotThere
from schema.names import Mode, Role
from schema.records import Control
from serving.control import Denied, Switchboard
from serving.policy import RUNS, SELLS
from storage.ledger import Ledger
from storage.stores import Stores
from tenants.access import make_key
from tests.serving.morning import until
from tests.world import ACME, BETA, World


class MoodyLedger(Ledger):
    """Goes away when told to, and counts how often it was read whole."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores.engine)
        self.away = False
        self.read = 0

    def revision(self) -> int:
        if self.away:
            raise OSError("the ledger is away")
        return super().revision()

    def control(self) -> Control:
        self.read += 1
        return super().control()


@pytest.fixture
def world(empty_world: World) -> World:
    """acme and beta, registered."""
    for name in (ACME, BETA):
        empty_world.add(name)
    return empty_world


@pytest.fixture
def ledger(world: World) -> MoodyLedger:
    return MoodyLedger(world.stores)


@pytest.fixture
def board(world: World, ledger: MoodyLedger) -> Switchboard:
    """Not started: it is refreshed by hand."""
    return Switchboard(ledger, world.stores.revoked, world.stores.pepper, 0.01)


@pytest.fixture
def running(board: Switchboard) -> Iterator[Switchboard]:
    board.start()
    yield board
    board.stop()


def modes(board: Switchboard) -> dict[str, str]:
    return {tenant.tenant: tenant.mode.value for tenant in board.tenants}


class TestASwitchboard:
    def test_knows_every_tenant_from_the_start(self, board: Switchboard) -> None:
        assert modes(board) == {"acme": "on", "beta": "on"}

    def test_notices_a_change_when_it_is_refreshed(self, world: World, board: Switchboard) -> None:
        world.switch(ACME, Mode.FREEZE)
        assert modes(board)["acme"] == "on"

        board.refresh()

        assert modes(board) == {"acme": "freeze", "beta": "on"}

    def test_reads_the_ledger_whole_only_when_it_has_changed(
        self, world: World, ledger: MoodyLedger, board: Switchboard
    ) -> None:
        for _ in range(5):
            board.refresh()
        assert ledger.read == 1

        world.switch(ACME, Mode.OFF)
        for _ in range(5):
            board.refresh()

        assert ledger.read == 2

    def test_notices_new_tenants_and_keys(self, world: World, board: Switchboard) -> None:
        secret = world.key(ACME)
        with pytest.raises(Denied):
            board.caller(secret)

        board.refresh()

        assert board.caller(secret).tenant == ACME

    def test_notices_changes_by_itself_while_it_runs(
        self, world: World, running: Switchboard
    ) -> None:
        world.switch(BETA, Mode.OFF)

        until(lambda: modes(running)["beta"] == "off")

    def test_goes_on_with_what_it_knew_while_the_ledger_is_away(
        self,
        world: World,
        ledger: MoodyLedger,
        running: Switchboard,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with caplog.at_level(logging.WARNING):
            ledger.away = True
            until(lambda: len(caplog.records) > 0)
            world.switch(ACME, Mode.OFF)

            assert modes(running)["acme"] == "on"

            ledger.away = False
            until(lambda: modes(running)["acme"] == "off")

        told = [record.getMessage() for record in caplog.records]
        assert told == [
            "the ledger cannot be read (the ledger is away); the last known state answers"
        ]

    def test_ends_its_thread_when_it_is_stopped(self, board: Switchboard) -> None:
        board.start()
        board.stop()

        assert not board._thread.is_alive()


class TestWhoAsks:
    @pytest.mark.parametrize(
        "presented", [None, "", "rf_", "rf_x.y", "Bearer rf_x.y", "rf_\ud800.\ud800"]
    )
    def test_has_to_have_a_key(self, presented: str | None, board: Switchboard) -> None:
        with pytest.raises(Denied) as told:
            board.caller(presented)

        assert (told.value.status, told.value.code) == (401, "NO_KEY")

    def test_is_denied_once_the_key_is_revoked(self, world: World, board: Switchboard) -> None:
        secret = world.key(ACME)
        board.refresh()
        board.caller(secret)

        [key] = world.stores.ledger.keys(ACME)
        world.stores.ledger.revoke_key(key.key_id, by="test", at=datetime.now(UTC))
        board.refresh()

        with pytest.raises(Denied):
            board.caller(secret)

    def test_is_denied_from_the_instant_the_key_ends_though_it_was_let_in_before(
        self, world: World, board: Switchboard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = datetime.now(UTC)
        key, secret = make_key(
            ACME, Role.SELLER, "", world.stores.pepper, at=now, expires_at=now + timedelta(hours=1)
        )
        world.stores.ledger.add_key(key, by="test")
        board.refresh()
        board.caller(secret)
        clock = Mock(wraps=datetime)
        clock.now.return_value = now + timedelta(hours=1)
        monkeypatch.setattr("serving.control.datetime", clock)

        with pytest.raises(Denied):
            board.caller(secret)

    def test_is_denied_with_another_secret_though_the_right_one_was_let_in_before(
        self, world: World, board: Switchboard
    ) -> None:
        secret = world.key(ACME)
        board.refresh()
        board.caller(secret)

        with pytest.raises(Denied):
            board.caller(secret[:-1] + ("0" if secret[-1] != "0" else "1"))

    def test_is_denied_once_the_home_says_that_the_key_is_revoked(
        self, world: World, ledger: MoodyLedger, board: Switchboard
    ) -> None:
        """Also while the ledger is away."""
        secret, other = world.key(ACME), world.key(BETA)
        board.refresh()
        board.caller(secret)
        [key] = world.stores.ledger.keys(ACME)
        ledger.away = True

        world.stores.revoked.add(key.key_id)
        board.follow()

        with pytest.raises(Denied):
            board.caller(secret)
        assert board.caller(other).tenant == BETA

    def test_has_a_use_of_the_key_to_show(self, world: World, board: Switchboard) -> None:
        secret = world.key(ACME)
        board.refresh()
        board.caller(secret)
        [key] = world.stores.ledger.keys(ACME)

        assert set(board.used) == {key.key_id}


class TestATenant:
    def test_is_shown_to_its_own_keys(self, world: World, board: Switchboard) -> None:
        secret = world.key(ACME, Role.ADMIN)
        board.refresh()
        key = board.caller(secret)

        assert board.tenant("acme", key, SELLS).tenant == ACME
        assert board.tenant("acme", key, RUNS).tenant == ACME

    def test_is_not_there_for_others_in_the_same_words_as_one_that_does_not_exist(
        self, world: World, board: Switchboard
    ) -> None:
        secret = world.key(ACME, Role.ADMIN)
        board.refresh()
        key = board.caller(secret)

        told = []
        for name in ("beta", "nobody"):
            with pytest.raises(NotThere) as problem:
                board.tenant(name, key, SELLS)
            told.append(problem.value.args)

        assert told[0] == told[1]

    def test_is_closed_to_a_role_that_may_less(self, world: World, board: Switchboard) -> None:
        secret = world.key(ACME, Role.SELLER)
        board.refresh()
        key = board.caller(secret)

        with pytest.raises(Denied) as told:
            board.tenant("acme", key, RUNS)

        assert (told.value.status, told.value.code) == (403, "ROLE")
