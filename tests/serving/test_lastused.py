import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from serving.lastused import LastUsed
from storage.ledger import Ledger
from tests.serving.morning import until
from tests.world import NOW, World

LATER = NOW + timedelta(minutes=1)


class Told(Ledger):
    """Remembers what it was told, and goes away when told to."""

    def __init__(self, world: World) -> None:
        super().__init__(world.stores.engine)
        self.away, self.heard = False, list[Mapping[str, datetime]]()

    def note_uses(self, uses: Mapping[str, datetime]) -> None:
        if self.away:
            raise OSError("the ledger is away")
        self.heard.append(uses)


@pytest.fixture
def ledger(empty_world: World) -> Told:
    return Told(empty_world)


class TestTheLastUse:
    def test_is_told_once(self, ledger: Told) -> None:
        used = {"a": NOW}
        told = LastUsed(used, ledger)
        told.tell()
        told.tell()
        used["b"] = LATER
        told.tell()

        assert ledger.heard == [{"a": NOW}, {"b": LATER}]

    def test_is_told_late_where_the_ledger_was_away(self, ledger: Told) -> None:
        used = {"a": NOW}
        told = LastUsed(used, ledger)
        ledger.away = True
        with pytest.raises(OSError, match="away"):
            told.tell()
        used["a"] = LATER
        ledger.away = False
        told.tell()

        assert ledger.heard == [{"a": LATER}]

    def test_is_told_by_itself_and_once_more_at_the_end(self, ledger: Told) -> None:
        used = {"a": NOW}
        told = LastUsed(used, ledger, every_seconds=0.01)
        told.start()
        until(lambda: len(ledger.heard) == 1)
        used["a"] = LATER
        told.stop()

        assert ledger.heard[-1] == {"a": LATER}

    def test_is_no_reason_to_stop_or_to_shout(
        self, ledger: Told, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger.away = True
        told = LastUsed({"a": NOW}, ledger, every_seconds=0.01)
        with caplog.at_level(logging.INFO):
            told.start()
            until(lambda: len(caplog.records) > 1)
        ledger.away = False
        told.stop()

        assert {record.levelname for record in caplog.records} == {"INFO"}
        assert ledger.heard == [{"a": NOW}]
