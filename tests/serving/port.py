"""A real port: uvicorn as `recfactory serve` sets it up, in a thread; raw bytes in and out."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from serving.app import create_app
from serving.wire import Wire
from tests.serving.morning import Keys, until
from tests.world import World


@dataclass(frozen=True, slots=True)
class Port:
    """Where an application listens, and the protocol's view of who is connected."""

    number: int
    server: uvicorn.Server
    world: World
    keys: Keys

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.number), timeout=20)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def say(self, *parts: bytes) -> bytes:
        """Everything that is answered to bytes sent as they are, until the line is closed."""
        with self.connect() as line:
            for part in parts:
                line.sendall(part)
            return heard(line)

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


def heard(line: socket.socket) -> bytes:
    """What comes until the end, or until a whole answer with a length has come."""
    got = b""
    while not whole(got):
        part = line.recv(65_536)
        if not part:
            break
        got += part
    return got


def whole(got: bytes) -> bool:
    head, end, body = got.partition(b"\r\n\r\n")
    length = next(
        (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    return bool(end) and length is not None and len(body) >= int(length.partition(b":")[2])


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@contextmanager
def listening(world: World, keys: Keys, **more: Any) -> Iterator[Port]:
    """Serve a world on a port of its own."""
    config = uvicorn.Config(
        create_app(world.config),
        http=Wire,
        ws="none",
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
        **more,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            until(lambda: server.started)
            yield Port(listener.getsockname()[1], server, world, keys)
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
