from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from schema.errors import NotThere, Problem
from storage.durable import Disk
from storage.ledger import Ledger
from storage.revoked import Revoked, revoke
from tests.world import ACME, BETA, NOW, World


@pytest.fixture
def revoked(tmp_path: Path) -> Revoked:
    return Revoked(tmp_path / "revoked", Disk())


class Away(Ledger):
    def revoke_key(self, *_: object, **__: object) -> None:
        raise OperationalError("", {}, OSError("away"))


class TestRevokedKeys:
    def test_are_none_at_first(self, revoked: Revoked) -> None:
        assert revoked.ids() == frozenset()

    def test_are_seen_by_everybody_who_looks_into_the_home(
        self, revoked: Revoked, tmp_path: Path
    ) -> None:
        for key in ("0a1b2c3d4e5f", "ffffffffffff", "0a1b2c3d4e5f"):
            revoked.add(key)

        assert Revoked(tmp_path / "revoked", Disk()).ids() == {"0a1b2c3d4e5f", "ffffffffffff"}

    @pytest.mark.parametrize("key", ["", ".", "..", "../pepper", "x", "0A1B2C3D4E5F", "0" * 13])
    def test_never_name_another_file(self, key: str, revoked: Revoked, tmp_path: Path) -> None:
        revoked.add(key)

        assert list(tmp_path.rglob("*")) == []


class TestRevoking:
    def test_stops_a_key_in_the_home_and_in_the_ledger(
        self, revoked: Revoked, empty_world: World
    ) -> None:
        ledger = empty_world.stores.ledger
        for name in (ACME, BETA):
            empty_world.add(name)
            empty_world.key(name)
        [key], [other] = ledger.keys(ACME), ledger.keys(BETA)

        revoke(revoked, ledger, key.key_id, by="ann", at=NOW)

        assert revoked.ids() == {key.key_id}
        assert ledger.key(key.key_id).revoked_at == NOW
        assert ledger.key(other.key_id).revoked_at is None

    def test_of_an_unknown_key_says_so(self, revoked: Revoked, empty_world: World) -> None:
        with pytest.raises(NotThere):
            revoke(revoked, empty_world.stores.ledger, "0a1b2c3d4e5f", by="ann", at=NOW)

    def test_stops_a_key_although_the_ledger_is_away(
        self, revoked: Revoked, empty_world: World
    ) -> None:
        ledger = Away(empty_world.stores.engine)

        with pytest.raises(Problem, match="stopped on every server") as told:
            revoke(revoked, ledger, "0a1b2c3d4e5f", by="ann", at=NOW)

        assert told.value.code == "LEDGER"
        assert revoked.ids() == {"0a1b2c3d4e5f"}
