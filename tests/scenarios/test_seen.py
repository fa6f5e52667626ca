"""/metrics of a real server: several workers are one, and a dead one's work still counts."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.scenarios.test_http import Server, server
from tests.serving.morning import Night, one_night, until
from tests.serving.test_metrics import Series, read
from tests.world import ACME, BETA

SERVED = ("recfactory_lookups_total", (ACME, "served", "personal"))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def two_workers(night: Night, tmp_path: Path) -> Iterator[Server]:
    world = night.world(tmp_path)
    with server(world, night, RECFACTORY_SERVING__WORKERS="2") as made:
        until(lambda: len(workers(made)) == 2, 60)
        yield made
    world.stores.engine.dispose()


def workers(made: Server) -> list[int]:
    return [
        child.pid
        for child in psutil.Process(made.process.pid).children()
        if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline())
    ]


def scraped(made: Server) -> Series:
    found = made.ask("GET", "/metrics", None)
    assert found.status == 200, found.body
    return read(found.body.decode())


def test_every_worker_tells_what_all_of_them_did_and_a_dead_one_is_not_forgotten(
    two_workers: Server,
) -> None:
    for n in range(60):
        two_workers.recs(f"C-{n % 5:04}")
    until(lambda: scraped(two_workers).get(SERVED) == 60)
    assert all(scraped(two_workers)[SERVED] == 60 for _ in range(10))

    victim, _ = workers(two_workers)
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in workers(two_workers))
    two_workers.recs("C-0001", BETA)

    until(
        lambda: ("recfactory_lookups_total", (BETA, "served", "personal")) in scraped(two_workers)
    )
    series = scraped(two_workers)
    assert series[SERVED] == 60
    assert series["recfactory_lookup_seconds_count", ()] == 61


def test_a_new_start_counts_from_nought_and_leaves_no_folder_behind(
    night: Night, tmp_path: Path
) -> None:
    world = night.world(tmp_path)
    folders = tmp_path / "temporary"
    folders.mkdir()
    for _ in range(2):
        with server(world, night, TMPDIR=str(folders)) as made:
            made.recs("C-0001")
            assert scraped(made)[SERVED] == 1
            assert len(list(folders.iterdir())) == 1
        assert list(folders.iterdir()) == []
    world.stores.engine.dispose()
