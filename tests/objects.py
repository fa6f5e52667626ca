"""A real server that speaks S3, for tests: moto, in a process of its own."""

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from pyarrow import fs


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty one."""

    port: int
    name: str
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """For ``objects.url``."""
        place = f"endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"
        return f"s3://{self.name}/recfactory?{place}"

    def filesystem(self) -> fs.S3FileSystem:
        """To look at it from outside."""
        return fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )

    def keys(self) -> list[str]:
        """Every object, without the bucket and the prefix."""
        base = f"{self.name}/recfactory"
        found = self.filesystem().get_file_info(
            fs.FileSelector(base, recursive=True, allow_not_found=True)
        )
        return sorted(info.path.removeprefix(f"{base}/") for info in found if info.is_file)

    def held(self) -> dict[str, bytes]:
        """Every object with what it holds."""
        source = self.filesystem()
        held = {}
        for key in self.keys():
            with source.open_input_stream(f"{self.name}/recfactory/{key}") as stream:
                held[key] = bytes(stream.read())
        return held

    def remove(self, key: str) -> None:
        self.filesystem().delete_file(f"{self.name}/recfactory/{key}")


@pytest.fixture(scope="session")
def _s3() -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    with _server() as found:
        yield found


@pytest.fixture
def bucket(_s3: tuple[int, "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """One of its own; its credentials are in the environment, as an operator gives them."""
    _sign_in(monkeypatch)
    return _made(*_s3)


@pytest.fixture
def mortal_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """As ``bucket``, on a server that a test may pause and kill."""
    _sign_in(monkeypatch)
    with _server() as (port, process):
        yield _made(port, process)


def _made(port: int, process: "subprocess.Popen[bytes]") -> Bucket:
    found = Bucket(port, f"b{secrets.token_hex(6)}", process)
    found.filesystem().create_dir(found.name)
    return found


def _sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "hunter2-objects",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@contextmanager
def _server() -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 90
        while not _listens(port):
            assert time.monotonic() < until, "moto's server did not start"
            time.sleep(0.1)
        yield port, process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
