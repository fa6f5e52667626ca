"""Who is due, on which date, and which process is at it."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import psutil
import pytest

from jobs.fleet import due, tonight
from jobs.owner import alive, me
from jobs.results import Failure, Task, alarm, exit_status
from jobs.schedule import wave
from schema.config import Config, Nightly
from schema.dates import midnight
from schema.names import Mode, Outcome, TenantId
from schema.records import Lease, NightReport, Tenant
from schema.source import SourceDatabase
from storage.stores import Stores
from tenants.lifecycle import business_date
from tests.salescore import SalesCore, sqlite
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, World

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Zurich",
    "Australia/Lord_Howe",  # clocks change by half an hour
    "Africa/Casablanca",  # and by Ramadan
    "America/Santiago",  # midnight itself is skipped
    "Africa/Cairo",  # the same, and another day
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
]
WAVE = timedelta(minutes=15)


def report(
    night: date = NIGHT,
    outcome: Outcome | None = Outcome.PROMOTED,
    *,
    tenant: TenantId = ACME,
    finished: bool = True,
    seconds: float = 1,
) -> NightReport:
    figures = {"seconds": {"train": seconds}}
    at = NOW if finished else None
    return NightReport(tenant, night, "done", outcome, "because", True, 1, 1, figures, NOW, at)


class Ledger:
    """A ledger in memory: whoever was due is done at once."""

    def __init__(self, timezone: str) -> None:
        self._tenant = Tenant(ACME, "t-1", "acme", timezone, Mode.ON, {}, None, None)
        self._last: dict[TenantId, NightReport] = {}
        self.stores = cast("Stores", SimpleNamespace(ledger=self, nights=self))

    def tenants(self) -> list[Tenant]:
        return [self._tenant]

    def last_nights(self) -> dict[TenantId, NightReport]:
        return self._last

    def wave(self, now: datetime) -> list[date]:
        tasks = due(self.stores, now)
        for task in tasks:
            self._last[task.tenant] = report(task.night)
        return [task.night for task in tasks]


def year(zone: str, first: date, days: int) -> list[tuple[date, datetime]]:
    """Every night of a tenant in waves from ``first`` on: its date and when it was due.

    Waves more than three hours from a local midnight are left out: nothing changes there.
    """
    ledger, done = Ledger(zone), []
    for day in range(days):
        middle = datetime.combine(first, datetime.min.time(), UTC) + timedelta(days=day)
        offset = (middle + timedelta(hours=12)).astimezone(ZoneInfo(zone)).utcoffset()
        assert offset is not None
        begin = middle - offset - timedelta(hours=3)
        begin -= (begin - datetime.min.replace(tzinfo=UTC)) % WAVE
        for step in range(25):
            now = begin + step * WAVE
            done += [(night, now) for night in ledger.wave(now)]
    return done


class TestBusinessDate:
    def test_is_the_tenants_own_date(self) -> None:
        now = datetime(2026, 4, 1, 11, 30, tzinfo=UTC)
        found = [business_date(now, ZoneInfo(zone)).day for zone in ("Etc/GMT+12", "UTC")]
        assert found == [31, 1]
        assert business_date(now, ZoneInfo("Pacific/Kiritimati")).day == 2

    @pytest.mark.parametrize("zone", ZONES)
    def test_begins_at_the_local_midnight_and_not_a_second_before(self, zone: str) -> None:
        for day in range(366):
            night = date(2026, 1, 1) + timedelta(days=day)
            begin = midnight(night, ZoneInfo(zone))
            assert business_date(begin, ZoneInfo(zone)) == night
            assert business_date(begin - timedelta(seconds=1), ZoneInfo(zone)) < night


class TestDue:
    @pytest.mark.parametrize("zone", ZONES)
    def test_one_night_a_date_at_the_first_wave_of_it(self, zone: str) -> None:
        first = date(2026, 1, 1)
        done = year(zone, first, 367)
        nights = [night for night, _ in done]
        whole = [first + timedelta(days=day) for day in range(366)]
        assert nights[nights.index(first) :][:366] == whole
        assert len(set(nights)) == len(nights)
        for night, now in done[1:]:
            assert timedelta(0) <= now - midnight(night, ZoneInfo(zone)) < WAVE, night

    def test_a_date_that_never_was_has_no_night(self) -> None:
        nights = [night for night, _ in year("Pacific/Apia", date(2011, 12, 28), 5)]
        assert date(2011, 12, 29) in nights
        assert date(2011, 12, 30) not in nights
        assert date(2011, 12, 31) in nights

    def test_a_restart_catches_up_with_tonight_and_not_with_nights_long_past(self) -> None:
        ledger = Ledger("UTC")
        assert ledger.wave(datetime(2026, 4, 1, 0, 0, tzinfo=UTC)) == [date(2026, 4, 1)]
        assert ledger.wave(datetime(2026, 4, 5, 17, 20, tzinfo=UTC)) == [date(2026, 4, 5)]
        assert ledger.wave(datetime(2026, 4, 5, 17, 35, tzinfo=UTC)) == []

    def test_a_clock_that_jumps_back_repeats_nothing(self) -> None:
        ledger = Ledger("UTC")
        ledger.wave(datetime(2026, 4, 2, 0, 1, tzinfo=UTC))
        assert ledger.wave(datetime(2026, 4, 1, 23, 50, tzinfo=UTC)) == []
        assert ledger.wave(datetime(2026, 4, 2, 0, 5, tzinfo=UTC)) == []

    def test_a_tenant_that_is_off_is_not_due_and_a_frozen_one_is(self, world: World) -> None:
        world.switch(ACME, Mode.OFF)
        world.switch(BETA, Mode.FREEZE)
        assert due(world.stores, NOW) == [Task(BETA, NIGHT)]

    def test_every_tenant_has_its_own_date(self, empty_world: World) -> None:
        empty_world.add(ACME, "Pacific/Kiritimati")
        empty_world.add(BETA, "America/New_York")
        assert due(empty_world.stores, NOW) == [
            Task(ACME, NIGHT),
            Task(BETA, NIGHT - timedelta(days=1)),
        ]

    def test_a_night_that_is_done_is_not_due_again(self, world: World) -> None:
        world.night(ACME)
        assert due(world.stores, NOW) == [Task(BETA, NIGHT)]
        assert Task(ACME, NEXT_NIGHT) in due(world.stores, NOW + timedelta(days=1))

    def test_an_interrupted_night_is_due_again(self, world: World) -> None:
        _interrupted(world)
        assert Task(ACME, NIGHT) in due(world.stores, NOW)

    def test_a_night_interrupted_in_its_second_attempt_is_due_again_too(
        self, empty_world: World
    ) -> None:
        empty_world.add(ACME)
        assert empty_world.night(ACME).outcome is Outcome.FAILED  # it has no data
        _interrupted(empty_world)
        assert due(empty_world.stores, NOW) == [Task(ACME, NIGHT)]


def _interrupted(world: World) -> None:
    lease = world.stores.nights.begin(
        ACME, NIGHT, owner="x:1:1", alive=lambda _: False, now=NOW, lease=timedelta(minutes=1)
    )
    assert isinstance(lease, Lease)


class TestWave:
    def test_runs_whatever_is_due_once(self, world: World) -> None:
        nightly = Nightly(executor="in-process")
        config = world.config.model_copy(update={"nightly": nightly})
        assert [wave(world.stores, config, NOW) for _ in range(2)] == [2, 0]
        assert world.stores.editions.current(world.tenant(BETA).uid) is not None

    def test_reads_the_source_first_so_that_the_night_knows_what_is_new(self, world: World) -> None:
        database = sqlite(world.folder)
        database.stocked(42, customers=["C-0001"], products=["acme-P-01", "fresh"])
        database.sold(42, NOW - timedelta(days=9), "C-0001 fresh", at=NOW - timedelta(days=9))
        changes = {"source.client": "42"}
        world.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)

        wave(world.stores, pulling(world, database.settings()), NOW)

        uid = world.tenant(ACME).uid
        assert "fresh" in world.stores.datasets.read(uid, "interactions")["product_id"].to_pylist()
        nights = [world.stores.nights.nights(name, 1)[0] for name in (ACME, BETA)]
        assert [night.night for night in nights] == [NIGHT, NIGHT]

    def test_runs_on_what_is_there_while_the_source_is_away(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        away = SalesCore("sqlite", "sqlite:////nowhere/salescore.db").settings()

        assert wave(world.stores, pulling(world, away), NOW) == 2

        assert "pull: the source's URL" in caplog.text
        assert world.stores.editions.current(world.tenant(ACME).uid) is not None


def pulling(world: World, source: SourceDatabase) -> Config:
    nightly = Nightly(executor="in-process")
    return world.config.model_copy(update={"nightly": nightly, "source": source})


class TestTonight:
    def test_the_costliest_tenant_of_last_night_begins(self, world: World) -> None:
        self.in_order(world, report(tenant=BETA, seconds=9))

    def test_so_does_one_that_had_nothing_new_then(self, world: World) -> None:
        self.in_order(world, replace(report(tenant=BETA), figures={"spared": 9}))

    def in_order(self, world: World, beta: NightReport) -> None:
        def last_nights() -> dict[TenantId, NightReport]:
            return {BETA: beta, ACME: report(seconds=1)}

        stores = cast(
            "Stores",
            SimpleNamespace(
                ledger=world.stores.ledger, nights=SimpleNamespace(last_nights=last_nights)
            ),
        )
        tasks = tonight(stores, [ACME, BETA], NIGHT, NOW)
        assert tasks == [Task(BETA, NIGHT), Task(ACME, NIGHT)]

    def test_without_a_date_takes_each_tenants_own(self, empty_world: World) -> None:
        empty_world.add(ACME, "America/New_York")
        (task,) = tonight(empty_world.stores, [ACME], None, NOW)
        assert task.night == NIGHT - timedelta(days=1)


class TestExitStatus:
    @pytest.mark.parametrize(
        ("outcomes", "status"),
        [
            ([], 0),
            ([Outcome.PROMOTED, Outcome.REJECTED, Outcome.TOO_SMALL], 0),
            ([Outcome.FROZEN, Outcome.OFF], 0),
            ([Outcome.PROMOTED, Outcome.FAILED], 1),
            ([Outcome.PROMOTED, Outcome.HELD], 3),
            ([Outcome.HELD, Outcome.FAILED], 1),
        ],
    )
    def test_follows_the_outcomes(self, outcomes: Sequence[Outcome], status: int) -> None:
        assert exit_status([report(outcome=outcome) for outcome in outcomes]) == status

    @pytest.mark.parametrize(
        ("outcome", "status"),
        [(Outcome.PROMOTED, 3), (Outcome.FROZEN, 3), (Outcome.HELD, 3), (Outcome.FAILED, 1)],
    )
    def test_of_what_was_served_and_is_flagged_asks_for_a_person(
        self, outcome: Outcome, status: int
    ) -> None:
        found = report(outcome=outcome)
        figures = {**found.figures, "realised": {"flagged": True}}
        assert exit_status([report(), replace(found, figures=figures)]) == status

    @pytest.mark.parametrize("realised", [None, {"flagged": False}])
    def test_of_what_came_as_foreseen_is_0(self, realised: dict[str, bool] | None) -> None:
        found = report()
        figures = {**found.figures, "realised": realised}
        assert exit_status([replace(found, figures=figures)]) == 0

    def test_a_night_without_a_report_has_failed(self) -> None:
        failure = Failure(Task(ACME, NIGHT), "its worker process died", "WORKER_LOST")
        assert exit_status([report(), failure]) == 1


class TestAlarm:
    def test_is_a_fleet_in_which_no_tenant_is_on(self) -> None:
        assert alarm([Mode.ON, Mode.OFF], []) is None
        told = alarm([Mode.FREEZE, Mode.OFF], [report()])
        assert told is not None
        assert told.startswith("no tenant is on (1 frozen, 1 off)")

    def test_is_an_installation_without_tenants(self) -> None:
        assert alarm([], []) is not None

    def test_is_a_night_in_which_all_fail_alike(self) -> None:
        failed = replace(report(outcome=Outcome.FAILED), figures={"code": "DISK"})
        lost = Failure(Task(BETA, NIGHT), "the ledger was away", "DISK")
        told = alarm([Mode.ON], [failed, lost])
        assert told is not None
        assert told.startswith("all 2 nights failed, 2 with DISK")

    def test_is_not_one_that_failed_beside_another(self) -> None:
        failed = replace(report(outcome=Outcome.FAILED), figures={"code": "DISK"})
        assert alarm([Mode.ON], [failed, report()]) is None

    def test_is_not_that_another_run_is_at_all_of_them(self) -> None:
        busy = Failure(Task(BETA, NIGHT), "the night is running", "NIGHT_RUNNING")
        assert alarm([Mode.ON], [busy, busy]) is None
        failed = replace(report(outcome=Outcome.FAILED), figures={"code": "DISK"})
        assert alarm([Mode.ON], [busy, failed]) is None
        assert alarm([Mode.ON], [busy, failed, failed]) is not None

    def test_of_a_wave_is_an_error_in_the_log(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.switch(ACME, Mode.OFF)
        world.switch(BETA, Mode.OFF)
        assert wave(world.stores, world.config, NOW) == 0
        [line] = [line for line in caplog.records if line.levelname == "ERROR"]
        assert "no tenant is on" in line.message


class TestOwner:
    def test_this_process_is_alive(self) -> None:
        assert alive(me())

    def test_another_process_is_alive_until_it_ends(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            owner = _owner(child.pid)
            assert alive(owner)
            child.kill()
            child.wait()
        assert not alive(owner)

    def test_one_that_was_killed_is_dead_though_nobody_has_asked_for_it_yet(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            owner = _owner(child.pid)
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, its entry still there
            assert not alive(owner)

    def test_a_later_process_with_the_same_number_is_another(self) -> None:
        host, pid, start = me().rsplit(":", 2)
        assert not alive(f"{host}:{pid}:{int(start) - 60}")

    def test_one_on_another_host_counts_as_alive(self) -> None:
        assert alive("another-host:1:1")


def _owner(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{int(psutil.Process(pid).create_time())}"
