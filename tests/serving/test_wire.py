import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from schema.names import Role
from serving import wire
from tests.serving.morning import Night, until
from tests.serving.port import Port, heard, listening, status
from tests.world import ACME, World

GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def house_port(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    world = night.world(tmp_path_factory.mktemp("wire"))
    with listening(world, night.keys, limit_concurrency=600) as made:
        yield made
    world.stores.engine.dispose()


@pytest.fixture
def hasty(house_port: Port, monkeypatch: pytest.MonkeyPatch) -> Port:
    """One whose patience ends soon, for every connection made from now on."""
    monkeypatch.setattr(wire, "PATIENCE", 0.2)
    return house_port


def refused(answer: bytes, expected: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert (status(answer), document["status"], document["code"]) == (expected, expected, code)
    assert document["next_step"]
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head


class TestAHead:
    def test_may_be_as_long_as_people_make_them(self, house_port: Port) -> None:
        headers = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 200) for n in range(60))

        assert status(house_port.say(GET + headers + b"\r\n")) == 200

    def test_with_too_many_headers_is_refused(self, house_port: Port) -> None:
        headers = b"".join(b"x-%d: y\r\n" % n for n in range(64))

        refused(house_port.say(GET + headers + b"\r\n"), 431, "HEADERS")

    def test_of_too_many_bytes_is_refused(self, house_port: Port) -> None:
        refused(house_port.say(GET + b"x: " + b"y" * 17_000 + b"\r\n\r\n"), 431, "HEADERS")

    def test_that_does_not_end_is_refused_long_before_it_fills_memory(
        self, house_port: Port
    ) -> None:
        refused(house_port.say(GET + b"x: ", *[b"y" * 1000] * 20), 431, "HEADERS")

    def test_with_an_endless_address_is_refused(self, house_port: Port) -> None:
        refused(house_port.say(b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n"), 414, "URL")
        refused(house_port.say(b"GET /", *[b"a" * 1000] * 20), 431, "HEADERS")

    def test_may_come_with_a_body_that_is_longer_than_it(self, house_port: Port) -> None:
        body = b" " * 100_000
        key = house_port.keys[ACME, Role.SELLER].encode()
        head = b"POST /tenants/acme/feedback HTTP/1.1\r\nContent-Type: application/json\r\n"
        head += b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (key, len(body))

        answer = house_port.say(head + body)

        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "JSON"

    @pytest.mark.parametrize(
        "request_",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            GET + b"x: a\x00b\r\n\r\n",
            GET + b"x: a\r\n folded\r\n\r\n",
            GET + b"x : a\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\nabcde",
            b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nabcde",
            b"GET /\xff HTTP/1.1\r\n\r\n",
            b"CONNECT x:80 HTTP/1.1\r\n\r\n",
            b"NONSENSE / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
        ids=ascii,
    )
    def test_that_is_no_http_is_refused_as_a_problem_like_any_other(
        self, request_: bytes, house_port: Port
    ) -> None:
        refused(house_port.say(request_), 400, "REQUEST")

    def test_is_all_that_says_who_asks_trailers_are_not(self, house_port: Port) -> None:
        key = house_port.keys[ACME, Role.SELLER].encode()
        request = (
            b"GET /tenants/acme/mode HTTP/1.1\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer " + key
        )

        assert status(house_port.say(request + b"\r\n\r\n")) == 401

    def test_of_another_protocol_is_answered_in_this_one(self, house_port: Port) -> None:
        asked = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

        assert status(house_port.say(asked)) == 200


class TestASlowClient:
    @pytest.mark.parametrize("said", [b"", b"GET / HT", GET, b"\r\n"], ids=ascii)
    def test_that_does_not_end_its_head_is_cut_off(self, said: bytes, hasty: Port) -> None:
        with hasty.connect() as line:
            line.sendall(said)
            assert gone(line)

    def test_that_sends_its_head_byte_by_byte_is_cut_off(self, hasty: Port) -> None:
        with hasty.connect() as line:
            for byte in GET * 2:
                with suppress(ConnectionResetError, BrokenPipeError):
                    line.sendall(bytes([byte]))
                time.sleep(0.02)

            assert gone(line)

    def test_that_does_not_read_its_answers_is_cut_off(self, hasty: Port) -> None:
        with hasty.connect() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\n\r\n" * 30)
            until(lambda: hasty.connections > 0)
            until(lambda: hasty.connections == 0, 4)  # before the end of uvicorn's keep-alive

    def test_that_asks_again_and_again_is_not(self, hasty: Port) -> None:
        with hasty.connect() as line:
            for _ in range(12):
                line.sendall(GET + b"\r\n")
                assert status(heard(line)) == 200
                time.sleep(0.06)

    def test_among_two_hundred_harms_nobody_and_leaves_no_descriptor(self, hasty: Port) -> None:
        until(lambda: hasty.connections == 0)
        ours = psutil.Process()
        key = hasty.keys[ACME, Role.SELLER].encode()
        lookup = (
            b"GET /tenants/acme/customers/C-0001/recs HTTP/1.1\r\nConnection: close\r\n"
            b"Authorization: Bearer " + key + b"\r\n\r\n"
        )
        body = b"POST /tenants/acme/feedback HTTP/1.1\r\nContent-Type: application/json\r\n"
        slow = [b"GET / HT", body + b"Content-Length: 9\r\n\r\n{", GET, b""]
        hasty.say(lookup)  # opens the edition
        until(lambda: hasty.connections == 0)
        before = ours.num_fds()
        lines = [hasty.connect() for _ in range(200)]
        for number, line in enumerate(lines):
            line.sendall(slow[number % len(slow)])

        answers = [hasty.say(lookup) for _ in range(50)]

        assert all(status(answer) == 200 and b"acme-P" in answer for answer in answers)
        for line in lines:
            line.close()
        until(lambda: hasty.connections == 0)
        until(lambda: ours.num_fds() <= before)


def gone(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


class TestAWorkerWithTooManyConnections:
    def test_tells_the_next_one_to_come_again_and_those_it_has_go_on(
        self, morning: World, night: Night
    ) -> None:
        with listening(morning, night.keys, limit_concurrency=3) as port:
            lines = [port.connect() for _ in range(3)]
            until(lambda: port.connections == 3)

            answer = port.say(GET + b"\r\n")

            refused(answer, 503, "OVERLOADED")
            assert b"retry-after: 1" in answer
            lines[0].sendall(GET + b"\r\n")
            assert status(heard(lines[0])) == 200
            for line in lines:
                line.close()
            until(lambda: port.connections == 0)
            assert status(port.say(GET + b"\r\n")) == 200


class TestAServerThatStops:
    def test_answers_a_client_that_was_about_to_ask_and_tells_it_to_leave(
        self, morning: World, night: Night
    ) -> None:
        with listening(morning, night.keys) as port, port.connect() as line:
            line.sendall(GET + b"\r\n")
            assert b"connection: close" not in heard(line)

            port.server.should_exit = True
            until(lambda: not port.server.servers[0].is_serving())
            line.sendall(GET + b"\r\n")
            answer = heard(line)

            assert status(answer) == 200
            assert b"connection: close" in answer

    def test_does_not_wait_long_for_one_that_says_nothing(
        self, morning: World, night: Night
    ) -> None:
        with listening(morning, night.keys) as port, port.connect() as line:
            line.sendall(GET + b"\r\n")
            heard(line)
            port.server.should_exit = True

            assert gone(line)


def test_a_client_that_leaves_never_costs_another_its_answer(house_port: Port) -> None:
    """Every answer bears the request id it was asked with."""
    key = house_port.keys[ACME, Role.SELLER].encode()
    request = (
        b"GET /tenants/acme/customers/C-%04d/recs HTTP/1.1\r\nX-Request-ID: r%d\r\n"
        b"Authorization: Bearer " + key + b"\r\n\r\n"
    )
    for number in range(300):
        with house_port.connect() as line:
            line.sendall(request % (number % 60, number))
            if number % 3:
                continue  # leaves before it is answered
            answer = heard(line)
            assert b"x-request-id: r%d\r\n" % number in answer
            assert b'"customer":"C-%04d"' % (number % 60) in answer
