"""B07: the ledger is gone at any moment of a night: before, during and at a commit.

Each statement and each commit of a whole night fails once; a commit also after the ledger did it,
so that nobody knows. Then the file itself is gone for a while.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from storage import nights as nights_of
from tests.faults.conftest import Tell
from tests.faults.homes import FLEET, Homes, second
from tests.faults.size import size
from tests.world import World


class Cuts:
    """Every word to the ledger, in order; the one of a number does something else first.

    Attributes:
        words: what was asked, as "commit", "committed" or the statement's beginning.
    """

    def __init__(self, world: World, at: int = -1, act: Callable[[], None] | None = None) -> None:
        self.words: list[str] = []
        self._engine, self._at, self._act = world.stores.engine, at, act or _gone

    def __enter__(self) -> "Cuts":
        event.listen(self._engine, "before_cursor_execute", self._asked)
        event.listen(self._engine, "commit", self._commits)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._asked)
        event.remove(self._engine, "commit", self._commits)

    def _word(self, word: str) -> None:
        self.words.append(word)
        if len(self.words) - 1 == self._at:
            self._act()

    def _asked(self, _c: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "COMMIT":
            self._word(" ".join(statement.split()[:3]))

    def _commits(self, connection: Connection) -> None:
        if connection.get_execution_options().get("reading"):
            return
        self._word("commit")
        if len(self.words) == self._at:  # the next one: it was done, and the word of it is lost
            connection.exec_driver_sql("COMMIT")
        self._word("committed")


def _gone() -> None:
    raise OperationalError("", {}, Exception("the server has gone away"))


def whole(world: World) -> bool:
    """The second night of all; whether it came to its end by itself."""
    return all(second(world).values())


def twice(world: World) -> int:
    """Tenants with more than one edition of the night, or a pointer the ledger does not know."""
    found = 0
    for name in FLEET:
        rows = world.stores.nights.editions(name)
        current = world.stores.editions.current(world.tenant(name).uid)
        assert current is not None
        world.stores.editions.check(
            world.tenant(name).uid, current.edition, current.manifest_sha256
        )
        found += [row["edition"] for row in rows] != [2, 1] or current.edition != 2
    return found


def figures(homes: Homes, *, every: int = 1, word: str = "") -> tuple[dict[str, Any], list[str]]:
    """Cut at every so many words of a night (of a kind); and which of them it did not outlast."""
    with homes.copy() as world, Cuts(world) as undisturbed:
        assert whole(world)
    count = Counter[str]()
    stopped = []
    of_kind = [at for at, said in enumerate(undisturbed.words) if word in said]
    for at in of_kind[::every]:
        with homes.copy() as world:
            with Cuts(world, at):
                resumed = whole(world)
            count["cuts"] += 1
            if not resumed:
                stopped.append(f"{at}: {undisturbed.words[at]}")
                count["lost"] += not whole(world)
            count["double"] += twice(world)
    cuts = count["cuts"]
    return {
        "cuts": cuts,
        "double_publish": count["double"],
        "lost": count["lost"],
        "resumed": f"{cuts - len(stopped)}/{cuts}",
    }, stopped


class TestALedgerThatIsGone:
    def test_at_any_word_is_waited_for_and_nothing_is_published_twice(
        self, homes: Homes, tell: Tell
    ) -> None:
        found, stopped = figures(homes, every=size(3, 1))
        tell("B07", **found)

        assert (found["double_publish"], found["lost"], stopped) == (0, 0, [])

    @pytest.mark.parametrize("part", [0.1, 0.4, 0.6, 0.8])
    def test_as_a_file_that_leads_nowhere_for_a_while_is_waited_for(
        self, homes: Homes, part: float
    ) -> None:
        with homes.copy() as world, Cuts(world) as undisturbed:
            assert whole(world)
        with homes.copy() as world:
            ledger = world.config.home / "ledger.db"
            away = ledger.with_name("kept.db")

            back = threading.Timer(0.5, lambda: os.replace(away, ledger))

            def take() -> None:
                nowhere = ledger.with_name("nowhere.db")
                nowhere.symlink_to(ledger.with_name("away") / "ledger.db")
                os.link(ledger, away)
                os.replace(nowhere, ledger)  # at one stroke: an empty one must not be made anew
                back.start()
                _gone()

            with Cuts(world, int(part * len(undisturbed.words)), take):
                assert whole(world)
            back.join()
            assert twice(world) == 0

    def test_would_be_seen_to_be_given_up_where_nobody_waits(
        self, homes: Homes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nights_of, "patiently", lambda _, act: act())
        _, stopped = figures(homes, every=9)
        assert stopped

    def test_would_be_seen_to_publish_twice_where_a_lost_commit_is_made_again(
        self, homes: Homes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = nights_of._rows_of

        def forgetful(connection: Connection, asks: Any) -> Any:
            """Takes a night that is done for one that runs."""
            rows = sound(connection, asks)
            return {
                ask: SimpleNamespace(**{**row._mapping, "state": "running"})
                for ask, row in rows.items()
            }

        monkeypatch.setattr(nights_of, "_rows_of", forgetful)
        found, stopped = figures(homes, word="committed")
        assert found["double_publish"] or found["lost"] or stopped
