import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from schema.config import Limits, Serving
from schema.names import Role
from serving.load import PLACES, Kind
from tests.serving.morning import Night, Served, problem, serving, until
from tests.serving.port import Port, heard, listening, status
from tests.world import ACME, BETA, World

CAP = 20_000
SMALL = Serving(refresh_seconds=0.02, limits=Limits(body_bytes=CAP, body_seconds=1))


@pytest.fixture(scope="module")
def world(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = night.world(tmp_path_factory.mktemp("small"))
    yield World(made.config.model_copy(update={"serving": SMALL}), made.stores, made.folder)
    made.stores.engine.dispose()


@pytest.fixture(scope="module")
def port(world: World, night: Night) -> Iterator[Port]:
    with listening(world, night.keys) as made:
        yield made


def post(port: Port, *headers: bytes, path: bytes = b"/tenants/acme/feedback") -> bytes:
    key = port.keys[ACME, Role.SELLER].encode()
    return b"\r\n".join(
        [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer " + key, *headers]
    ) + b"\r\n\r\n"  # fmt: skip


JSON = b"Content-Type: application/json"


def code(answer: bytes) -> str:
    found: str = json.loads(answer.partition(b"\r\n\r\n")[2])["code"]
    return found


class TestABody:
    def test_that_says_it_is_too_large_is_refused_before_a_byte_of_it_is_read(
        self, port: Port
    ) -> None:
        answer = port.say(post(port, JSON, b"Content-Length: 1073741824"))

        assert (status(answer), code(answer)) == (413, "BODY_TOO_LARGE")

    def test_that_does_not_say_is_cut_off_at_the_cap(self, port: Port) -> None:
        part = b"1000\r\n" + b" " * 0x1000 + b"\r\n"

        answer = port.say(post(port, JSON, b"Transfer-Encoding: chunked"), *[part] * 6)

        assert (status(answer), code(answer)) == (413, "BODY_TOO_LARGE")

    def test_of_just_the_cap_is_read(self, port: Port) -> None:
        body = b'{"events": []}'.ljust(CAP)

        answer = port.say(post(port, JSON, b"Content-Length: %d" % CAP), body)

        assert (status(answer), code(answer)) == (422, "INVALID")

    def test_that_is_refused_ends_the_line_and_leaves_nothing_behind(self, port: Port) -> None:
        with port.connect() as line:
            line.sendall(post(port, JSON, b"Content-Length: 1073741824"))
            assert status(heard(line)) == 413
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                line.sendall(b" " * 2**26)
        until(lambda: port.connections == 0)

    def test_that_is_compressed_is_refused_unread(self, port: Port) -> None:
        bomb = gzip.compress(b" " * 10_000_000)

        answer = port.say(
            post(port, JSON, b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb)), bomb
        )

        assert (status(answer), code(answer)) == (415, "CONTENT_ENCODING")

    @pytest.mark.parametrize(
        "kind", [b"", b"text/plain", b"text/json", b"multipart/form-data", b"application/jsonx"]
    )
    def test_that_is_not_said_to_be_json_is_refused(self, kind: bytes, port: Port) -> None:
        answer = port.say(post(port, b"Content-Type: " + kind, b"Content-Length: 2"), b"{}")

        assert (status(answer), code(answer)) == (415, "CONTENT_TYPE")

    @pytest.mark.parametrize(
        "kind", [b"application/json", b"Application/JSON", b"application/json; charset=utf-8"]
    )
    def test_that_is_json_may_say_so_in_any_way(self, kind: bytes, port: Port) -> None:
        answer = port.say(post(port, b"Content-Type: " + kind, b"Content-Length: 2"), b"{}")

        assert (status(answer), code(answer)) == (422, "INVALID")

    @pytest.mark.parametrize("body", [b'{"why": "a", "why": "b"}', b'{"a": NaN}', b"[" * 9999])
    def test_that_could_be_read_in_two_ways_is_refused_on_every_route(
        self, body: bytes, port: Port
    ) -> None:
        for path in (b"/tenants/acme/feedback", b"/tenants/acme/customers/x/recs"):
            answer = port.say(post(port, JSON, b"Content-Length: %d" % len(body), path=path), body)
            assert (status(answer), code(answer)) == (422, "JSON")

    def test_that_trickles_is_told_that_its_time_is_over(self, port: Port) -> None:
        answer = port.say(post(port, JSON, b"Content-Length: 100"), b"{")

        assert (status(answer), code(answer)) == (408, "BODY_TIME")

    def test_that_trickles_takes_no_place(self, house: Served, night: Night) -> None:
        with listening(house.world, night.keys) as port, ExitStack() as slow:
            for _ in range(PLACES[Kind.SELLER] + 8):
                line = slow.enter_context(port.connect())
                line.sendall(post(port, JSON, b"Content-Length: 100") + b"{")
            until(lambda: port.connections > PLACES[Kind.SELLER])

            answer = port.say(post(port, JSON, b"Content-Length: 2"), b"{}")

            assert (status(answer), code(answer)) == (422, "INVALID")

    def test_whose_sender_leaves_disturbs_nobody(self, port: Port) -> None:
        for _ in range(20):
            with port.connect() as line:
                line.sendall(post(port, JSON, b"Content-Length: 100") + b"{")
        until(lambda: port.connections == 0)

        assert status(port.say(b"GET /health/live HTTP/1.1\r\n\r\n")) == 200


class TestAKeyThatAsksTooOften:
    @pytest.fixture
    def slow(self, morning: World, night: Night) -> Iterator[Served]:
        limits = Limits(key_per_second=1, key_burst=5, tenant_per_second=1, tenant_burst=8)
        config = morning.config.model_copy(update={"serving": Serving(limits=limits)})
        with serving(World(config, morning.stores, morning.folder), night.keys) as made:
            yield made

    def test_is_told_when_to_come_again(self, slow: Served) -> None:
        answers = [slow.ask("GET", "/mode") for _ in range(20)]

        assert [a.status_code for a in answers[:5]] == [200] * 5
        assert sum(a.status_code == 200 for a in answers) <= 6
        assert "retry-after" in answers[-1].headers
        assert int(answers[-1].headers["retry-after"]) >= 1
        problem(answers[-1], 429, "RATE_LIMIT")

    def test_costs_its_tenant_and_no_other(self, slow: Served) -> None:
        for role in (Role.ADMIN, Role.SELLER):
            for _ in range(20):
                slow.ask("GET", "/customers/C-0001/recs", role=role)
        mine = slow.ask("GET", "/customers/C-0001/recs")
        theirs = [slow.ask("GET", "/customers/C-0001/recs", BETA) for _ in range(5)]

        problem(mine, 429, "RATE_LIMIT")
        assert [a.status_code for a in theirs] == [200] * 5

    def test_cannot_use_up_what_another_tenant_may_ask(self, slow: Served) -> None:
        for _ in range(30):
            slow.ask("GET", "/customers/C-0001/recs", BETA, key=ACME)

        assert slow.ask("GET", "/customers/C-0001/recs", BETA).status_code == 200


class TestAHost:
    @pytest.fixture
    def fussy(self, empty_world: World) -> Iterator[Served]:
        config = empty_world.config.model_copy(
            update={"serving": Serving(hosts=("shop.example", "10.1.2.3:8000"))}
        )
        with serving(World(config, empty_world.stores, empty_world.folder), {}) as made:
            yield made

    @pytest.mark.parametrize("host", ["shop.example", "SHOP.example", "10.1.2.3:8000"])
    def test_that_is_ours_is_answered(self, host: str, fussy: Served) -> None:
        assert fussy.client.get("/health/live", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "shop.example.evil", "10.1.2.3", "", "a b"])
    def test_that_is_not_is_refused(self, host: str, fussy: Served) -> None:
        problem(fussy.client.get("/health/live", headers={"Host": host}), 400, "HOST")

    def test_may_be_any_where_none_is_named(self, house: Served) -> None:
        assert house.client.get("/health/live", headers={"Host": "any"}).status_code == 200


class TestAWorkerWithItsHandsFull:
    def test_refuses_administration_and_goes_on_looking_up(self, own: Served) -> None:
        load = own.client.app.api.state.limits.load  # type: ignore[attr-defined]
        load.at_work[Kind.ADMIN] = PLACES[Kind.ADMIN]

        refused = own.ask("GET", "/nights")
        assert refused.headers["retry-after"] == "1"
        problem(refused, 503, "OVERLOADED")
        assert own.recs()["source"] == "personal"
        assert own.tell({})["refused"] == 1

        load.behind = 60
        problem(own.ask("POST", "/feedback", json={"events": [{}]}), 503, "OVERLOADED")
        assert own.recs()["source"] == "personal"
        assert own.client.get("/health/live").status_code == 200


def test_a_range_is_not_heeded(house: Served) -> None:
    path = "/tenants/acme/customers/C-0001/recs"
    key = {"Authorization": f"Bearer {house.keys[ACME, Role.SELLER]}"}
    ranges = "bytes=" + ",".join(f"{n}-" for n in range(1000))

    found = house.client.get(path, headers={**key, "Range": ranges})

    assert found.status_code == 200
    assert found.content == house.client.get(path, headers=key).content
