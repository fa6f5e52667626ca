import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from httpx2 import Response

from schema.names import FeedbackKind, Role
from storage import feedback as feedback_module
from tests.serving.morning import SOON, Night, Served, problem, serving, until
from tests.world import ACME, BETA, World


def event(**fields: Any) -> dict[str, Any]:
    """One that is stored; fields of one's own over it, None leaves one out."""
    whole = {
        "event_id": "call-1",
        "customer_id": "C-0001",
        "product_id": "acme-P-01",
        "kind": "accepted",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def stored(served: Served, name: str = ACME) -> list[dict[str, Any]]:
    tenant = served.world.tenant(ACME if name == ACME else BETA).tenant
    far = datetime.now(UTC) + timedelta(days=9)
    return served.world.stores.feedback.events(tenant, far, list(FeedbackKind))


def posted(served: Served, content: bytes) -> Response:
    """Send bytes as they are."""
    return served.client.post(
        "/tenants/acme/feedback",
        content=content,
        headers={
            "Authorization": f"Bearer {served.keys[ACME, Role.SELLER]}",
            "Content-Type": "application/json",
        },
    )


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


class TestAnEvent:
    @pytest.mark.parametrize("kind", list(FeedbackKind))
    def test_of_every_kind_is_stored(self, kind: FeedbackKind, served: Served) -> None:
        receipt = served.tell(event(kind=kind.value))

        assert receipt == {
            "stored": 1,
            "repeated": 0,
            "refused": 0,
            "spooled": 0,
            "results": [{"event_id": "call-1", "result": "stored", "code": None, "detail": None}],
        }
        assert [row["kind"] for row in stored(served)] == [kind.value]

    def test_is_durable_before_it_is_acknowledged(self, served: Served) -> None:
        served.tell(event(edition=1, rank=3, quantity=2, value=19.5, kind="purchased"))

        [row] = stored(served)
        assert {name: row[name] for name in ("customer_id", "product_id", "edition", "rank")} == {
            "customer_id": "C-0001",
            "product_id": "acme-P-01",
            "edition": 1,
            "rank": 3,
        }
        assert (row["quantity"], row["value"]) == (2.0, 19.5)

    def test_that_is_sent_again_counts_once(self, served: Served) -> None:
        served.tell(event())

        again = served.tell(event())

        assert (again["stored"], again["repeated"]) == (0, 1)
        assert again["results"][0]["result"] == "repeated"
        assert len(stored(served)) == 1

    def test_that_comes_twice_in_one_letter_counts_once(self, served: Served) -> None:
        receipt = served.tell(event(), event())

        assert [r["result"] for r in receipt["results"]] == ["stored", "repeated"]
        assert len(stored(served)) == 1

    def test_with_an_id_used_for_something_else_is_refused_and_the_first_stays(
        self, served: Served
    ) -> None:
        served.tell(event(kind="shown"))

        [result] = served.tell(event(kind="purchased"))["results"]

        assert (result["result"], result["code"]) == ("refused", "IDEMPOTENCY_MISMATCH")
        assert [row["kind"] for row in stored(served)] == ["shown"]

    def test_without_a_time_happens_now(self, served: Served) -> None:
        before = datetime.now(UTC)

        served.tell(event())

        assert before <= stored(served)[0]["occurred_at"] <= datetime.now(UTC)

    def test_keeps_its_own_time_in_utc(self, served: Served) -> None:
        moment = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)
        local = moment.astimezone(ZoneInfo("Asia/Tokyo"))

        served.tell(event(occurred_at=local.isoformat()))

        assert stored(served)[0]["occurred_at"] == moment

    def test_is_judged_on_its_own_and_in_its_place(self, served: Served) -> None:
        receipt = served.tell(
            event(event_id="a"), event(event_id="b", kind="sneezed"), event(event_id="c")
        )

        assert [(r["event_id"], r["result"]) for r in receipt["results"]] == [
            ("a", "stored"),
            ("b", "refused"),
            ("c", "stored"),
        ]
        assert (receipt["stored"], receipt["refused"]) == (2, 1)
        assert {row["event_id"] for row in stored(served)} == {"a", "c"}


FAULTS = [
    ("VALUE_MISSING", {"event_id": None}),
    ("VALUE_MISSING", {"customer_id": None}),
    ("VALUE_MISSING", {"product_id": None}),
    ("VALUE_MISSING", {"kind": None}),
    ("VALUE_TYPE", {"event_id": 5}),
    ("VALUE_TYPE", {"customer_id": ["C-1"]}),
    ("VALUE_TYPE", {"rank": "1"}),
    ("VALUE_TYPE", {"rank": True}),
    ("VALUE_CHOICE", {"kind": "Shown"}),
    ("VALUE_RANGE", {"rank": 0}),
    ("VALUE_RANGE", {"rank": 1.5}),
    ("VALUE_RANGE", {"edition": -1}),
    ("VALUE_RANGE", {"quantity": -1}),
    ("VALUE_RANGE", {"quantity": 10**400}),
    ("VALUE_RANGE", {"kind": "purchased", "quantity": 0}),
    ("ID", {"event_id": ""}),
    ("ID", {"event_id": "é" * 65}),
    ("ID", {"event_id": "a\x00b"}),
    ("ID", {"customer_id": "a\nb"}),
    ("FEEDBACK_FIELD", {"mood": "good"}),
    ("FEEDBACK_UNKNOWN_REF", {"product_id": "acme-P-99"}),
    ("FEEDBACK_UNKNOWN_REF", {"product_id": "beta-P-01"}),
    ("FEEDBACK_UNKNOWN_REF", {"edition": 2}),
    ("TIME_FORMAT", {"occurred_at": "yesterday"}),
    ("TIME_ZONE", {"occurred_at": "2026-01-01T10:00:00"}),
    ("FEEDBACK_TIME", {"occurred_at": "2020-01-01T10:00:00Z"}),
    ("FEEDBACK_TIME", {"occurred_at": "9999-12-31T23:59:59-14:00"}),
    ("FEEDBACK_TIME", {"occurred_at": "0001-01-01T00:00:00+14:00"}),
]


class TestAnEventThatDoesNotFit:
    @pytest.mark.parametrize(("code", "fields"), FAULTS)
    def test_is_refused_with_the_reason_and_what_to_do(
        self, code: str, fields: dict[str, Any], house: Served
    ) -> None:
        [result] = house.tell(event(**fields))["results"]

        assert (result["result"], result["code"]) == ("refused", code)
        assert "Next:" in result["detail"]
        assert stored(house) == []

    @pytest.mark.parametrize(("days", "result"), [(29, "stored"), (31, "refused")])
    def test_may_be_30_days_old_and_no_older(self, days: int, result: str, served: Served) -> None:
        [found] = served.tell(event(occurred_at=ago(days=days)))["results"]

        assert found["result"] == result

    @pytest.mark.parametrize("field", ["event_id", "customer_id", "product_id", "kind", "mood"])
    def test_may_hold_half_a_character_without_harm(self, field: str, served: Served) -> None:
        events = [event(event_id="good"), event(event_id="bad") | {field: "\ud800"}]

        found = posted(served, json.dumps({"events": events}).encode())

        assert found.status_code == 200, found.text
        assert [r["result"] for r in found.json()["results"]] == ["stored", "refused"]

    @pytest.mark.parametrize(
        "name", ["K\u00a0100", "soft\u00adhyphen", "a\u2028b", "👩\u200d🔧", "\u202eevil", "a b"]
    )
    def test_is_not_one_about_a_customer_whose_id_an_import_takes(
        self, name: str, served: Served
    ) -> None:
        [result] = served.tell(event(customer_id=name))["results"]

        assert result["result"] == "stored"


class TestALetter:
    def test_may_hold_a_thousand_events(self, served: Served) -> None:
        events = [event(event_id=f"e-{n}") for n in range(1000)]

        assert served.tell(*events)["stored"] == 1000
        assert len(stored(served)) == 1000

    @pytest.mark.parametrize("count", [0, 1001])
    def test_of_none_or_of_more_is_refused_whole(self, count: int, house: Served) -> None:
        found = house.ask(
            "POST", "/feedback", json={"events": [event(event_id=f"e-{n}") for n in range(count)]}
        )

        problem(found, 422, "INVALID")
        assert stored(house) == []

    @pytest.mark.parametrize(
        "letter", [{}, [], None, {"events": "x"}, {"events": [1]}, {"events": [{}], "more": 1}]
    )
    def test_of_another_shape_is_refused_whole(self, letter: Any, house: Served) -> None:
        problem(house.ask("POST", "/feedback", json=letter), 422, "INVALID")

    @pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b""])
    def test_that_is_no_json_is_refused_and_nothing_breaks(
        self, content: bytes, house: Served
    ) -> None:
        found = posted(house, content)

        assert found.status_code in (400, 422)
        assert found.headers["content-type"] == "application/problem+json"


class TestTwoTenants:
    def test_may_use_the_same_event_id(self, served: Served) -> None:
        mine = served.tell(event())
        theirs = served.tell(event(product_id="beta-P-01"), tenant=BETA)

        assert (mine["stored"], theirs["stored"]) == (1, 1)
        assert [row["product_id"] for row in stored(served, ACME)] == ["acme-P-01"]
        assert [row["product_id"] for row in stored(served, BETA)] == ["beta-P-01"]


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Another program holds the ledger."""
    other = sqlite3.connect(world.config.home / "ledger.db", isolation_level=None)
    other.execute("begin exclusive")
    try:
        yield
    finally:
        other.close()


class TestWhileTheLedgerIsAway:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feedback_module, "PATIENCE", 0.02)

    def test_events_are_kept_and_counted_when_it_is_back(self, own: Served) -> None:
        with locked(own.world):
            receipt = own.tell(event(event_id="a"), event(event_id="b", kind="sneezed"))
            theirs = own.tell(event(event_id="a", product_id="beta-P-01"), tenant=BETA)

        assert (receipt["stored"], receipt["spooled"], receipt["refused"]) == (1, 1, 1)
        assert [line["result"] for line in receipt["results"]] == ["stored", "refused"]
        assert (theirs["stored"], theirs["spooled"]) == (1, 1)
        until(lambda: len(stored(own)) == len(stored(own, BETA)) == 1)
        assert stored(own)[0]["product_id"] == "acme-P-01"
        assert stored(own, BETA)[0]["product_id"] == "beta-P-01"
        until(lambda: own.tell(event(event_id="c"))["spooled"] == 0)

    def test_one_that_is_sent_again_counts_once(self, own: Served) -> None:
        own.tell(event(event_id="a"))
        with locked(own.world):
            own.tell(event(event_id="a"), event(event_id="b"))
            own.tell(event(event_id="b"))
        until(lambda: len(stored(own)) == 2)

        until(lambda: own.tell(event(event_id="b"))["repeated"] == 1)
        assert [row["event_id"] for row in stored(own)] == ["a", "b"]

    def test_lookups_are_answered_and_lists_can_be_served(self, own: Served) -> None:
        before = own.recs()
        with locked(own.world):
            own.tell(event())

            assert own.recs() == before
            assert own.client.get("/health/ready").status_code == 200

    def test_a_spool_that_is_full_refuses_and_acknowledges_nothing(
        self, morning: World, night: Night
    ) -> None:
        small = SOON.model_copy(update={"spool_bytes": 500})
        config = morning.config.model_copy(update={"serving": small})
        world = World(config, morning.stores, morning.folder)
        with serving(world, night.keys) as own:
            with locked(world):
                kept = own.tell(event(event_id="a"))
                letter = {"events": [event(event_id="b"), event(event_id="c")]}
                found = own.ask("POST", "/feedback", role=Role.SELLER, json=letter)

                problem(found, 503, "FEEDBACK_FULL")
                assert int(found.headers["retry-after"]) > 0
            assert kept["spooled"] == 1
            until(lambda: [row["event_id"] for row in stored(own)] == ["a"])

            until(lambda: own.ask("POST", "/feedback", json=letter).status_code == 200)
            assert {row["event_id"] for row in stored(own)} == {"a", "b", "c"}


class TestOutcomes:
    def ask(self, served: Served, **params: Any) -> Any:
        found = served.ask("GET", "/outcomes", params=params)
        assert found.status_code == 200, found.text
        return found.json()

    def test_are_what_the_screens_told_by_day_and_edition(self, served: Served) -> None:
        for number, kind in enumerate(["shown", "shown", "accepted"]):
            served.tell(event(event_id=f"{number}", kind=kind, edition=1, rank=1))
        served.tell(event(event_id="p", kind="purchased", edition=1, value=19.5, quantity=2))
        served.tell(event(event_id="p", product_id="beta-P-01"), tenant=BETA)

        assert self.ask(served) == [
            {
                "tenant": "acme",
                "day": datetime.now(UTC).date().isoformat(),
                "edition": 1,
                "shown": 2,
                "clicked": 0,
                "accepted": 1,
                "dismissed": 0,
                "bought": 1,
                "revenue": 19.5,
                "without_value": 0,
                "acceptance_rate": 0.5,
            }
        ]

    def test_go_back_as_many_days_as_asked_for(self, served: Served) -> None:
        served.tell(event(kind="shown", edition=1, occurred_at=ago(days=5)))

        assert self.ask(served, days=3) == []
        assert [line["shown"] for line in self.ask(served)] == [1]

    @pytest.mark.parametrize("days", ["0", "367", "-1", "x", "1.5"])
    def test_of_no_days_or_too_many_are_refused(self, days: str, house: Served) -> None:
        problem(house.ask("GET", "/outcomes", params={"days": days}), 422, "INVALID")
