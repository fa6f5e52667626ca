"""The Python client against a real server of two tenants, and against servers that misbehave."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recfactory.client import Client, Event, Problem, Said
from schema.names import FeedbackKind, Mode, Role, TenantId
from tests.scenarios.test_http import Server, server
from tests.serving.morning import Night, one_night
from tests.world import ACME, BETA


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def real(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    world = night.world(tmp_path_factory.mktemp("real"))
    world.loosen(ACME, BETA)
    with server(world, night) as made:
        yield made
    world.stores.engine.dispose()


def client(real: Server, tenant: TenantId, role: Role = Role.SELLER, **more: Any) -> Client:
    return Client(f"http://127.0.0.1:{real.port}", tenant, real.night.keys[tenant, role], **more)


def stored(real: Server, tenant: TenantId, kind: FeedbackKind = FeedbackKind.SHOWN) -> list[str]:
    soon = datetime.now(UTC) + timedelta(days=2)
    return [row["event_id"] for row in real.world.stores.feedback.events(tenant, soon, [kind])]


class TestRecommendations:
    def test_are_what_the_server_says(self, real: Server) -> None:
        for tenant in (ACME, BETA):
            with client(real, tenant) as mine:
                answer = mine.recommendations("C-0001", limit=4, bought="include")
            told = real.recs("C-0001", tenant, "?limit=4&bought=include")
            assert (answer.tenant, answer.edition, answer.source) == (tenant, 1, "personal")
            assert [(line.rank, line.product_id) for line in answer.recommendations] == [
                (line["rank"], line["product_id"]) for line in told["recommendations"]
            ]
            assert answer.recommendations[0].reason["text"]

    @pytest.mark.parametrize(
        "customer", ["..", ".", "...", "a/../b", "a?b#c", "100%41", "a b+c", "Zoë\N{SNOWMAN}", "//"]
    )
    def test_are_of_the_customer_as_written(self, customer: str, real: Server) -> None:
        with client(real, ACME) as mine:
            assert mine.recommendations(customer).customer == customer

    def test_after_what_was_said_leave_out_what_was_rejected(self, real: Server) -> None:
        with client(real, ACME) as mine:
            nightly = mine.recommendations("C-0001").recommendations
            gone = nightly[0].product_id
            said = mine.recommendations("C-0001", rejected=Said([gone])).recommendations
        assert gone not in {line.product_id for line in said}
        assert said[0].product_id == nightly[1].product_id

    def test_may_be_of_one_category(self, real: Server) -> None:
        with client(real, ACME) as mine:
            lines = mine.recommendations("C-0001", category="odd").recommendations
        assert {line.category for line in lines} == {"odd"}

    def test_are_none_while_the_tenant_is_off(self, real: Server) -> None:
        with client(real, ACME, Role.ADMIN) as admin:
            admin.set_mode("off", why="stocktaking")
            assert admin.mode() == "off"
            assert admin.recommendations("C-0001").recommendations == ()
            admin.set_mode("on", why="done")
            assert admin.recommendations("C-0001").recommendations
        assert real.world.tenant(BETA).mode is Mode.ON


class TestFeedback:
    def test_is_told_event_by_event_and_counts_once_when_it_is_sent_again(
        self, real: Server
    ) -> None:
        events = [
            Event("C-0001", "acme-P-01", "shown", edition=1, rank=1),
            Event("C-0001", "nothing", "shown"),
            Event("C-0001", "acme-P-03", "shown", quantity=2.0, value=3.5),
        ]
        with client(real, ACME) as mine:
            first, again = mine.feedback(events), mine.feedback(events)
        assert [line.result for line in first] == ["stored", "refused", "stored"]
        assert first[1].code == "FEEDBACK_UNKNOWN_REF"
        assert [line.result for line in again] == ["repeated", "refused", "repeated"]
        assert {events[0].event_id, events[2].event_id} <= set(stored(real, ACME))

    def test_of_more_than_a_thousand_goes_in_several_requests(self, real: Server) -> None:
        events = [Event("C-0001", "beta-P-01", "clicked") for _ in range(1500)]
        with client(real, BETA) as mine:
            results = mine.feedback(events)
        assert [line.event_id for line in results] == [event.event_id for event in events]
        assert len(stored(real, BETA, FeedbackKind.CLICKED)) == 1500
        assert stored(real, ACME, FeedbackKind.CLICKED) == []


class TestAnUpload:
    def test_comes_back_as_its_report(self, real: Server, tmp_path: Path) -> None:
        path = tmp_path / "customers-2026.csv"
        path.write_text("customer_id\nC-0001\nC-0002\n,\n")
        with client(real, BETA, Role.ADMIN) as admin:
            asked = admin.upload("customers", path, dry_run=True)
            assert (asked.tenant, asked.state, asked.dry_run) == (BETA, "accepted", True)
            path.write_text("customer_id,name\nC-0001,\nC-0002,\n,\n")
            done = admin.upload("customers", path)
            again = admin.upload("customers", path)
        [table] = done.tables
        assert (table.read, table.accepted, table.quarantined) == (3, 2, 1)
        assert table.faults[0]["code"] == "ID_EMPTY"
        assert again == done
        assert len(real.world.stores.imports.reports(BETA)) == 2  # the world's own, and this one

    def test_that_is_refused_says_why(self, real: Server, tmp_path: Path) -> None:
        path = tmp_path / "customers.csv"
        path.write_text("name\nAda\n")
        with client(real, ACME, Role.ADMIN) as admin, pytest.raises(Problem) as told:
            admin.upload("customers", path)
        assert (told.value.status, told.value.code) == (422, "SCHEMA_MISSING")

    def test_is_sent_whole_again_when_the_line_breaks(self, tmp_path: Path) -> None:
        path = tmp_path / "interactions-2026.jsonl.gz"
        path.write_bytes(b"x" * 200_000)
        report: Answer = (
            200, {},
            {"tenant": "acme", "batch": "b", "state": "held", "dry_run": False, "tables": []},
        )  # fmt: skip
        with odd(None, BUSY, report) as (made, asking, _), asking() as admin:
            assert admin.upload("interactions", path, how="add").state == "held"
        assert {body for *_, body in made.asked} == {path.read_bytes()}
        [(method, where, headers, _), *_] = made.asked
        assert (method, where) == ("PUT", "/tenants/acme/data/interactions?dry_run=false&how=add")
        assert headers["Content-Type"] == "application/x-ndjson"
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Content-Digest"].startswith("sha-256=:")

    @pytest.mark.parametrize("name", ["interactions", "interactions.xlsx", "interactions.gz"])
    def test_of_a_file_that_does_not_say_what_it_is_is_not_tried(
        self, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / name).write_text("x")
        with odd() as (_, asking, _), asking() as admin, pytest.raises(Problem) as told:
            admin.upload("interactions", tmp_path / name)
        assert told.value.code == "FILE_NAME"


class TestAProblem:
    def test_says_what_the_server_said(self, real: Server) -> None:
        with client(real, ACME) as mine, pytest.raises(Problem) as told:
            mine.recommendations("C-0001", limit=10**6)
        assert told.value.status == 422
        assert told.value.code
        assert told.value.next_step in str(told.value)

    def test_of_a_foreign_tenant_is_that_of_an_absent_one(self, real: Server) -> None:
        said = []
        key = real.night.keys[ACME, Role.SELLER]
        for tenant in (BETA, "nobody", "../acme"):
            with Client(f"http://127.0.0.1:{real.port}", tenant, key) as other:
                with pytest.raises(Problem) as told:
                    other.recommendations("C-0001")
                said.append((told.value.status, told.value.code))
        assert said[:2] == [(404, "NO_TENANT")] * 2
        assert said[2][0] == 404

    def test_survives_a_restart_of_the_server_in_the_middle_of_work(
        self, night: Night, tmp_path: Path
    ) -> None:
        world = night.world(tmp_path)
        with ExitStack() as stack:
            first = stack.enter_context(ExitStack())
            made = first.enter_context(server(world, night))
            mine = stack.enter_context(client(made, ACME, patience=60.0))
            assert mine.recommendations("C-0001").edition == 1
            first.close()  # away …
            answers: list[Any] = []
            events = [Event("C-0001", "acme-P-01", "shown")]
            caller = threading.Thread(target=lambda: answers.append(mine.feedback(events)))
            caller.start()
            stack.enter_context(server(world, night, made.port))  # … and back
            caller.join(60)
            assert [line.result for line in answers[0]] == ["stored"]
            assert stored(made, ACME) == [events[0].event_id]
        world.stores.engine.dispose()


Answer = tuple[int, dict[str, str], Any]


class Odd(ThreadingHTTPServer):
    """Answers as it was told to, one answer after the other, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answers: list[Answer | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.asked = answers, list[tuple[str, str, dict[str, str], bytes]]()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        odd = self.server
        assert isinstance(odd, Odd)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        odd.asked.append((self.command, self.path, dict(self.headers), body))
        given = odd.answers.pop(0)
        if given is None:  # hangs up
            self.close_connection = True
            return
        status, headers, told = given
        content = b"" if status == 304 else json.dumps(told).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def odd(*answers: Answer | None) -> Iterator[tuple[Odd, Callable[..., Client], list[float]]]:
    made, waits = Odd(list(answers)), list[float]()
    threading.Thread(target=made.serve_forever, daemon=True).start()

    def asking(**more: Any) -> Client:
        given = {"sleep": waits.append, "dice": lambda: 0.5, **more}
        return Client(f"http://127.0.0.1:{made.server_port}", "acme", "rf_a.b", **given)

    yield made, asking, waits
    made.shutdown()
    made.server_close()


LIST: Answer = (
    200,
    {"ETag": '"e1"'},
    {
        "tenant": "acme", "customer": "C", "mode": "on", "source": "personal", "edition": 1,
        "model": 1, "published_at": None, "recommendations": [], "a_later_version": "tells more",
    },
)  # fmt: skip
BUSY: Answer = (503, {"Retry-After": "3"}, {"code": "BUSY", "detail": "full", "next_step": "wait"})


class TestPatience:
    def test_waits_as_long_as_the_server_asks(self) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True)
        limited: Answer = (429, {"Retry-After": date}, {})
        with odd(BUSY, limited, LIST) as (made, asking, waits), asking() as mine:
            assert mine.recommendations("C").edition == 1
        assert waits[0] == 3
        assert 3 < waits[1] <= 5
        assert len(made.asked) == 3

    def test_grows_its_pauses_by_itself_where_nobody_says_how_long(self) -> None:
        away: Answer = (503, {}, {})
        with odd(None, away, None, LIST) as (_, asking, waits), asking(pause=0.1) as mine:
            mine.recommendations("C")
        assert waits == pytest.approx([0.05, 0.1, 0.2])

    def test_ends(self) -> None:
        with (
            odd(BUSY, BUSY) as (made, asking, waits),
            asking(patience=2.0) as mine,
            pytest.raises(Problem) as told,
        ):
            mine.recommendations("C")
        assert (told.value.code, told.value.status, waits) == ("BUSY", 503, [])
        assert len(made.asked) == 1

    def test_ends_where_nobody_listens(self) -> None:
        with (
            Client("http://127.0.0.1:1", "acme", "k", patience=0.3, pause=0.01) as mine,
            pytest.raises(Problem) as told,
        ):
            mine.recommendations("C")
        assert (told.value.code, told.value.status) == ("UNREACHABLE", None)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
    def test_is_not_spent_on_what_will_not_change(self, status: int) -> None:
        said: Answer = (status, {}, "no problem document")
        with odd(said) as (made, asking, waits), asking() as mine, pytest.raises(Problem) as told:
            mine.mode()
        assert (told.value.code, waits, len(made.asked)) == (f"HTTP_{status}", [], 1)

    def test_sends_an_event_again_under_the_same_id(self) -> None:
        receipt: Answer = (200, {}, {"results": [{"event_id": "e", "result": "stored"}]})
        with odd(None, BUSY, receipt) as (made, asking, _), asking() as mine:
            mine.feedback([Event("C", "P", "accepted")])
        bodies = {body for *_, body in made.asked}
        assert len(made.asked) == 3
        assert len(bodies) == 1
        assert json.loads(bodies.pop())["events"][0]["event_id"]


class TestALookup:
    def test_that_did_not_change_is_not_sent_twice(self) -> None:
        with odd(LIST, (304, {}, None), LIST) as (made, asking, _), asking() as mine:
            assert mine.recommendations("C") == mine.recommendations("C")
            mine.recommendations("D")
        tags = [headers.get("If-None-Match") for _, _, headers, _ in made.asked]
        assert tags == [None, '"e1"', None]

    def test_after_what_was_said_in_the_call_is_ranked_anew(self) -> None:
        with odd(LIST) as (made, asking, _), asking() as mine:
            mine.recommendations("C", limit=3, interested=Said(["P-1"]), rejected=Said([], ["Ale"]))
        [(method, path, _, body)] = made.asked
        assert (method, path) == ("POST", "/tenants/acme/customers/C/recs?limit=3")
        assert json.loads(body) == {
            "interested": {"products": ["P-1"], "categories": []},
            "rejected": {"products": [], "categories": ["Ale"]},
        }

    def test_bears_the_key_in_its_header_alone(self) -> None:
        with odd(LIST) as (made, asking, _), asking() as mine:
            mine.recommendations("C")
        [(_, path, headers, _)] = made.asked
        assert headers["Authorization"] == "Bearer rf_a.b"
        assert "rf_" not in path
