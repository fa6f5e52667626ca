"""PUT …/data/{table}: over a real port, byte by byte, whoever sends whatever in whichever way."""

import asyncio
import base64
import gzip
import hashlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.collect import collect, exit_status
from schema.config import Config, Deliveries
from schema.names import Role, TenantId
from schema.settings import IntakeSettings
from serving.started import run_cli
from tests.jobs.test_intake import customers, products
from tests.scenarios.test_http import command, server
from tests.serving.morning import Night, until
from tests.serving.port import Port, heard, listening, status
from tests.world import ACME, BETA, LOOSE, World

MOST = 200_000
CSV = b"Content-Type: text/csv"
PATH = b"/tenants/acme/data/customers"


@pytest.fixture(scope="module")
def world(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = night.world(tmp_path_factory.mktemp("uploads"))
    template = made.config.template.model_copy(
        update={"intake": IntakeSettings(max_file_bytes=MOST, holds=LOOSE)}
    )
    deliveries = Deliveries(bytes_per_second=5000, waiting_bytes=3 * MOST, waiting_files=3)
    config = made.config.model_copy(update={"template": template, "deliveries": deliveries})
    yield World(config, made.stores, made.folder)
    made.stores.engine.dispose()


@pytest.fixture
def commands() -> list[Sequence[str]]:
    """What the server started."""
    return []


@pytest.fixture
def port(
    world: World, night: Night, commands: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Port]:
    """A server whose imports run in this process: only one test here is about processes."""

    async def here(args: Sequence[str], config: Config, *, by: str | None = None) -> Any:
        commands.append(args)
        found = await asyncio.to_thread(
            collect, world.stores, config, args[2], now=datetime.now(UTC), inbox=False
        )
        return exit_status(found), [line.as_json() for line in found]

    monkeypatch.setattr("serving.upload.run_cli", here)
    monkeypatch.setattr("serving.upload._SECONDS", 1)
    with listening(world, night.keys) as made:
        yield made


def head(
    port: Port,
    *headers: bytes,
    path: bytes = PATH,
    tenant: TenantId = ACME,
    role: Role = Role.ADMIN,
) -> bytes:
    key = port.keys[None if role is Role.OPERATOR else tenant, role].encode()
    return b"\r\n".join(
        [b"PUT " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer " + key, *headers]
    ) + b"\r\n\r\n"  # fmt: skip


def put(port: Port, body: bytes, *headers: bytes, **more: Any) -> bytes:
    sized = b"Content-Length: %d" % len(body)
    return port.say(head(port, *(headers or (CSV,)), sized, **more), body)


def said(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def code(answer: bytes) -> tuple[int, str]:
    return status(answer), said(answer)["code"]


def folder(port: Port, tenant: TenantId = ACME) -> Path:
    return port.world.config.home / "tenants" / port.world.tenant(tenant).uid / "uploads"


def lying(port: Port) -> list[str]:
    """Uploads on disk that are not settled."""
    place = folder(port)
    found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return [path.name for path in found if not (path / "OUTCOME.json").exists()]


def ids(port: Port, tenant: TenantId = ACME) -> list[str]:
    stores = port.world.stores
    rows = stores.datasets.read(port.world.tenant(tenant).uid, "customers")
    found: list[str] = rows["customer_id"].to_pylist()
    return found


def people(word: str, count: int = 3) -> bytes:
    return customers(*(f"{word}-{n}" for n in range(count))).encode()


class TestAnUpload:
    def test_is_taken_in_and_answered_by_its_report(self, port: Port) -> None:
        answer = put(port, people("a"))

        assert status(answer) == 200
        report = said(answer)
        assert (report["tenant"], report["state"], report["dry_run"]) == ("acme", "accepted", False)
        [table] = report["tables"]
        assert (table["table"], table["read"], table["accepted"]) == ("customers", 3, 3)
        assert ids(port) == ["a-0", "a-1", "a-2"]
        assert "a-0" not in ids(port, BETA)
        assert lying(port) == []

    def test_without_a_length_is_taken_too(self, port: Port) -> None:
        body = people("chunked")
        sent = b"".join(b"%x\r\n%b\r\n" % (1, body[n : n + 1]) for n in range(len(body)))

        answer = port.say(head(port, CSV, b"Transfer-Encoding: chunked"), sent + b"0\r\n\r\n")

        assert status(answer) == 200
        assert ids(port)[0] == "chunked-0"

    def test_is_noted_under_the_key_that_sent_it(self, port: Port) -> None:
        put(port, people("noted"))

        [key] = [k for k in port.world.stores.ledger.keys(ACME) if k.role is Role.ADMIN]
        line = port.world.stores.audit.of(ACME)[0]
        assert (line.act, line.actor) == ("import", f"key {key.key_id}")

    def test_that_only_asks_keeps_nothing(self, port: Port) -> None:
        before = ids(port)

        answer = put(port, people("asks"), path=PATH + b"?dry_run=true")

        assert (status(answer), said(answer)["dry_run"]) == (200, True)
        assert ids(port) == before

    def test_that_cannot_be_used_is_refused_with_code_file_and_remedy(self, port: Port) -> None:
        before = ids(port)

        answer = put(port, b"name\nAda\n")

        assert code(answer) == (422, "SCHEMA_MISSING")
        problem = said(answer)
        assert problem["file"] == "customers.csv"
        assert {"line", "column"} <= set(problem)
        assert problem["next_step"]
        assert ids(port) == before

    def test_of_nothing_is_refused(self, port: Port) -> None:
        for length in (b"Content-Length: 0", b"Transfer-Encoding: chunked"):
            answer = port.say(
                head(port, CSV, length), b"0\r\n\r\n" if b"chunked" in length else b""
            )
            assert code(answer) == (422, "DATA_EMPTY")
        assert lying(port) == []

    def test_of_an_unknown_table_is_refused(self, port: Port) -> None:
        assert code(put(port, b"x", path=b"/tenants/acme/data/feedback")) == (422, "INVALID")

    def test_says_itself_whether_it_replaces_or_adds(self, port: Port) -> None:
        assert status(put(port, people("how"), path=PATH + b"?how=add")) == 200
        assert status(put(port, people("other"), path=PATH + b"?how=replace")) == 200
        path = PATH + b"?how=some"
        assert code(put(port, people("how"), path=path)) == (422, "INVALID")

    @pytest.mark.parametrize(
        "header",
        [b"", b"Content-Type: application/json", b"Content-Type: multipart/form-data"],
    )
    def test_of_another_kind_is_refused(self, header: bytes, port: Port) -> None:
        assert code(put(port, b"x", *([header] if header else [b"X: y"]))) == (415, "CONTENT_TYPE")

    def test_that_is_compressed_in_another_way_is_refused(self, port: Port) -> None:
        answer = put(port, b"x", CSV, b"Content-Encoding: br")

        assert code(answer) == (415, "CONTENT_ENCODING")

    @pytest.mark.parametrize(
        ("kind", "coding", "name"),
        [
            (b"text/csv; charset=utf-8", b"gzip", "customers.csv.gz"),
            (b"application/x-ndjson", b"zstd", "customers.jsonl.zst"),
            (b"Application/Vnd.Apache.Parquet", b"identity", "customers.parquet"),
        ],
    )
    def test_is_named_after_what_it_is_said_to_be(
        self, kind: bytes, coding: bytes, name: str, port: Port
    ) -> None:
        headers = (b"Content-Type: " + kind, b"Content-Encoding: " + coding)
        put(port, gzip.compress(name.encode()), *headers)

        tickets = [json.loads(path.read_bytes()) for path in folder(port).glob("*/TICKET.json")]
        assert name in {ticket["file"] for ticket in tickets}


class TestWhoMayNot:
    """Nobody is heard before the door has let them in: no byte of theirs is read."""

    def test_is_answered_before_a_byte_is_read(self, port: Port) -> None:
        for tenant, role, path, expected in (
            (ACME, Role.SELLER, PATH, (403, "ROLE")),
            (BETA, Role.ADMIN, PATH, (404, "NO_TENANT")),
            (ACME, Role.ADMIN, b"/tenants/nobody/data/customers", (404, "NO_TENANT")),
        ):
            sized = (CSV, b"Content-Length: 1000")
            answer = port.say(head(port, *sized, path=path, tenant=tenant, role=role))
            assert code(answer) == expected
        answer = port.say(b"PUT " + PATH + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
        assert code(answer) == (401, "NO_KEY")

    def test_is_not_the_operator(self, port: Port) -> None:
        assert status(put(port, people("operators"), role=Role.OPERATOR)) == 200


class TestABodyThatIsTooLarge:
    def test_and_says_so_is_refused_before_a_byte_is_read(self, port: Port) -> None:
        answer = port.say(head(port, CSV, b"Content-Length: %d" % (MOST + 1)))

        assert code(answer) == (413, "BODY_TOO_LARGE")

    def test_and_does_not_say_so_is_cut_off(self, port: Port) -> None:
        part = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

        answer = port.say(head(port, CSV, b"Transfer-Encoding: chunked"), *[part] * 4)

        assert code(answer) == (413, "BODY_TOO_LARGE")
        until(lambda: lying(port) == [])

    def test_is_one_that_the_tenant_may_not_send_whatever_others_may(
        self, port: Port, world: World
    ) -> None:
        ledger, at = world.stores.ledger, datetime.now(UTC)
        ledger.change_settings(BETA, {"intake.max_file_bytes": 100}, by="test", at=at)
        path = b"/tenants/beta/data/customers"
        until(lambda: status(put(port, people("b", 50), path=path, tenant=BETA)) == 413)

        assert status(put(port, people("b", 50))) == 200
        ledger.change_settings(BETA, {}, by="test", at=at)


class TestASlowSender:
    def test_is_cut_off_when_it_stalls(self, port: Port) -> None:
        answer = port.say(head(port, CSV, b"Content-Length: 1000"), b"customer_id\n")

        assert code(answer) == (408, "BODY_TIME")
        until(lambda: lying(port) == [])

    def test_is_heard_out_while_it_is_fast_enough(self, port: Port) -> None:
        body = people("slow", 1800)  # more than three seconds' worth
        half = len(body) // 3
        with port.connect() as line:
            line.sendall(head(port, CSV, b"Content-Length: %d" % len(body)))
            for part in (body[:half], body[half : 2 * half], body[2 * half :]):
                threading.Event().wait(0.6)
                line.sendall(part)
            assert status(heard(line)) == 200

    def test_who_leaves_in_the_middle_leaves_nothing(self, port: Port) -> None:
        before = ids(port)
        with port.connect() as line:
            line.sendall(head(port, CSV, b"Content-Length: 100000") + b"customer_id\nx\n")
            until(lambda: len(lying(port)) == 1)

        until(lambda: lying(port) == [])
        assert ids(port) == before

    def test_takes_no_more_than_a_few_places_and_none_of_another_tenants(self, port: Port) -> None:
        lines = [port.connect() for _ in range(3)]
        for line in lines:
            line.sendall(head(port, CSV, b"Content-Length: 1000") + b"c")
        until(lambda: len(lying(port)) == 3)

        assert code(put(port, people("many"))) == (429, "UPLOADS_WAITING")
        path = b"/tenants/beta/data/products"
        found = put(port, products("beta-P-01").encode(), path=path, tenant=BETA)
        assert status(found) == 200
        for line in lines:
            line.close()
        until(lambda: lying(port) == [])


class TestTheDigest:
    def told(self, body: bytes) -> bytes:
        digest = base64.b64encode(hashlib.sha256(body).digest())
        return b"Content-Digest: sha-256=:" + digest + b":"

    def test_that_fits_is_taken(self, port: Port) -> None:
        assert status(put(port, people("whole"), CSV, self.told(people("whole")))) == 200

    def test_that_does_not_fit_is_refused_and_nothing_is_kept(self, port: Port) -> None:
        answer = put(port, people("changed"), CSV, self.told(people("sent")))

        assert code(answer) == (400, "DIGEST_MISMATCH")
        assert lying(port) == []
        assert "changed-0" not in ids(port)

    @pytest.mark.parametrize("value", [b"md5=:abc=:", b"sha-256=abc", b"sha-256=:!!:", b""])
    def test_that_cannot_be_read_is_refused(self, value: bytes, port: Port) -> None:
        answer = put(port, b"x", CSV, b"Content-Digest: " + value)

        assert code(answer) == (400, "DIGEST")


class TestTheSameBytesAgain:
    def test_are_answered_by_the_first_report_and_not_imported_again(
        self, port: Port, commands: list[Sequence[str]]
    ) -> None:
        first = put(port, people("again"))
        second = put(port, people("again"))

        assert said(second) == said(first)
        assert status(second) == 200
        assert len(commands) == 1

    def test_are_imported_again_once_anything_has_changed(
        self, port: Port, commands: list[Sequence[str]]
    ) -> None:
        for word in ("one", "two", "one"):
            assert status(put(port, people(word))) == 200

        assert ids(port)[0] == "one-0"
        assert len(commands) == 3

    def test_sent_at_the_same_moment_count_once(self, port: Port) -> None:
        answers: list[bytes] = []
        senders = [
            threading.Thread(target=lambda: answers.append(put(port, people("twice"))))
            for _ in range(3)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

        assert [status(answer) for answer in answers] == [200] * 3
        assert len({said(answer)["batch"] for answer in answers}) == 1
        assert ids(port)[0] == "twice-0"


class TestAnImportThatTakesLonger:
    @pytest.fixture
    def hurried(self, port: Port, monkeypatch: pytest.MonkeyPatch) -> Port:
        async def never(*_: object, **__: object) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr("serving.upload.run_cli", never)
        reception = port.server.config.loaded_app.app.api.state.reception
        config = reception.config
        quick = config.deliveries.model_copy(update={"answer_seconds": 0.05})
        reception.config = config.model_copy(update={"deliveries": quick})
        return port

    def test_is_answered_202_and_stays_where_collect_finds_it(self, hurried: Port) -> None:
        answer = put(hurried, people("later"))

        assert (status(answer), said(answer)["state"]) == (202, "waiting")
        batch = said(answer)["batch"]
        assert b"location: /tenants/acme/data/reports/" + batch.encode() in answer.lower()
        assert len(lying(hurried)) == 1
        world = hurried.world
        [found] = collect(world.stores, world.config, ACME, now=datetime.now(UTC))
        assert found.report is not None
        assert found.report["batch"] == batch

    def test_holds_no_more_bytes_or_files_than_the_tenant_may_have_waiting(
        self, hurried: Port
    ) -> None:
        for word in ("x", "y", "z"):
            assert status(put(hurried, people(word))) == 202

        assert code(put(hurried, people("w"))) == (429, "UPLOADS_WAITING")
        path = b"/tenants/beta/data/customers"
        assert status(put(hurried, people("w"), path=path, tenant=BETA)) == 202
        for name in (ACME, BETA):
            world = hurried.world
            collect(world.stores, world.config, name, now=datetime.now(UTC))


class TestACommandOfTheServers:
    def run(self, world: World, *args: str, by: str | None = None) -> tuple[int, Any]:
        return asyncio.run(run_cli(args, world.config, by=by))

    def test_comes_back_with_its_status_and_what_it_printed(self, world: World) -> None:
        found = self.run(world, "tenant", "list", "--json")

        assert found[0] == 0
        assert [line["tenant"] for line in found[1]] == ["acme", "beta"]

    def test_acts_in_the_name_of_who_asked(self, world: World) -> None:
        args = ("tenant", "mode", "beta", "on", "--why", "a test")
        assert self.run(world, *args, by="key 0123")[0] == 0

        assert world.stores.audit.of(BETA)[0].actor == "key 0123"

    def test_that_is_refused_says_why(self, world: World) -> None:
        status, told = self.run(world, "data", "show", "nobody", "--json")

        assert (status, told["code"]) == (2, "NO_TENANT")
        assert told["fix"]

    def test_may_not_take_more_memory_than_it_is_given(self, world: World) -> None:
        small = world.config.deliveries.model_copy(update={"import_bytes": 2**26})
        config = world.config.model_copy(update={"deliveries": small})

        assert self.run(World(config, world.stores, world.folder), "doctor")[0] not in (0, 2, 3)

    def test_ends_when_its_time_is_over(self, world: World) -> None:
        short = world.config.deliveries.model_copy(update={"import_minutes": 1 / 60})
        config = world.config.model_copy(update={"deliveries": short})

        status, _ = self.run(World(config, world.stores, world.folder), "schedule")

        assert status != 0


@pytest.mark.slow
class TestARealServer:
    def upload(self, port: int, key: str, source: str, table: str, *more: str) -> str:
        """By curl, as the page for senders says."""
        done = subprocess.run(
            [
                "bash", "-c",
                f"{source} | curl -s -w '%{{http_code}}' -X PUT -T - -H 'Content-Type: text/csv' "
                f"-H 'Authorization: Bearer {key}' {' '.join(more)} "
                f"http://127.0.0.1:{port}/tenants/acme/data/{table}",
            ],
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        return done.stdout

    def test_takes_200_megabytes_in_without_growing(self, night: Night, tmp_path: Path) -> None:
        world = night.world(tmp_path)
        world.loosen(ACME, BETA)
        with server(world, night) as made:
            key, process = night.keys[ACME, Role.ADMIN], psutil.Process(made.process.pid)
            self.upload(made.port, key, "echo x", "customers")
            before, peak, done = process.memory_info().rss, 0, threading.Event()

            def watch() -> None:
                nonlocal peak
                while not done.wait(0.02):
                    peak = max(peak, process.memory_info().rss)

            watcher = threading.Thread(target=watch)
            watcher.start()
            # Not UTF-8 from its first byte on: the import is short.
            answer = self.upload(
                made.port, key, "tr '\\0' '\\377' </dev/zero | head -c 200000000", "customers"
            )
            done.set()
            watcher.join()
            assert '"TEXT_ENCODING"' in answer
            assert answer.endswith("422")
            assert peak - before < 16 * 2**20, f"{(peak - before) / 2**20:.0f} MiB"
        world.stores.engine.dispose()

    @pytest.mark.parametrize("also", ["server", "server and import"])
    def test_killed_in_the_middle_of_an_import_loses_nothing_and_doubles_nothing(
        self, also: str, night: Night, tmp_path: Path
    ) -> None:
        world = night.world(tmp_path)
        world.loosen(ACME, BETA)
        uid = world.tenant(ACME).uid
        uploads = world.config.home / "tenants" / uid / "uploads"
        body = tmp_path / "sold.csv"
        lines = (f"C-0001,acme-P-01,2026-03-01T00:00:00.{n:06}Z" for n in range(40_000))
        body.write_text("\n".join(["customer_id,product_id,occurred_at", *lines, ""]))
        before = len(world.stores.datasets.read(uid, "interactions"))
        with server(world, night) as made:
            key = night.keys[ACME, Role.ADMIN]
            sender = threading.Thread(
                target=self.upload, args=(made.port, key, f"cat {body}", "interactions")
            )
            sender.start()
            until(lambda: any(uploads.glob("*/.tries")))  # its import has begun
            import_ = psutil.Process(made.process.pid).children()
            os.kill(made.process.pid, signal.SIGKILL)
            if also == "server and import":
                for child in import_:
                    child.kill()
            sender.join(60)

            command(world, "data", "collect", "acme", "--json", check=False)

            for child in import_:
                until(lambda child=child: not child.is_running())  # type: ignore[misc]
            assert len(world.stores.datasets.read(uid, "interactions")) == before + 40_000
            assert world.stores.uploads.waiting(uid) == []
        world.stores.engine.dispose()

    def test_that_is_stopped_ends_its_import_and_collect_finishes_it(
        self, night: Night, tmp_path: Path
    ) -> None:
        world = night.world(tmp_path)
        world.loosen(ACME, BETA)
        body = tmp_path / "people.csv"
        body.write_bytes(people("stopped", 1000))
        with server(world, night, RECFACTORY_DELIVERIES__ANSWER_SECONDS="0") as made:
            key = night.keys[ACME, Role.ADMIN]
            answer = self.upload(made.port, key, f"cat {body}", "customers")
            assert answer.endswith("202")
            until(lambda: bool(psutil.Process(made.process.pid).children()))
            [child] = psutil.Process(made.process.pid).children()
            made.process.send_signal(signal.SIGTERM)
            made.process.wait(30)
        assert not child.is_running()

        command(world, "data", "collect", "acme")

        rows = world.stores.datasets.read(world.tenant(ACME).uid, "customers")
        assert len(rows) == 1000
        world.stores.engine.dispose()
