"""Two machines: a home each, one PostgreSQL, one object store, and the real commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from schema.config import Ledger, SharedObjects
from schema.names import TenantId
from storage.rows import EDITIONS, NIGHTS
from tests.objects import Bucket
from tests.postgres import Cluster
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, TEMPLATE, World, open_world, tables

pytestmark = pytest.mark.slow

PEPPER = bytes(range(32)).hex()
FLEET = [TenantId(name) for name in ("acme", "beta", "delta", "gamma", "kappa", "sigma")]


def machine(folder: Path, ledger: str, objects: str) -> World:
    return open_world(
        folder,
        ledger=Ledger.model_validate({"url": ledger}),
        objects=SharedObjects(url=objects, refresh_seconds=0.2),
        pepper=SecretStr(PEPPER),
    )


@pytest.fixture
def ledger(cluster: Cluster) -> str:
    return cluster.url(cluster.make())


@pytest.fixture
def two(ledger: str, bucket: Bucket, tmp_path: Path) -> Iterator[tuple[World, World]]:
    """A and B; A has taken in acme's and beta's data."""
    a, b = (machine(tmp_path / name, ledger, bucket.url) for name in ("a", "b"))
    for name in (ACME, BETA):
        a.add(name)
        a.import_(name, tables(name))
    yield a, b
    for world in (a, b):
        world.stores.engine.dispose()


def environment(world: World, **more: str) -> dict[str, str]:
    file = world.folder / "config.yaml"
    template = TEMPLATE.model_dump(mode="json")
    file.write_bytes(orjson.dumps({"template": template, "nightly": {"processes": 1}}))
    return {
        **os.environ,
        "RECFACTORY_CONFIG": str(file),
        "RECFACTORY_HOME": str(world.config.home),
        "RECFACTORY_PEPPER": PEPPER,
        "RECFACTORY_LEDGER__URL": world.config.ledger.url.get_secret_value(),
        "RECFACTORY_OBJECTS__URL": world.config.objects.url,
        "RECFACTORY_OBJECTS__REFRESH_SECONDS": "0.2",
        **more,
    }


def start(world: World, *words: str, **more: str) -> "subprocess.Popen[str]":
    """A real command on that machine."""
    return subprocess.Popen(
        [sys.executable, "-c", "from jobs.cli import main; main()", *words],
        env=environment(world, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, Any]:
    """Exit status and the JSON it printed."""
    out, said = process.communicate(timeout=240)
    try:
        return process.returncode, json.loads(out)
    except ValueError:
        raise AssertionError(f"{process.returncode}: {out}{said}") from None


def night_of(world: World, night: date) -> "subprocess.Popen[str]":
    return start(world, "night", "--all", "--date", f"{night}", "--json")


@contextmanager
def served(world: World) -> Iterator[int]:
    """`recfactory serve` of that machine; its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = start(world, "serve", RECFACTORY_SERVING__PORT=str(port))
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def until(true: Any, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def recs(port: int, key: str, tenant: TenantId, customer: str = "C-0001") -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/tenants/{tenant}/customers/{customer}/recs",
        headers={"Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


class TestTwoMachines:
    @pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets that only look who listens
    def test_serve_each_others_lists_and_take_turns_in_the_nights(
        self, two: tuple[World, World], bucket: Bucket
    ) -> None:
        a, b = two
        keys = {name: a.key(name) for name in (ACME, BETA)}
        with served(b) as port:
            status, lines = ended(night_of(a, NIGHT))
            assert (status, {line["verdict"] for line in lines}) == (0, {"promoted"})
            for name, key in keys.items():
                until(lambda name=name, key=key: recs(port, key, name)["edition"] == 1)
                found = recs(port, key, name)
                assert found["source"] == "personal"
                assert {r["product_id"][:4] for r in found["recommendations"]} == {name}

            status, lines = ended(night_of(b, NEXT_NIGHT))
            assert status in (0, 3), lines
            until(lambda: recs(port, keys[ACME], ACME)["edition"] == 2)

        for name in (ACME, BETA):
            uid = a.tenant(name).uid
            current = a.stores.editions.current(uid)
            assert current is not None
            assert current == b.stores.editions.current(uid)
            a.stores.editions.check(uid, 2, current.manifest_sha256)
            model = a.tenant(name).model
            assert model is not None
            assert (
                a.stores.models.load(uid, model).factors == b.stores.models.load(uid, model).factors
            ).all()
        self._apart(bucket)

    @staticmethod
    def _apart(bucket: Bucket) -> None:
        """Every key names its tenant, and no object of one speaks of the other's products."""
        for key, body in bucket.held().items():
            kind, uid = key.split("/")[:2]
            assert kind in ("tenants", "pointers")
            mine = uid.removeprefix("t-uid-of-")
            [other] = {ACME, BETA} - {mine}
            assert f"{other}-P-".encode() not in body, key

    def test_that_start_a_night_at_once_publish_each_tenant_once(
        self, two: tuple[World, World]
    ) -> None:
        a, b = two
        for name in FLEET[2:]:
            a.add(name)
            a.import_(name, tables(name))
        drivers = [night_of(world, NIGHT) for world in (a, b)]
        told = [ended(driver)[1] for driver in drivers]

        with a.stores.engine.connect() as connection:
            nights = connection.execute(select(NIGHTS)).all()
            editions = connection.execute(select(EDITIONS)).all()
        assert sorted(row.tenant for row in nights) == FLEET
        assert {(row.state, row.published, row.attempts) for row in nights} == {("done", True, 0)}
        assert sorted(row.tenant for row in editions) == FLEET
        for name in FLEET:
            uid = a.tenant(name).uid
            assert a.stores.editions.current(uid) == b.stores.editions.current(uid)
            assert len(a.stores.objects.pointers()) == 2 * len(FLEET)
        codes = {line.get("code") for lines in told for line in lines if "code" in line}
        assert codes <= {"NIGHT_RUNNING"}
