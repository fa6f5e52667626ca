"""The real night of a fleet, killed with everything it started, at any moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import orjson
import psutil
import pytest

from schema.names import TenantId
from tests.faults.disk import STRAYS
from tests.world import NIGHT, TEMPLATE, World, open_world, tables

FLEET = [TenantId(name) for name in ("acme", "beta", "gamma", "delta")]
KILLS = 8


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Four tenants after their first night."""
    made = open_world(tmp_path)
    for name in FLEET:
        made.add(name)
        made.import_(name, tables(name))
        assert made.night(name).published
    yield made
    made.stores.engine.dispose()


def start(world: World, night: date) -> "subprocess.Popen[bytes]":
    """`recfactory night --all` in a process group of its own."""
    file = world.folder / "config.yaml"
    template = TEMPLATE.model_dump(mode="json")
    file.write_bytes(orjson.dumps({"template": template, "nightly": {"processes": 2}}))
    settings = {"RECFACTORY_CONFIG": str(file), "RECFACTORY_HOME": str(world.config.home)}
    command = "from jobs.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "night", "--all", "--date", f"{night}", "--json"],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def running(group: int) -> list[int]:
    """Processes of a group that still run; a few moments are granted to be gone."""
    for _ in range(200):
        left = [p.pid for p in psutil.process_iter() if _belongs(p, group)]
        if not left:
            break
        time.sleep(0.02)
    return left


def _belongs(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def whole_edition(world: World, name: TenantId) -> int:
    """The edition a tenant serves, after reading every byte and list of it."""
    uid = world.tenant(name).uid
    current = world.stores.editions.current(uid)
    assert current is not None
    world.stores.editions.check(uid, current.edition, current.manifest_sha256)
    return current.edition


@pytest.mark.slow
class TestKilledNight:
    def test_leaves_every_tenant_on_one_whole_edition_and_a_repeat_completes(
        self, world: World
    ) -> None:
        night = NIGHT + timedelta(days=1)
        begin = time.monotonic()
        out, _ = start(world, night).communicate(timeout=120)
        undisturbed = time.monotonic() - begin
        assert {line["published"] for line in orjson.loads(out)} == {True}
        for kill in range(KILLS):
            before = {name: whole_edition(world, name) for name in FLEET}
            night += timedelta(days=1)
            process = start(world, night)
            try:
                # The first half of a run is imports; the kills are spread over the rest.
                process.wait(undisturbed * (0.5 + 0.5 * kill / KILLS))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            assert running(process.pid) == []
            for name in FLEET:
                assert whole_edition(world, name) in (before[name], before[name] + 1), kill
        again = start(world, night)
        out, _ = again.communicate(timeout=120)
        assert again.returncode == 0
        assert {(line["tenant"], line["published"]) for line in orjson.loads(out)} == {
            (name, True) for name in FLEET
        }
        assert running(again.pid) == []
        for name in FLEET:
            report = world.stores.nights.nights(name)[0]
            assert (report.night, report.edition) == (night, whole_edition(world, name))
        left = [path for path in world.config.home.rglob("*") if path.name.startswith(STRAYS)]
        assert left == []
