"""The lookup as a salesperson's screen meets it: a real process, a real port, real bytes."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from jobs.cli.serve import refuse_taken_port
from schema.names import Bought, Mode, Role, TenantId
from tests.serving.morning import Night, one_night, until
from tests.world import ACME, BETA, NEXT_NIGHT, World

RECFACTORY = Path(sys.executable).with_name("recfactory")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the wire."""

    status: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


LOG = "served.log"


@dataclass(frozen=True, slots=True)
class Server:
    """A running `recfactory serve` and the world behind it."""

    process: "subprocess.Popen[str]"
    port: int
    world: World
    night: Night

    @property
    def log(self) -> str:
        """What it told on standard error so far."""
        return (self.world.folder / LOG).read_text()

    def ask(
        self,
        method: str,
        path: str,
        key: tuple[TenantId | None, Role] | None = (ACME, Role.SELLER),
        body: object = None,
    ) -> Answer:
        """Send a path exactly as it is written: nothing in between tidies it up."""
        headers = {} if key is None else {"Authorization": f"Bearer {self.night.keys[key]}"}
        sent = None if body is None else json.dumps(body).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if sent is not None:
                connection.putheader("Content-Length", str(len(sent)))
            connection.endheaders(sent)
            found = connection.getresponse()
            return Answer(found.status, found.headers.get_content_type(), found.read())
        finally:
            connection.close()

    def recs(self, customer: str = "C-0001", tenant: TenantId = ACME, query: str = "") -> Any:
        found = self.ask(
            "GET",
            f"/tenants/{tenant}/customers/{quote(customer, safe='')}/recs{query}",
            (tenant, Role.SELLER),
        )
        assert found.status == 200, found.body
        return found.json

    def switch(self, mode: Mode, tenant: TenantId = ACME) -> None:
        found = self.ask(
            "PUT", f"/tenants/{tenant}/mode", (tenant, Role.ADMIN), {"mode": mode, "why": "a test"}
        )
        assert found.status == 200, found.body


def environment(world: World, **more: str) -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("RECFACTORY_")},
        "RECFACTORY_HOME": str(world.config.home),
        "RECFACTORY_SERVING__REFRESH_SECONDS": "0.02",
        "COLUMNS": "300",
        **more,
    }


def command(world: World, *words: str, check: bool = True) -> str:
    """Run a real command, which has to succeed (or be checked by the caller); what it printed."""
    done = subprocess.run(
        [RECFACTORY, *words],
        env=environment(world),
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=check,
    )
    return done.stdout


@contextmanager
def server(world: World, night: Night, port: int = 0, **more: str) -> Iterator[Server]:
    """Start the real thing and wait until it answers; end it as Ctrl-C would."""
    with socket.create_server(("127.0.0.1", port)) as probe:
        port = probe.getsockname()[1]
    with (world.folder / LOG).open("a") as log:  # a pipe that nobody reads would fill, and stop it
        process = subprocess.Popen(
            [RECFACTORY, "serve"],
            env=environment(world, RECFACTORY_SERVING__PORT=str(port), **more),
            cwd=world.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    made = Server(process, port, world, night)
    try:
        until(lambda: answers(made), 60)
        yield made
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()


def answers(made: Server) -> bool:
    assert made.process.poll() is None, made.log
    try:
        return made.ask("GET", "/health/live", None).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def shared(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every test that leaves things as they were."""
    world = night.world(tmp_path_factory.mktemp("shared"))
    with server(world, night) as made:
        yield made
    world.stores.engine.dispose()


@pytest.fixture
def own(night: Night, tmp_path: Path) -> Iterator[Server]:
    """A server of one's own."""
    world = night.world(tmp_path)
    with server(world, night) as made:
        yield made
    world.stores.engine.dispose()


def problem(found: Answer, status: int, code: str) -> Mapping[str, Any]:
    assert (found.status, found.kind) == (status, "application/problem+json"), found.body
    document: Mapping[str, Any] = found.json
    assert (document["status"], document["code"]) == (status, code)
    assert document["detail"]
    assert document["next_step"]
    return document


class TestTheTwoDoors:
    @pytest.mark.parametrize(
        ("customer", "query", "options"),
        [
            ("C-0001", "", ()),
            ("C-0002", "?limit=24&bought=exclude", ("--limit", "24", "--bought", "exclude")),
            ("nobody we know", "", ()),
        ],
    )
    def test_say_the_same(
        self, customer: str, query: str, options: tuple[str, ...], shared: Server
    ) -> None:
        printed = command(shared.world, "recs", ACME, customer, *options, "--json")

        assert json.loads(printed) == shared.recs(customer, query=query)


class TestTwoTenants:
    def test_never_see_each_others_products(self, shared: Server) -> None:
        for mine, other in ((ACME, BETA), (BETA, ACME)):
            for customer in (*(f"C-{n:04}" for n in range(0, 60, 3)), "stranger"):
                for bought in Bought:
                    path = f"/tenants/{mine}/customers/{customer}/recs?limit=50&bought={bought}"
                    found = shared.ask("GET", path, (mine, Role.SELLER))
                    assert found.status == 200
                    assert other.encode() not in found.body

    def test_never_see_anything_of_each_other_in_what_admins_are_told(self, shared: Server) -> None:
        for mine, other in ((ACME, BETA), (BETA, ACME)):
            for path in ("mode", "nights", "models", "editions"):
                found = shared.ask("GET", f"/tenants/{mine}/{path}", (mine, Role.ADMIN))
                assert found.status == 200
                assert other.encode() not in found.body

    def test_look_to_each_other_as_if_they_did_not_exist(self, shared: Server) -> None:
        for below in ("/customers/C-0001/recs", "/mode", "/nights"):
            theirs, nobodys = (
                shared.ask("GET", f"/tenants/{tenant}{below}", (ACME, Role.ADMIN))
                for tenant in (BETA, "nobody")
            )
            problem(theirs, 404, "NO_TENANT")
            assert theirs.body == nobodys.body


class TestAKey:
    def test_is_wanted(self, shared: Server) -> None:
        for tenant in (ACME, "nobody"):
            problem(
                shared.ask("GET", f"/tenants/{tenant}/customers/C-0001/recs", None), 401, "NO_KEY"
            )

    def test_of_a_seller_opens_no_switch(self, shared: Server) -> None:
        found = shared.ask("PUT", "/tenants/acme/mode", body={"mode": "off", "why": "x"})

        problem(found, 403, "ROLE")
        assert shared.recs()["mode"] == "on"

    def test_that_was_just_made_at_the_command_line_opens_and_once_revoked_does_not(
        self, shared: Server
    ) -> None:
        made = json.loads(command(shared.world, "key", "create", ACME, "--json"))
        mine = Server(shared.process, shared.port, shared.world, Night(shared.world.folder, {
            (ACME, Role.SELLER): made["key"]
        }))  # fmt: skip

        path = "/tenants/acme/customers/C-0001/recs"
        until(lambda: mine.ask("GET", path).status == 200)
        command(shared.world, "key", "revoke", made["key_id"])

        until(lambda: mine.ask("GET", path).status == 401)


class TestAStranger:
    def test_gets_the_popular_list_marked_so(self, shared: Server) -> None:
        body = shared.recs("never-seen")

        assert (body["source"], len(body["recommendations"])) == ("popular", 10)


class TestAWrongQuestion:
    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("limit=0", "LIMIT"),
            ("limit=51", "LIMIT"),
            ("limit=x", "INVALID"),
            ("bought=x", "BOUGHT"),
        ],
    )
    def test_is_refused_with_its_code(self, query: str, code: str, shared: Server) -> None:
        problem(shared.ask("GET", f"/tenants/acme/customers/C-0001/recs?{query}"), 422, code)


HOSTILE = [
    "..",
    ".",
    "../C-0001",
    "../../beta/customers/C-0001",
    "%2e%2e",
    "C-0001/../C-0002",
    "C-0001\x00",
    "\x00popular",
    "\x00",
    "x" * 5000,
    "é" * 600,
    "Ünïcödé-客户-👩‍🔧",
    "'; DROP TABLE tenants; --",
    '"',
    "<script>alert(1)</script>",
    "C-0001 ",
    " C-0001",
    "c-0001",
    "*",
    "?",
    "#",
    "C-0001?limit=50",
    "{tenant}",
    "%s%n",
    "\\",
    "/",
    "//",
    "recs",
    "x/recs",
]


class TestAHostileCustomerId:
    @pytest.mark.parametrize("customer", HOSTILE, ids=ascii)
    def test_is_a_stranger_to_us_and_breaks_nothing(self, customer: str, shared: Server) -> None:
        body = shared.recs(customer)

        assert body["source"] == "popular"
        assert body["customer"] == customer
        assert body["recommendations"] == shared.recs("never-seen")["recommendations"]

    @pytest.mark.parametrize(
        "path",
        [
            "/tenants/acme/customers/../../beta/customers/C-0001/recs",
            "/tenants/acme/../beta/customers/C-0001/recs",
            "/tenants/acme%2f..%2fbeta/customers/C-0001/recs",
            "/tenants/..%2fbeta/customers/C-0001/recs",
            "/tenants/%00/customers/C-0001/recs",
            "/tenants//customers/C-0001/recs",
            "/tenants/acme/customers/%ff%fe/recs",
            "/tenants/acme/customers/%ed%a0%80/recs",
            "/tenants/acme/customers/C-0001%00/recs",
            "/tenants/acme/customers/C-0001%0d%0aX-Evil:%201/recs",
            "/tenants/acme/customers/%/recs",
            "/tenants/acme/customers/%zz/recs",
            "/tenants/acme/customers//recs",
            "/tenants/acme/customers/C-0001/recs/",
            "/tenants/ACME/customers/C-0001/recs",
            "//tenants/beta/customers/C-0001/recs",
            "/tenants/beta/customers/C-0001/recs",
        ],
    )
    def test_or_path_never_opens_another_tenants_or_customers_list(
        self, path: str, shared: Server
    ) -> None:
        found = shared.ask("GET", path)

        assert found.status < 500
        assert b"beta-P" not in found.body
        assert b'"personal"' not in found.body


class TestTheSwitch:
    @pytest.fixture
    def switched(self, shared: Server) -> Iterator[Server]:
        """Whatever a test turns, it is on again afterwards."""
        yield shared
        shared.switch(Mode.ON)

    def test_is_in_force_with_the_very_next_lookup(self, switched: Server) -> None:
        before = switched.recs()
        for mode in (Mode.FREEZE, Mode.OFF, Mode.ON):
            switched.switch(mode)
            body = switched.recs()
            assert body["mode"] == mode
            assert bool(body["recommendations"]) == (mode is not Mode.OFF)

        assert switched.recs() == before

    def test_turned_at_the_command_line_is_noticed_by_the_running_server(
        self, switched: Server
    ) -> None:
        command(switched.world, "tenant", "mode", ACME, "off", "--why", "stocktaking")
        until(lambda: switched.recs()["mode"] == "off")
        assert switched.recs()["recommendations"] == []

        command(switched.world, "tenant", "mode", ACME, "on", "--why", "done")
        until(lambda: switched.recs()["mode"] == "on")

    def test_leaves_the_other_tenant_alone(self, switched: Server) -> None:
        before = switched.recs(tenant=BETA)

        switched.switch(Mode.OFF)

        assert switched.recs(tenant=BETA) == before


class TestARunningServer:
    def test_serves_a_new_edition_soon_and_never_mixes_two(self, own: Server) -> None:
        customers = [f"C-{n:04}" for n in range(6)]
        old = {customer: own.recs(customer) for customer in customers}
        assert {body["edition"] for body in old.values()} == {1}

        own.world.night(ACME, NEXT_NIGHT)
        seen = []
        until(lambda: seen.append(own.recs()) or seen[-1]["edition"] == 2)  # type: ignore[func-returns-value]
        new = {customer: own.recs(customer) for customer in customers}

        assert all(body in (old["C-0001"], new["C-0001"]) for body in seen)
        assert {body["edition"] for body in new.values()} == {2}
        assert new != old
        assert own.recs(tenant=BETA)["edition"] == 1

    def test_goes_back_to_an_earlier_edition_over_http(self, own: Server) -> None:
        first = own.recs()
        own.world.night(ACME, NEXT_NIGHT)
        until(lambda: own.recs()["edition"] == 2)

        found = own.ask(
            "POST", "/tenants/acme/editions/1/activate", (ACME, Role.ADMIN), {"why": "odd lists"}
        )

        assert (found.status, found.json["edition"], found.json["current"]) == (200, 1, True)
        until(lambda: own.recs()["edition"] == 1)
        assert own.recs()["recommendations"] == first["recommendations"]

    def test_goes_on_answering_when_the_database_is_gone(self, own: Server) -> None:
        before = own.recs()

        home = own.world.config.home
        own.world.stores.engine.dispose()
        (home / "ledger.db").rename(home / "elsewhere.db")

        deadline = time.monotonic() + 0.3  # many times the seconds between two looks
        while time.monotonic() < deadline:
            assert own.recs() == before
        assert own.recs(tenant=BETA)["source"] == "personal"
        assert own.ask("GET", "/health/ready", None).status == 200
        assert own.ask("GET", "/health/live", None).status == 200

    def test_stops_cleanly_at_ctrl_c(self, own: Server) -> None:
        own.process.send_signal(signal.SIGINT)
        own.process.communicate(timeout=30)
        told = own.log

        assert own.process.returncode in (0, 130)
        assert "Traceback" not in told
        assert "Error" not in told

    def test_tells_a_second_one_that_its_port_is_taken(self, shared: Server) -> None:
        done = subprocess.run(
            [RECFACTORY, "serve"],
            env=environment(shared.world, RECFACTORY_SERVING__PORT=str(shared.port)),
            cwd=shared.world.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 2
        assert str(shared.port) in done.stderr
        assert "Traceback" not in done.stderr

    def test_may_listen_at_an_address_of_ipv6(self, empty_world: World) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        serving = empty_world.config.serving.model_copy(update={"host": "::1", "port": free})

        with suppress(OSError):  # not every machine has such addresses
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
            refuse_taken_port(empty_world.config.model_copy(update={"serving": serving}))
