"""Several workers on one port, as an operator runs them: stopped under load, killed, interrupted."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest

from schema.names import Role
from tests.scenarios.test_http import RECFACTORY, environment
from tests.serving.morning import Night, one_night, until
from tests.world import ACME, World

PLENTY = {
    f"RECFACTORY_SERVING__LIMITS__{name}": "1000000"
    for name in ("KEY_PER_SECOND", "KEY_BURST", "TENANT_PER_SECOND", "TENANT_BURST")
}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def world(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = night.world(tmp_path_factory.mktemp("workers"))
    yield made
    made.stores.engine.dispose()


@dataclass(frozen=True, slots=True)
class Running:
    """A `recfactory serve` with two workers."""

    process: "subprocess.Popen[str]"
    port: int
    key: str

    @property
    def workers(self) -> set[int]:
        """Those that serve: multiprocessing's own helper is none."""
        found = set()
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
                if "spawn_main" in " ".join(child.cmdline()):
                    found.add(child.pid)
        return found

    def answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 5) as s,
        ):
            s.sendall(b"GET /health/ready HTTP/1.1\r\nConnection: close\r\n\r\n")
            return s.recv(100).startswith(b"HTTP/1.1 200")
        return False


@contextmanager
def running(world: World, night: Night) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    more = {"RECFACTORY_SERVING__PORT": str(port), "RECFACTORY_SERVING__WORKERS": "2", **PLENTY}
    process = subprocess.Popen(
        [RECFACTORY, "serve"],
        env=environment(world, **more),
        cwd=world.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that Ctrl-C reaches all of it, and nothing else
    )
    made = Running(process, port, night.keys[ACME, Role.SELLER])
    try:
        until(made.answers, 60)
        until(lambda: len(made.workers) == 2)
        yield made
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


class Clients:
    """Twelve salespersons who ask without a pause, and come back when they are told to leave.

    A request is dropped if it was sent on a connection that has answered before, and no whole
    answer came. (One that the system connected, but no worker had accepted when the last of them
    stopped listening, was never with us: it is counted as turned away, as are refused ones.)
    """

    def __init__(self, made: Running) -> None:
        self.made, self.count, self.stopped = made, Counter[str](), False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> "Clients":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _all(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(12)))

    async def _one(self) -> None:
        while not self.stopped:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.made.port)
            except OSError:
                self.count["turned away"] += 1
                await asyncio.sleep(0.02)
                continue
            answered = False
            try:
                while not self.stopped:
                    if await self._ask(reader, writer):
                        break
                    answered = True
            except (OSError, asyncio.IncompleteReadError):
                self.count["dropped" if answered else "turned away"] += 1
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether we are to leave."""
        writer.write(
            b"GET /tenants/acme/customers/C-0001/recs HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + self.made.key.encode() + b"\r\n\r\n"
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        right = head.startswith(b"http/1.1 200") and body["customer"] == "C-0001"
        self.count["right" if right else "wrong"] += 1
        return b"connection: close" in head


@pytest.mark.slow
@pytest.mark.parametrize("_time", range(5))
def test_a_server_that_is_told_to_stop_under_load_finishes_what_it_began(
    _time: int, world: World, night: Night
) -> None:
    with running(world, night) as made, Clients(made) as clients:
        until(lambda: clients.count["right"] > 200)
        began = time.monotonic()
        made.process.send_signal(signal.SIGTERM)
        out, told = made.process.communicate(timeout=60)
        clients.stopped = True

        assert time.monotonic() - began < 30
        assert made.process.returncode == 0
        assert (out.strip(), told) == ("Stopped.", "")
    assert (clients.count["dropped"], clients.count["wrong"]) == (0, 0)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_other_goes_on(
    world: World, night: Night
) -> None:
    with running(world, night) as made:
        first, second = made.workers
        os.kill(first, signal.SIGKILL)

        answered = sum(made.answers() for _ in range(20))
        until(lambda: len(made.workers - {first}) == 2, 30)

        assert answered >= 15  # but for what the dead one had accepted
        assert second in made.workers
        until(lambda: all(made.answers() for _ in range(10)), 30)


@pytest.mark.slow
def test_ctrl_c_ends_it_with_one_word_and_its_log_is_json_lines(world: World, night: Night) -> None:
    with running(world, night) as made:
        for path in (b"/nowhere\x1b", b"/no%0d%0awhere"):
            with socket.create_connection(("127.0.0.1", made.port)) as line:
                line.sendall(b"GET " + path + b" HTTP/1.1\r\n\r\n")
                assert line.recv(1000)
        os.killpg(made.process.pid, signal.SIGINT)
        out, told = made.process.communicate(timeout=60)

    assert (made.process.returncode, out.strip()) == (0, "Stopped.")
    assert [json.loads(line)["status"] for line in told.splitlines()] == [404]
    assert "where" not in told
