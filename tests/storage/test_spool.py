"""The spool: what it took is there until it was delivered, whoever's process took it."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pytest

from schema.errors import Problem
from schema.names import TenantId
from storage import spool as spool_module
from storage.database import LedgerAway
from storage.durable import Disk
from storage.spool import Spool, Waiting
from tests.world import ACME, BETA, NOW

PLENTY = 2**20


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"event_id": name, "occurred_at": NOW, **more}


class Taker:
    """Somebody who takes delivery, and remembers."""

    def __init__(self) -> None:
        self.taken: list[tuple[TenantId, str]] = []

    def __call__(self, tenant: TenantId, events: list[dict[str, Any]]) -> None:
        self.taken += [(tenant, event["event_id"]) for event in events]


def away(_tenant: TenantId, _events: object) -> None:
    raise LedgerAway("the ledger cannot be used", "wait", code="LEDGER_AWAY")


def delivered(spool: Spool) -> list[tuple[TenantId, str]]:
    taker = Taker()
    spool.take_over()
    spool.deliver(taker)
    return taker.taken


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Spool]]:
    """Opens a spool as a process of its own would; all are closed in the end."""
    made: list[Spool] = []

    def another(disk: Disk | None = None, most: int = PLENTY) -> Spool:
        made.append(Spool(folder, disk or Disk(), most))
        return made[-1]

    yield another
    for spool in made:
        spool.close()


@pytest.fixture
def spool(opened: Callable[..., Spool]) -> Spool:
    return opened()


class TestWhatIsSpooled:
    def test_comes_out_as_it_went_in_each_tenants_in_its_order(self, spool: Spool) -> None:
        events = [event("a", value=1.5, edition=None), event("b", customer_id="Ünïcödé-客户")]
        spool.append(ACME, events)
        spool.append(BETA, [event("a")])
        spool.append(ACME, [event("c")])
        found: list[tuple[TenantId, list[dict[str, Any]]]] = []

        assert spool.deliver(lambda tenant, batch: found.append((tenant, batch))) == 4
        assert found == [(ACME, [*events, event("c")]), (BETA, [event("a")])]

    def test_is_delivered_once_and_leaves_nothing(self, spool: Spool, folder: Path) -> None:
        spool.append(ACME, [event("a")])
        assert not spool.idle

        assert delivered(spool) == [(ACME, "a")]
        assert delivered(spool) == []
        assert spool.idle
        assert list(folder.iterdir()) == []

    def test_stays_while_the_ledger_is_away_and_what_comes_goes_behind_it(
        self, spool: Spool
    ) -> None:
        for name in "abc":
            spool.append(ACME, [event(name)])
            with pytest.raises(LedgerAway):
                spool.deliver(away)

        assert not spool.idle
        assert delivered(spool) == [(ACME, "a"), (ACME, "b"), (ACME, "c")]

    def test_may_come_while_other_is_being_delivered(self, spool: Spool) -> None:
        spool.append(ACME, [event("a")])
        found = Taker()

        def meanwhile(tenant: TenantId, events: list[dict[str, Any]]) -> None:
            found(tenant, events)
            spool.append(BETA, [event("late")])

        spool.deliver(meanwhile)

        assert found.taken == [(ACME, "a")]
        assert delivered(spool) == [(BETA, "late")]

    def test_is_counted(self, spool: Spool) -> None:
        assert spool.waiting() == Waiting()

        spool.append(ACME, [event("a"), event("b")])
        spool.append(BETA, [event("a")])

        found = spool.waiting()
        assert (found.events, found.stuck) == (3, 0)
        assert found.bytes == spool.size() > 0

    def test_is_handed_over_in_batches(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spool_module, "BATCH", 2)
        spool.append(ACME, [event(f"{n}") for n in range(5)])
        sizes: list[int] = []

        spool.deliver(lambda _, events: sizes.append(len(events)))

        assert sizes == [2, 2, 1]

    def test_is_spread_over_files_that_fit_into_memory(
        self, spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spool_module, "PAGE", 300)
        names = [f"{n}" for n in range(20)]
        for name in names:
            spool.append(ACME, [event(name)])

        assert len(list(folder.iterdir())) > 3
        assert delivered(spool) == [(ACME, name) for name in names]


class TestManyThreads:
    def test_are_all_served_and_share_what_an_fsync_costs(
        self, opened: Callable[..., Spool]
    ) -> None:
        class Slow(Disk):
            writes, gate = 0, Signal()

            def append(self, path: Path, data: bytes) -> None:
                type(self).writes += 1
                self.gate.wait(20)
                super().append(path, data)

        spool = opened(Slow())
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(spool.append, ACME, [event(f"{n}")]) for n in range(20)]
            while len(spool._queue) < 19:  # all but the one that is writing
                pass
            Slow.gate.set()
        for one in waiting:
            one.result()

        assert Slow.writes == 2
        assert sorted(delivered(spool)) == sorted((ACME, f"{n}") for n in range(20))


class TestAnotherProcess:
    def test_leaves_alone_what_belongs_to_one_that_lives(
        self, opened: Callable[..., Spool]
    ) -> None:
        mine, other = opened(), opened()
        mine.append(ACME, [event("a")])

        assert delivered(other) == []
        assert other.idle
        assert other.waiting().events == 1
        assert delivered(mine) == [(ACME, "a")]

    def test_takes_over_what_one_that_is_gone_left_oldest_first(
        self, opened: Callable[..., Spool]
    ) -> None:
        for name in "ab":
            gone = opened()
            gone.append(ACME, [event(name)])
            gone.close()
        heir = opened()
        heir.append(ACME, [event("c")])

        assert delivered(heir) == [(ACME, "a"), (ACME, "b"), (ACME, "c")]
        assert heir.waiting() == Waiting()

    def test_never_adds_to_the_file_of_another(
        self, opened: Callable[..., Spool], folder: Path
    ) -> None:
        one, two = opened(), opened()
        for _ in range(3):
            one.append(ACME, [event("a")])
            two.append(ACME, [event("b")])

        assert len(list(folder.iterdir())) == 2

    def test_does_not_take_a_file_that_was_only_just_begun(
        self, opened: Callable[..., Spool], folder: Path
    ) -> None:
        folder.mkdir()
        begun = folder / "00000000000000000001-aaaaaaaa.spool"
        begun.touch()

        assert delivered(opened()) == []
        assert begun.exists()

    def test_delivers_whole_records_of_a_file_that_ends_in_a_torn_one_and_says_so(
        self, opened: Callable[..., Spool], folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        gone = opened()
        gone.append(ACME, [event("a")])
        gone.append(ACME, [event("b")])
        gone.close()
        [file] = folder.iterdir()
        whole = file.read_bytes()
        for cut in (whole[:-1], whole[: len(whole) // 2 + 3], whole[: len(whole) // 2] + bytes(60)):
            file.write_bytes(cut)
            caplog.clear()

            assert delivered(opened()) == [(ACME, "a")]
            assert "no whole record" in caplog.text

    def test_is_not_harmed_by_any_byte_that_changed(
        self, opened: Callable[..., Spool], folder: Path
    ) -> None:
        gone = opened()
        gone.append(ACME, [event("a")])
        gone.close()
        [file] = folder.iterdir()
        whole = file.read_bytes()
        for place in range(len(whole)):
            if 4 <= place < 8:
                continue  # the number of events is only for show
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])

            assert delivered(opened()) == []


class TestAFullSpool:
    def test_refuses_with_what_to_do_and_keeps_what_it_has(
        self, opened: Callable[..., Spool]
    ) -> None:
        spool = opened(most=400)
        kept = []
        for n in range(100):
            try:
                spool.append(ACME, [event(f"{n}")])
                kept.append((ACME, f"{n}"))
            except Problem as problem:
                assert problem.code == "FEEDBACK_FULL"
                assert "send it again later" in problem.next_step

        assert spool.size() <= 400
        assert 0 < len(kept) < 10
        assert delivered(spool) == kept

    def test_counts_what_others_left(self, opened: Callable[..., Spool]) -> None:
        other = opened(most=400)
        other.append(ACME, [event("a" * 100)])
        other.append(ACME, [event("b" * 100)])

        with pytest.raises(Problem):
            opened(most=400).append(ACME, [event("c" * 100)])

    def test_takes_again_when_it_was_delivered(self, opened: Callable[..., Spool]) -> None:
        spool = opened(most=200)
        spool.append(ACME, [event("a" * 60)])
        with pytest.raises(Problem):
            spool.append(ACME, [event("b" * 60)])
        delivered(spool)

        spool.append(ACME, [event("b" * 60)])


class TestWhatTheLedgerRefusesForGood:
    def refuse(self, tenant: TenantId, events: list[dict[str, Any]]) -> None:
        if tenant == ACME:
            raise ValueError("no such tenant")
        self.found(tenant, events)

    @pytest.fixture(autouse=True)
    def _two(self, spool: Spool) -> None:
        self.found = Taker()
        spool.append(ACME, [event("a")])
        spool.append(BETA, [event("b")])

    def test_is_set_aside_and_holds_up_nobody_else(self, spool: Spool) -> None:
        spool.deliver(self.refuse)

        assert self.found.taken == [(BETA, "b")]
        assert spool.idle
        assert (spool.waiting().events, spool.waiting().stuck) == (0, 1)
        assert delivered(spool) == []

    def test_is_named_in_the_log(self, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR):
            spool.deliver(self.refuse)

        assert "acme: 1 spooled events cannot be delivered" in caplog.text

    def test_is_delivered_after_all_when_a_person_renames_it(
        self, spool: Spool, folder: Path
    ) -> None:
        spool.deliver(self.refuse)
        [file] = folder.glob("*.stuck")
        file.rename(file.with_suffix(".spool"))

        assert delivered(spool) == [(ACME, "a")]
