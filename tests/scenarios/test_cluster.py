"""The night of a fleet on a real Ray cluster of two nodes, one of which dies in the middle.

Both nodes run on this machine, in folders of their own, with tokens as in earnest.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil
import pytest

from schema.names import TenantId
from tests.world import NIGHT, TEMPLATE, World, open_world, tables

FLEET = [TenantId(f"tenant-{number:02}") for number in range(12)]
SLOW = FLEET[3], FLEET[4]
"""Neither the first nor the last: the larger a tenant, the sooner its turn."""

RAY = (sys.executable, "-c", "from ray.scripts.scripts import main; main()")
CLI = (sys.executable, "-c", "from jobs.cli import main; main()")
NODE = (
    "--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats",
    "--min-worker-port=0", "--max-worker-port=0", "--block",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two nodes with a core each; the first is the head."""

    address: str
    environment: dict[str, str]
    nodes: tuple[psutil.Process, psutil.Process]

    def kill_second(self) -> None:
        """As if its plug was pulled: its daemon dies, and with it whatever it had started."""
        [raylet] = [p for p in self.nodes[1].children(recursive=True) if p.name() == "raylet"]
        raylet.kill()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with _running() as found:
        yield found


@contextmanager
def _running() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="rf-ray-"))  # short: sockets are in it
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    address = f"127.0.0.1:{_free_port()}"
    port = address.rpartition(":")[2]
    begun: list[subprocess.Popen[bytes]] = []
    try:
        for name, role in (
            ("a", ("--head", f"--port={port}", "--include-dashboard=false")),
            ("b", (f"--address={address}",)),
        ):
            words = [*RAY, "start", *role, *NODE, f"--temp-dir={folder / name}"]
            with (folder / f"{name}.log").open("wb") as log:
                begun.append(
                    subprocess.Popen(
                        words, env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
            log_of = folder / f"{name}.log"
            patiently(lambda log=log_of: _started(log), 150, f"node {name}")  # type: ignore[misc]
        first, second = (psutil.Process(node.pid) for node in begun)
        yield Cluster(address, environment, (first, second))
    finally:
        for process in _all_of(begun, folder):
            with suppress(psutil.Error):
                process.kill()
        for node in begun:
            node.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _all_of(begun: list["subprocess.Popen[bytes]"], folder: Path) -> list[psutil.Process]:
    """Also those that left their parents: each of them names the cluster's folder."""
    found = {psutil.Process(node.pid) for node in begun if node.poll() is None}
    for process in [*found]:
        found |= {*process.children(recursive=True)}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()):
                found |= {process, *process.children(recursive=True)}
    return [*found]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(log: Path) -> bool:
    told = log.read_text()
    assert "PANIC" not in told, told
    return "runtime started" in told


def patiently(there: Callable[[], bool], seconds: float, what: str) -> None:
    begin = time.monotonic()
    while not there():
        assert time.monotonic() < begin + seconds, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Twelve tenants with the same customer ids; the first are the largest."""
    made = open_world(tmp_path)
    for place, name in enumerate(FLEET):
        made.add(name)
        made.import_(name, tables(name, customers=60 - 2 * place))
    yield made
    made.stores.engine.dispose()


def night(folder: Path, home: Path, *words: str, **environment: str) -> "subprocess.Popen[bytes]":
    file = folder / "config.yaml"
    file.write_bytes(orjson.dumps({"template": TEMPLATE.model_dump(mode="json")}))
    settings = {"RECFACTORY_CONFIG": str(file), "RECFACTORY_HOME": str(home)}
    return subprocess.Popen(
        [*CLI, "night", "--all", "--date", f"{NIGHT}", "--json", *words],
        env={**os.environ, **environment, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@contextmanager
def stopped_in_the_end(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def held_up(world: World, names: tuple[TenantId, ...]) -> Iterator[None]:
    """Work on these tenants comes to its first lock and stays there."""
    with ExitStack() as stack:
        for name in names:
            folder = world.config.home / "tenants" / world.tenant(name).uid
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def waiting() -> int:
    """How many processes wait for a lock of this machine that this process holds."""
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    mine = {words[0] for words in lines if words[1] == "FLOCK" and words[4] == str(os.getpid())}
    return sum(words[1] == "->" and words[0] in mine for words in lines)


def served(home: Path) -> dict[str, dict[str, bytes]]:
    """By tenant, every file of the edition that is served, but for when it was made."""
    found = {}
    for folder in sorted((home / "tenants").iterdir()):
        number = orjson.loads((folder / "CURRENT").read_bytes())["edition"]
        edition = folder / "editions" / f"e{number:06}"
        found[folder.name] = {path.name: path.read_bytes() for path in edition.iterdir()}
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestANodeThatDies:
    def test_costs_its_tenant_an_attempt_and_every_tenant_ends_on_one_edition(
        self, cluster: Cluster, world: World, tmp_path: Path
    ) -> None:
        home, alone = world.config.home, tmp_path / "alone"
        shutil.copytree(home, alone)
        one = night(tmp_path, alone, "--executor", "in-process")
        with stopped_in_the_end(one):
            _, errors = one.communicate(timeout=120)
            assert one.returncode == 0, errors.decode()

        asked = {
            **cluster.environment,
            "RECFACTORY_NIGHTLY__RAY__ADDRESS": cluster.address,
            "RECFACTORY_NIGHTLY__RAY__WORKERS": "2",
        }
        many = night(tmp_path, home, "--executor", "ray", **asked)
        with stopped_in_the_end(many):
            with held_up(world, SLOW):
                patiently(lambda: waiting() == 2 or many.poll() is not None, 90, "two slow tenants")
                assert many.poll() is None, many.communicate()[1].decode()
                cluster.kill_second()
                patiently(lambda: waiting() == 1, 60, "the dead node's worker to end")
            out, errors = many.communicate(timeout=120)
        assert many.returncode == 0, errors.decode()
        told = orjson.loads(out)
        assert [line["tenant"] for line in told] == FLEET
        assert {line["published"] for line in told} == {True}
        assert errors.decode().count("trying once more") == 1

        assert served(home) == served(alone)
        for name in FLEET:
            assert published_once(world, name)


def published_once(world: World, name: TenantId) -> bool:
    """One whole edition on disk and on record, and one night that was begun once."""
    known = world.tenant(name)
    current = world.stores.editions.current(known.uid)
    assert current is not None
    world.stores.editions.check(known.uid, current.edition, current.manifest_sha256)
    [row] = world.stores.nights.editions(name)
    [report] = world.stores.nights.nights(name, 7)
    counted = Counter(world.stores.editions.numbers(known.uid))
    return bool(
        counted == {current.edition: 1}
        and (row["edition"], row["manifest_sha256"]) == (current.edition, current.manifest_sha256)
        and (report.edition, report.published) == (current.edition, True)
        and current.fence == 1
    )
