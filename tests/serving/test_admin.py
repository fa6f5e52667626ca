import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schema.names import Mode, Outcome, Role, TenantId
from schema.records import Verdict
from tests.serving.morning import Served, ids, problem, until
from tests.weeks import WEEK, between, deliver, turned
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, THIRD_NIGHT


def switch(served: Served, mode: str, why: str = "a test") -> Any:
    found = served.ask("PUT", "/mode", json={"mode": mode, "why": why})
    assert found.status_code == 200, found.text
    return found.json()


def roll_back(served: Served, edition: int = 1) -> Any:
    found = served.ask("POST", f"/editions/{edition}/activate", json={"why": "odd lists"})
    assert found.status_code == 200, found.text
    return found.json()


def lines(served: Served, what: str, tenant: TenantId = ACME) -> list[dict[str, Any]]:
    found = served.ask("GET", f"/{what}", tenant)
    assert found.status_code == 200, found.text
    body: list[dict[str, Any]] = found.json()
    return body


def served_edition(served: Served, tenant: TenantId = ACME) -> int:
    edition: int = served.recs("C-0001", tenant)["edition"]
    return edition


class TestTheSwitch:
    def test_says_what_is_in_force(self, served: Served) -> None:
        assert served.ask("GET", "/mode").json() == {"tenant": "acme", "mode": "on"}

    @pytest.mark.parametrize("mode", list(Mode))
    def test_is_in_force_with_the_very_next_lookup(self, mode: Mode, served: Served) -> None:
        assert switch(served, mode.value) == {"tenant": "acme", "mode": mode.value}

        assert served.recs("C-0001")["mode"] == mode.value
        assert served.ask("GET", "/mode").json()["mode"] == mode.value

    def test_turned_off_shows_nothing_and_turned_on_again_the_same_as_before(
        self, served: Served
    ) -> None:
        before = served.recs("C-0001")

        switch(served, "off")
        assert ids(served.recs("C-0001")) == []
        switch(served, "on")

        assert served.recs("C-0001") == before

    def test_does_not_touch_another_tenant(self, served: Served) -> None:
        before = served.recs("C-0001", BETA)

        switch(served, "off")

        assert served.recs("C-0001", BETA) == before

    def test_that_somebody_else_turned_is_noticed_soon(self, served: Served) -> None:
        served.world.switch(ACME, Mode.OFF)

        until(lambda: served.recs("C-0001")["mode"] == "off")

    def test_keeps_who_turned_it_and_why(self, served: Served) -> None:
        switch(served, "freeze", "stocktaking until Monday")

        [act, *_] = served.world.stores.audit.of(ACME)
        admin = served.keys[ACME, Role.ADMIN].removeprefix("rf_").partition(".")[0]
        assert (act.act, act.actor) == ("mode", f"key {admin}")
        assert act.detail == {
            "was": "on",
            "mode": "freeze",
            "why": "stocktaking until Monday",
        }

    @pytest.mark.parametrize(
        "body",
        [
            {"mode": "ON", "why": "x"},
            {"mode": "pause", "why": "x"},
            {"mode": "off"},
            {"mode": "off", "why": ""},
            {"mode": "off", "why": "x" * 501},
            {"mode": "off", "why": "x", "until": "Monday"},
            {"why": "x"},
            [],
            None,
        ],
    )
    def test_is_left_alone_by_a_letter_that_does_not_fit(self, body: Any, house: Served) -> None:
        problem(house.ask("PUT", "/mode", json=body), 422, "INVALID")

        assert house.recs("C-0001")["mode"] == "on"
        assert house.world.tenant(ACME).mode is Mode.ON


class TestTheNights:
    def test_are_told_newest_first_with_verdict_and_reason(self, served: Served) -> None:
        served.world.night(ACME, NEXT_NIGHT)

        newest, oldest = lines(served, "nights")

        assert (newest["night"], oldest["night"]) == ("2026-04-02", "2026-04-01")
        assert (oldest["tenant"], oldest["verdict"], oldest["edition"]) == ("acme", "promoted", 1)
        assert oldest["published"]
        assert "RMSE" in oldest["because"]
        assert oldest["figures"]["challenger"]["rmse"] > 0

    def test_of_a_frozen_tenant_say_so(self, served: Served) -> None:
        switch(served, "freeze")
        served.world.night(ACME, NEXT_NIGHT)

        newest = lines(served, "nights")[0]

        assert (newest["verdict"], newest["published"]) == ("frozen", False)
        assert served_edition(served) == 1

    def test_are_the_tenants_own(self, served: Served) -> None:
        served.world.night(BETA, NEXT_NIGHT)

        assert len(lines(served, "nights", ACME)) == 1
        assert {line["tenant"] for line in lines(served, "nights", BETA)} == {"beta"}


class TestTheModels:
    def test_are_told_newest_first_with_the_verdict_each_got(self, served: Served) -> None:
        found = lines(served, "models")

        assert [line["model"] for line in found] == [2, 1]
        assert [line["kind"] for line in found] == ["als", "baseline"]
        assert {line["verdict"] for line in found} == {"promoted"}
        assert [line["in_force"] for line in found] == [True, False]

    def test_include_those_that_were_rejected(self, served: Served) -> None:
        report = served.world.night(ACME, NEXT_NIGHT)

        newest = lines(served, "models")[0]

        assert newest["verdict"] == report.outcome
        assert newest["in_force"] == (report.outcome == "promoted")


class TestAHeldModel:
    @pytest.fixture
    def held(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
        """The gate held acme's model 3 last night."""
        verdict = Verdict(Outcome.HELD, "too good to be true")
        monkeypatch.setattr("jobs.night.decide", lambda *_, **__: verdict)
        served.world.night(ACME, NEXT_NIGHT)
        return served

    def test_can_be_put_in_force_and_what_is_served_stays_for_now(self, held: Served) -> None:
        before = served_edition(held)

        found = held.ask("POST", "/models/3/promote", json={"why": "no leak"})

        assert (found.status_code, found.json()["in_force"]) == (200, True)
        assert found.json()["verdict"] == "held"
        assert [line["model"] for line in lines(held, "models") if line["in_force"]] == [3]
        assert served_edition(held) == before

    def test_can_be_thrown_away(self, held: Served) -> None:
        found = held.ask("POST", "/models/3/discard", json={"why": "a leak"})

        assert (found.status_code, found.json()["in_force"]) == (200, False)
        assert 3 not in held.world.stores.models.numbers(held.world.tenant(ACME).uid)
        again = held.ask("POST", "/models/3/promote", json={"why": "no leak"})
        problem(again, 422, "MODEL_GONE")

    @pytest.mark.parametrize("act", ["promote", "discard"])
    def test_keeps_who_said_so_and_why(self, act: str, held: Served) -> None:
        held.ask("POST", f"/models/3/{act}", json={"why": "I looked"})

        [told, *_] = held.world.stores.audit.of(ACME)
        admin = held.keys[ACME, Role.ADMIN].removeprefix("rf_").partition(".")[0]
        assert (told.act, told.actor) == (act, f"key {admin}")
        assert told.detail["why"] == "I looked"

    @pytest.mark.parametrize("act", ["promote", "discard"])
    def test_is_the_only_kind_a_person_decides_about(self, act: str, house: Served) -> None:
        problem(house.ask("POST", f"/models/1/{act}", json={"why": "x"}), 422, "MODEL_NOT_HELD")
        problem(house.ask("POST", f"/models/9/{act}", json={"why": "x"}), 404, "NO_MODEL")
        problem(house.ask("POST", f"/models/1/{act}", json={"why": " "}), 422, "INVALID")
        problem(house.ask("POST", f"/models/1/{act}"), 422, "INVALID")


class TestTheQuality:
    def test_is_told_when_an_edition_has_come_due(self, served: Served) -> None:
        assert lines(served, "quality") == []
        deliver(served.world, ACME, turned(between(ACME, NIGHT, NIGHT + WEEK)))
        report = served.world.night(ACME, NIGHT + WEEK)

        [line] = lines(served, "quality")

        assert (line["tenant"], line["edition"], line["night"]) == ("acme", 1, "2026-04-08")
        assert line["flagged"]
        assert line["rmse"] > line["foreseen_rmse"]
        assert line == {"tenant": "acme", **report.figures["realised"]}

    def test_of_what_could_not_be_scored_has_no_figures(self, served: Served) -> None:
        deliver(served.world, ACME, between(ACME, NIGHT, NIGHT + WEEK))
        switch(served, "freeze")
        served.world.stores.models.discard(served.world.tenant(ACME).uid, 2)
        served.world.night(ACME, NIGHT + WEEK)

        [line] = lines(served, "quality")

        assert (line["rmse"], line["because"]) == (None, "not scored: model 2 has expired")

    def test_is_the_tenants_own(self, served: Served) -> None:
        deliver(served.world, BETA, between(BETA, NIGHT, NIGHT + WEEK))
        served.world.night(BETA, NIGHT + WEEK)

        assert lines(served, "quality", ACME) == []
        assert {line["tenant"] for line in lines(served, "quality", BETA)} == {"beta"}


class TestTheEditions:
    def test_are_told_newest_first_and_which_is_served(self, served: Served) -> None:
        served.world.night(ACME, NEXT_NIGHT)

        found = lines(served, "editions")

        assert [(line["edition"], line["current"]) for line in found] == [(2, True), (1, False)]
        assert found[0]["lists"] == 60
        assert found[1]["published_at"] == "2026-04-01T00:05:00Z"


class TestGoingBack:
    @pytest.fixture
    def rolled(self, served: Served) -> Served:
        """Edition 2 was published, then edition 1 activated."""
        served.world.night(ACME, NEXT_NIGHT)
        until(lambda: served_edition(served) == 2)
        line = roll_back(served)
        assert (line["edition"], line["current"]) == (1, True)
        return served

    def test_serves_the_earlier_edition_from_then_on(self, rolled: Served) -> None:
        until(lambda: served_edition(rolled) == 1)

        assert [line["edition"] for line in lines(rolled, "editions") if line["current"]] == [1]

    def test_shows_the_same_lists_as_then(self, served: Served) -> None:
        then = served.recs("C-0001", limit=24)
        served.world.night(ACME, NEXT_NIGHT)
        until(lambda: served_edition(served) == 2)

        roll_back(served)

        until(lambda: served_edition(served) == 1)
        now = served.recs("C-0001", limit=24)
        assert now["recommendations"] == then["recommendations"]
        assert now["model"] == then["model"]

    def test_is_not_published_over_by_the_coming_night(self, rolled: Served) -> None:
        hold = rolled.world.tenant(ACME).held_until
        assert hold is not None

        report = rolled.world.night(ACME, THIRD_NIGHT, lambda: hold - timedelta(hours=1))

        assert not report.published
        until(lambda: served_edition(rolled) == 1)

    def test_keeps_who_did_it_and_why(self, rolled: Served) -> None:
        [act, *_] = rolled.world.stores.audit.of(ACME)

        assert act.act == "activate"
        assert act.actor.startswith("key ")
        assert act.detail["why"] == "odd lists"

    def test_does_not_touch_another_tenant(self, rolled: Served) -> None:
        assert rolled.world.tenant(BETA).held_until is None
        assert served_edition(rolled, BETA) == 1

    def test_to_an_edition_nobody_made_is_refused(self, house: Served) -> None:
        problem(house.ask("POST", "/editions/2/activate", json={"why": "x"}), 404, "NO_EDITION")

        assert house.world.tenant(ACME).held_until is None

    @pytest.mark.parametrize("number", [-1, 0, 2**31, 2**63, 10**40])
    def test_to_a_number_no_edition_can_have_is_refused(self, number: int, house: Served) -> None:
        found = house.ask("POST", f"/editions/{number}/activate", json={"why": "x"})

        assert found.status_code in (404, 422), found.text

    @pytest.mark.parametrize("number", ["one", "1.5", "%00"])
    def test_to_what_is_no_number_is_refused(self, number: str, house: Served) -> None:
        found = house.ask("POST", f"/editions/{number}/activate", json={"why": "x"})

        problem(found, 422, "INVALID")

    @pytest.mark.parametrize("body", [{}, {"why": ""}, {"why": "x", "hold": 1}, None])
    def test_without_a_reason_is_refused(self, body: Any, house: Served) -> None:
        problem(house.ask("POST", "/editions/1/activate", json=body), 422, "INVALID")

    def test_to_a_damaged_edition_is_refused_and_what_is_served_stays(self, served: Served) -> None:
        served.world.night(ACME, NEXT_NIGHT)
        until(lambda: served_edition(served) == 2)
        home = served.world.config.home / "tenants" / served.world.tenant(ACME).uid
        damage(home / "editions" / "e000001" / "products.json")

        found = served.ask("POST", "/editions/1/activate", json={"why": "x"})

        assert found.status_code == 503
        assert found.headers["content-type"] == "application/problem+json"
        assert served_edition(served) == 2
        assert served.world.tenant(ACME).held_until is None


def damage(path: Path) -> None:
    """Change one byte in the middle, without touching the file a reader holds open."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    fresh = path.with_name("fresh")
    fresh.write_bytes(body)
    os.replace(fresh, path)
