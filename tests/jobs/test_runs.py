"""A run from beginning to end: told while it runs, and kept, whoever asked for it."""

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import runs
from jobs.progress import Progress
from jobs.results import Failure, Result, Task
from jobs.runs import run
from jobs.schedule import wave
from jobs.summary import read
from schema.config import Nightly
from schema.errors import Problem
from schema.names import Mode, Outcome
from storage.database import LedgerAway
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, TEMPLATE, World

BOTH = [Task(ACME, NIGHT), Task(BETA, NIGHT)]


@pytest.fixture
def frozen(world: World) -> World:
    """Nights that take no time: both tenants are frozen before their first night."""
    for name in (ACME, BETA):
        world.switch(name, Mode.FREEZE)
    return world


def here(world: World, **nightly: Any) -> Any:
    return world.config.model_copy(update={"nightly": Nightly(executor="in-process", **nightly)})


class TestARun:
    def test_tells_each_night_and_how_far_it_has_come(self, frozen: World) -> None:
        told: list[tuple[Result, str]] = []

        def done(result: Result, progress: Progress) -> None:
            told.append((result, f"{progress.done} of {progress.total}: {progress.told()}"))

        run(frozen.stores, here(frozen), BOTH, done, by="night", whole=True)
        assert [line for _, line in told] == [
            "1 of 2: promoted 0, kept 1, failed 0",
            "2 of 2: promoted 0, kept 2, failed 0",
        ]

    def test_is_kept_in_the_ledger_and_compared_with_the_night_before(self, frozen: World) -> None:
        run(frozen.stores, here(frozen), BOTH, by="night", whole=True)
        frozen.switch(BETA, Mode.OFF)
        again = [Task(ACME, NEXT_NIGHT), Task(BETA, NEXT_NIGHT)]
        ran = run(frozen.stores, here(frozen), again, by="night", whole=True)
        kept = frozen.stores.runs.last()
        assert kept is not None
        assert (kept.begun_by, kept.whole) == ("night", True)
        assert read(kept.summary) == ran.summary
        assert ran.summary.compared.words == {"frozen": -1, "off": 1}
        assert ran.summary.modes == {"on": 0, "freeze": 1, "off": 1}

    def test_keeps_who_failed_and_what_to_do_but_not_the_sentence(self, empty_world: World) -> None:
        empty_world.add(ACME)  # it has no data
        ran = run(empty_world.stores, here(empty_world), BOTH[:1], by="night", whole=True)
        kept = empty_world.stores.runs.last()
        assert kept is not None
        [told], [case] = ran.summary.failures, read(kept.summary).failures
        assert told.because.startswith("acme, validate: ")
        assert (case.because, case.next_step) == ("", told.next_step)

    def test_of_tenants_that_a_person_named_is_kept_but_not_the_last_and_not_measured(
        self, frozen: World, tmp_path: Path
    ) -> None:
        config = here(frozen, metrics_file=str(tmp_path / "recfactory.prom"))
        run(frozen.stores, config, BOTH[:1], by="night", whole=False)
        assert frozen.stores.runs.last() is None
        assert not (tmp_path / "recfactory.prom").exists()
        run(frozen.stores, config, BOTH, by="night", whole=True)
        assert (tmp_path / "recfactory.prom").exists()

    def test_of_nobody_leaves_what_the_last_one_told(self, frozen: World, tmp_path: Path) -> None:
        config = here(frozen, metrics_file=str(tmp_path / "recfactory.prom"))
        ran = run(frozen.stores, config, [], by="schedule", whole=True)
        assert (ran.summary.tenants, frozen.stores.runs.last()) == (0, None)
        assert not (tmp_path / "recfactory.prom").exists()

    def test_whose_summary_cannot_be_kept_is_told_all_the_same(
        self, frozen: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def away(*_: object) -> None:
            raise LedgerAway("the ledger cannot be used", "look", "LEDGER_AWAY")

        monkeypatch.setattr("storage.runs.Runs.record", away)
        ran = run(frozen.stores, here(frozen), BOTH, by="night", whole=True)
        assert ran.summary.words == {"frozen": 2}
        assert "is not kept" in caplog.text

    def test_says_every_half_minute_in_the_log_how_far_it_is(
        self, frozen: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "recfactory.fleet")
        run(frozen.stores, here(frozen), BOTH, by="night", whole=True)
        assert "of 2:" not in caplog.text
        monkeypatch.setattr(runs, "_TELL_EVERY", -1.0)
        run(frozen.stores, here(frozen), BOTH, by="night", whole=True)
        assert "2 of 2: promoted 0, kept 2, failed 0" in caplog.text

    def test_logs_what_failed_as_an_error_and_the_rest_as_it_is(
        self, frozen: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refused(*_: object) -> list[Problem]:
            return [Problem("no", "wait", "NIGHT_PAST")]

        monkeypatch.setattr("jobs.fleet.begin", refused)
        ran = run(frozen.stores, here(frozen), BOTH[:1], by="night", whole=False)
        assert isinstance(ran.results[0], Failure)
        [line] = [r for r in caplog.records if r.name == "recfactory.fleet"]
        assert (line.levelno, "not run" in line.getMessage()) == (logging.ERROR, True)

    def test_of_nights_that_another_run_is_at_is_no_failure_and_no_error(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "recfactory.fleet")
        now = datetime.now(UTC)
        world.stores.nights.begin_all(
            [(ACME, NIGHT), (BETA, NIGHT)],
            owner="another-host:1:1",
            alive=lambda _: True,
            now=now,
            lease=timedelta(minutes=5),
        )
        summary = run(world.stores, here(world), BOTH, by="night", whole=True).summary
        assert (summary.status, summary.alarm, summary.failures) == (0, "", ())
        assert summary.words == {"running": 2}
        since = f"running since {now:%H:%M} UTC (another-host:1:1)"
        assert summary.elsewhere.startswith(f"2 of 2 tenants: the night of {NIGHT} is {since}")
        assert {r.levelno for r in caplog.records if r.name == "recfactory.fleet"} == {logging.INFO}
        assert world.stores.runs.last() is None, "its own run tells of them"


class TestTheClock:
    def test_keeps_its_waves_as_runs_and_leaves_empty_ones_out(self, frozen: World) -> None:
        config = here(frozen)
        assert [wave(frozen.stores, config, NOW) for _ in range(2)] == [2, 0]
        kept = frozen.stores.runs.last()
        assert kept is not None
        assert (kept.begun_by, kept.summary["words"]) == ("schedule", {Outcome.FROZEN.value: 2})


@pytest.mark.slow
class TestTheLog:
    def test_of_a_night_in_workers_says_whose_which_and_where_in_every_line(
        self, world: World
    ) -> None:
        """A real one: two tenants, two spawned workers, the lines as they came out of them all."""
        [file] = (world.config.home / "tenants" / world.tenant(BETA).uid / "data").glob(
            "interactions/*.parquet"
        )
        file.write_bytes(file.read_bytes()[:100])
        environment = {
            **os.environ,
            "RECFACTORY_HOME": str(world.config.home),
            "RECFACTORY_TEMPLATE": TEMPLATE.model_dump_json(),
            "RECFACTORY_NIGHTLY__PROCESSES": "2",
            "RECFACTORY_LOG": "DEBUG",
        }
        program = "from jobs.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, "night", "--all", "--date", str(NIGHT), "--json"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stderr[-2000:]
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        ours = [
            line for line in lines if line["logger"] in ("recfactory.night", "recfactory.fleet")
        ]
        for line in ours:
            assert {"tenant", "night", "stage"} <= set(line), line
            assert line["night"] == str(NIGHT)
        stages = {
            name: {one["stage"] for one in ours if one["tenant"] == name}
            for name in ["acme", "beta"]
        }
        assert {"validate", "train", "judge", "gate", "rank", "publish"} <= stages["acme"]
        assert "train" not in stages["beta"]
        [failed] = [line for line in ours if line["level"] == "ERROR"]
        assert (failed["tenant"], failed["stage"]) == ("beta", "validate")
