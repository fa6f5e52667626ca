"""A real PostgreSQL for tests: started in a folder of its own, on a free port, gone afterwards.

Under CI a machine without it fails loudly; elsewhere the tests that want it are skipped.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "postgres"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server on 127.0.0.1 that wants a password."""

    port: int
    password: str
    control: tuple[str, ...] = ()
    """The command that stops and starts it, but for its last word."""

    def die(self) -> None:
        """Every process of it ends at once; the next start recovers."""
        _run(*self.control, "-m", "immediate", "stop")

    def start(self) -> None:
        _run(*self.control, "start")

    def url(self, database: str) -> str:
        """A SQLAlchemy URL; the server has no certificate."""
        return (
            f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}?sslmode=disable"
        )

    def make(self) -> str:
        """A new, empty database; returns its name."""
        name = f"t{secrets.token_hex(6)}"
        with self.connect("postgres") as connection:
            connection.execute(f"create database {name}".encode())
        return name

    def connect(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname=database,
            autocommit=True,
        )


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with _running(_programs()) as found:
        yield found


@pytest.fixture
def mortal_cluster() -> Iterator[Cluster]:
    """One of its own, that a test may kill and start again."""
    with _running(_programs()) as found:
        yield found


def _programs() -> Path:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no PostgreSQL; .ci/run installs it")
        pytest.skip("PostgreSQL is not installed here (Debian: postgresql)")
    return programs[-1].parent


@contextmanager
def _running(programs: Path) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="recfactory-pg-"))
    port, password = _free_port(), secrets.token_hex(16)
    secret = folder / "password"
    secret.write_text(password)
    # A server refuses to run as root; Debian's package has made a user for it.
    as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    if as_user:
        for path in (folder, secret):
            shutil.chown(path, USER)
    data = str(folder / "data")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    _run(
        *as_user, programs / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256",
        f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--no-sync",
    )  # fmt: skip
    control = [*as_user, str(programs / "pg_ctl"), "-D", data, "-w", "-t", "60"]
    control += ["-l", str(folder / "log"), "-o", options]
    found = Cluster(port, password, tuple(control))
    found.start()
    try:
        yield found
    finally:
        _run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd="/", capture_output=True, text=True)  # root's folder is closed
    assert done.returncode == 0, done.stdout + done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
