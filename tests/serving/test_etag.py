"""Whoever kept an answer asks again each time, and is told in few bytes that it still holds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response

from schema.names import Bought, Mode, Role, TenantId
from tests.serving.morning import Night, Served, problem, serving, until
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, World, tables

RECS = "/customers/C-0001/recs"


def asked(
    served: Served, path: str = RECS, tenant: TenantId = ACME, *, known: str = "", **more: Any
) -> Response:
    """A lookup by somebody who knows an answer already."""
    key = served.keys[tenant, Role.SELLER]
    headers = {"Authorization": f"Bearer {key}", "If-None-Match": known}
    return served.client.get(f"/tenants/{tenant}{path}", headers=headers, **more)


def tag(served: Served, tenant: TenantId = ACME) -> str:
    found = asked(served, tenant=tenant)
    assert found.status_code == 200, found.text
    return found.headers["etag"]


def aged(world: World, days: float) -> World:
    """The same, but its lists are stale after so many days."""
    serving = world.config.serving.model_copy(update={"stale_days": days})
    return replace(world, config=world.config.model_copy(update={"serving": serving}))


def age(of: datetime) -> float:
    """In days."""
    return (datetime.now(UTC) - of) / timedelta(days=1)


BEGUN = datetime(NIGHT.year, NIGHT.month, NIGHT.day, tzinfo=UTC)


class TestAnAnswer:
    def test_may_be_kept_by_whoever_asked_and_by_nobody_else(self, house: Served) -> None:
        found = asked(house)

        assert found.headers["cache-control"] == "private, no-cache"
        assert found.headers["vary"] == "authorization"
        assert found.headers["etag"]

    def test_that_still_holds_is_said_without_a_body_and_keeps_its_etag(
        self, house: Served
    ) -> None:
        whole = asked(house)

        found = asked(house, known=whole.headers["etag"])

        assert (found.status_code, found.content) == (304, b"")
        for name in ("etag", "cache-control", "vary"):
            assert found.headers[name] == whole.headers[name]
        # RFC 9110, 8.6: a length here would have to be that of the whole answer
        assert "content-length" not in found.headers

    @pytest.mark.parametrize("form", ["W/{}", '"other", {}', '"a",W/{} , "b"'])
    def test_is_recognised_among_others_and_where_a_proxy_has_marked_it_weak(
        self, form: str, house: Served
    ) -> None:
        assert asked(house, known=form.format(tag(house))).status_code == 304

    @pytest.mark.parametrize("known", ["", '""', '"', "W/", '"other"', "é", "\x7f", "x" * 3000])
    def test_is_whole_for_whoever_knows_another(self, known: str, house: Served) -> None:
        whole = asked(house)

        found = asked(house, known=known.encode("latin-1"))  # type: ignore[arg-type]

        assert (found.status_code, found.content) == (200, whole.content)

    def test_of_another_tenant_has_another_etag(self, house: Served) -> None:
        assert tag(house, ACME) != tag(house, BETA)
        assert asked(house, tenant=BETA, known=tag(house, ACME)).status_code == 200


class TestWhoeverMayNotAsk:
    """Knowing an ETag opens nothing."""

    @pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer rf_x.y", "Basic eDp5"])
    def test_is_turned_away_without_a_key(self, key: str | None, house: Served) -> None:
        headers = {"If-None-Match": tag(house)} | ({"Authorization": key} if key else {})

        found = house.client.get(f"/tenants/{ACME}{RECS}", headers=headers)

        problem(found, 401, "NO_KEY")
        assert "etag" not in found.headers

    def test_is_turned_away_with_another_tenants_key(self, house: Served) -> None:
        found = house.client.get(
            f"/tenants/{ACME}{RECS}",
            headers={
                "If-None-Match": tag(house),
                "Authorization": f"Bearer {house.keys[BETA, Role.SELLER]}",
            },
        )

        problem(found, 404, "NO_TENANT")
        assert "etag" not in found.headers

    @pytest.mark.parametrize(
        ("question", "code"), [("limit=0", "LIMIT"), ("limit=x", "INVALID"), ("bought=x", "BOUGHT")]
    )
    def test_so_is_a_wrong_question(self, question: str, code: str, house: Served) -> None:
        problem(asked(house, f"{RECS}?{question}", known=tag(house)), 422, code)


class TestTheETag:
    @pytest.fixture
    def fresh(self, morning: World, night: Night) -> Iterator[Served]:
        """Served, and far from being stale."""
        with serving(aged(morning, age(BEGUN) + 1000), night.keys) as served:
            yield served

    def test_stays_as_long_as_nothing_changes(self, fresh: Served) -> None:
        known = tag(fresh)
        time.sleep(0.1)  # the shelf looks every fiftieth of a second

        assert asked(fresh, known=known).status_code == 304

    @pytest.mark.parametrize(
        "change",
        [
            lambda served: served.world.night(ACME, NEXT_NIGHT),
            lambda served: served.world.switch(ACME, Mode.FREEZE),
            lambda served: served.world.import_(
                ACME, {"products": tables(ACME)["products"].slice(1)}
            ),
            lambda served: served.ask(
                "POST", "/rules", json={"action": "min_price", "value": 9, "why": "a test"}
            ),
        ],
        ids=["edition", "mode", "catalogue", "rule"],
    )
    def test_changes_with_what_the_tenant_changes_and_no_other_tenants_does(
        self, change: Callable[[Served], Any], fresh: Served
    ) -> None:
        known, theirs = tag(fresh), tag(fresh, BETA)

        change(fresh)

        until(lambda: asked(fresh, known=known).status_code == 200)
        assert asked(fresh, tenant=BETA, known=theirs).status_code == 304

    @pytest.mark.parametrize("mode", [Mode.ON, Mode.FREEZE])
    def test_changes_when_the_lists_become_stale(
        self, mode: Mode, morning: World, night: Night
    ) -> None:
        morning.switch(ACME, mode)
        soon = age(BEGUN) + 2 / 86_400
        with serving(aged(morning, soon), night.keys) as served:
            whole = asked(served)
            assert whole.json()["stale"] is False

            until(lambda: asked(served, known=whole.headers["etag"]).status_code == 200)

            assert asked(served).json() == {**whole.json(), "stale": True}

    def test_is_none_where_the_tenant_is_off(self, morning: World, night: Night) -> None:
        with serving(morning, night.keys) as served:
            known = tag(served)
        morning.switch(ACME, Mode.OFF)

        with serving(morning, night.keys) as served:
            found = asked(served, known=known)

        assert (found.status_code, found.json()["mode"]) == (200, "off")
        assert "etag" not in found.headers

    def test_of_one_address_always_stands_for_the_same_bytes(self, fresh: Served) -> None:
        """Over everything that happens to two tenants in a day."""
        addresses = [
            (tenant, f"/customers/{customer}/recs?{question}")
            for tenant in (ACME, BETA)
            for customer in ("C-0001", "C-0002", "stranger")
            for question in ("", "limit=3", f"bought={Bought.EXCLUDE.value}", "category=even")
        ]
        stood: dict[tuple[TenantId, str, str], bytes] = {}

        def look() -> None:
            for tenant, path in addresses:
                found = asked(fresh, path, tenant)
                kept = stood.setdefault((tenant, path, found.headers["etag"]), found.content)
                assert kept == found.content

        def rule(**body: Any) -> None:
            found = fresh.ask("POST", "/rules", json={"why": "a test", **body})
            assert found.status_code == 200, found.text

        look()
        first = fresh.recs()["recommendations"][0]["product_id"]
        for change in (
            lambda: rule(action="exclude", product_id=first),
            lambda: rule(action="boost", category="even", value=1000),
            lambda: fresh.ask("DELETE", "/rules/1"),
            lambda: fresh.ask("PUT", "/mode", json={"mode": "freeze", "why": "a test"}),
            lambda: fresh.ask("PUT", "/mode", json={"mode": "on", "why": "a test"}),
            lambda: fresh.ask("DELETE", "/rules/2"),
            lambda: fresh.world.night(ACME, NEXT_NIGHT),
            lambda: fresh.ask("POST", "/editions/1/activate", json={"why": "a test"}),
        ):
            known = tag(fresh)
            change()
            until(lambda known=known: tag(fresh) != known)  # type: ignore[misc]
            look()

        assert len({etag for _, _, etag in stood}) >= 8
