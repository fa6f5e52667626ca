"""The button during a call: what was said counts, for this answer only."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import anyio
import orjson
import pytest

from schema.errors import Problem
from schema.names import Bought, Mode, Role, TenantId
from serving import live
from serving.bodies import Recommendations, Reranked
from storage.editions import GROUNDS
from tests.serving.morning import Night, Served, ids, problem, serving, until
from tests.storage.made import without_grounds
from tests.world import ACME, BETA, NEXT_NIGHT, World

Body = Mapping[str, Any]


@pytest.fixture
def served(house: Served) -> Served:
    """Re-ranking leaves no trace."""
    return house


def recs(
    served: Served,
    said: Body,
    customer: str = "C-0001",
    tenant: TenantId = ACME,
    **params: Any,
) -> dict[str, Any]:
    path = f"/customers/{customer}/recs"
    found = served.ask("POST", path, tenant, role=Role.SELLER, json=said, params=params)
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def refused(served: Served, said: Any, status: int, code: str) -> dict[str, Any]:
    return problem(served.ask("POST", "/customers/C-0001/recs", json=said), status, code)


def asking(*products: str, categories: tuple[str, ...] = ()) -> Body:
    return {"interested": {"products": list(products), "categories": list(categories)}}


def rejecting(*products: str, categories: tuple[str, ...] = ()) -> Body:
    return {"rejected": {"products": list(products), "categories": list(categories)}}


def odd(tenant: TenantId = ACME) -> str:
    return f"{tenant}-P-11"


class TestNothingSaid:
    @pytest.mark.parametrize("said", [{}, asking(), {**asking(), **rejecting()}])
    @pytest.mark.parametrize("customer", ["C-0001", "C-0002", "never-seen"])
    @pytest.mark.parametrize("params", [{}, {"limit": 50}, {"bought": Bought.ONLY.value}])
    def test_is_the_lookup_byte_for_byte(
        self, served: Served, said: Body, customer: str, params: Body
    ) -> None:
        looked = served.ask("GET", f"/customers/{customer}/recs", params=params).content
        asked = served.ask("POST", f"/customers/{customer}/recs", params=params, json=said).content

        assert asked.startswith(looked[:-1])
        body = orjson.loads(asked)
        nothing: dict[str, list[str]] = {"products": [], "categories": []}
        assert body.pop("understood") == {
            "interested": nothing,
            "rejected": nothing,
            "reranked": False,
        }
        assert body == orjson.loads(looked)


class TestAnAnswer:
    def test_is_that_of_a_lookup_and_says_what_was_understood(self, served: Served) -> None:
        body = recs(
            served, {**asking(odd(), odd(), categories=("even",)), **rejecting("acme-P-01")}
        )

        assert set(body) == {*Recommendations.model_fields, "understood"}
        assert Reranked.model_validate(body).model_dump(mode="json") == body
        assert body["understood"] == {
            "interested": {"products": [odd()], "categories": ["even"]},
            "rejected": {"products": ["acme-P-01"], "categories": []},
            "reranked": True,
        }
        before = served.recs("C-0001")
        for name in ("tenant", "customer", "mode", "source", "edition", "model", "published_at"):
            assert body[name] == before[name]

    def test_brings_forward_what_was_asked_about_and_what_goes_with_it(
        self, served: Served
    ) -> None:
        """C-0002 likes even products; now they ask about odd ones."""
        chances = [
            {line["product_id"]: line["probability"] for line in body["recommendations"]}
            for body in (
                served.recs("C-0002", limit=24),
                recs(served, asking("acme-P-11", "acme-P-13"), "C-0002", limit=24),
            )
        ]
        odd_ones = [name for name in chances[0] if int(name[-2:]) % 2]
        assert sum(chances[1][n] > chances[0][n] for n in odd_ones) > len(odd_ones) / 2
        assert chances[1]["acme-P-11"] > chances[0]["acme-P-11"]

    def test_gives_reasons_that_can_be_said_aloud(self, served: Served) -> None:
        lines = recs(served, asking("acme-P-11"), "never-seen", limit=24)["recommendations"]

        reasons = {line["product_id"]: line["reason"] for line in lines}
        assert reasons["acme-P-11"] == {
            "kind": "similar",
            "because": ["acme-P-11"],
            "text": "Asked about just now",
        }
        texts = {reason["text"] for reason in reasons.values()}
        assert "Goes with acme product 11, asked about just now" in texts

    def test_calls_a_category_by_its_name(self, served: Served) -> None:
        lines = recs(served, asking(categories=("odd",)), "never-seen", limit=24)["recommendations"]

        texts = {line["category"]: line["reason"]["text"] for line in lines}
        assert texts["odd"] == "Asked about just now"

    def test_keeps_the_reason_of_a_product_bought_before(self, served: Served) -> None:
        first = served.recs("C-0001", bought=Bought.ONLY.value)["recommendations"][0]
        body = recs(served, asking(first["product_id"]), bought=Bought.ONLY.value)

        now = {line["product_id"]: line["reason"] for line in body["recommendations"]}
        assert now[first["product_id"]] == first["reason"]

    @pytest.mark.parametrize("limit", [1, 7, 24])
    def test_holds_as_many_products_as_were_asked_for(self, limit: int, served: Served) -> None:
        assert len(ids(recs(served, asking(odd()), limit=limit))) == limit

    def test_may_leave_out_what_was_bought_or_show_nothing_else(self, served: Served) -> None:
        for bought in (Bought.EXCLUDE, Bought.ONLY):
            looked = served.recs("C-0001", bought=bought.value, limit=6)
            lines = recs(served, asking(odd()), bought=bought.value, limit=6)["recommendations"]
            assert len(lines) == len(ids(looked)) > 2
            assert {line["bought_before"] for line in lines} == {bought is Bought.ONLY}


class TestAStranger:
    def test_has_a_list_from_what_they_said(self, served: Served) -> None:
        body = recs(served, asking(odd()), "never-seen")

        assert (body["source"], len(ids(body))) == ("personal", 10)
        assert ids(body) != ids(served.recs("never-seen"))

    def test_who_only_rejects_keeps_the_popular_one(self, served: Served) -> None:
        before = ids(served.recs("never-seen", limit=24))
        body = recs(served, rejecting(before[0]), "never-seen", limit=24)

        assert (body["source"], ids(body)) == ("popular", before[1:])


class TestWhatWasRejected:
    def test_is_gone_and_the_list_stays_full(self, served: Served) -> None:
        first = ids(served.recs("C-0001"))[:3]
        body = recs(served, rejecting(*first))

        assert not set(ids(body)) & set(first)
        assert len(ids(body)) == 10
        assert body["understood"]["reranked"] is False

    def test_is_gone_with_its_whole_category(self, served: Served) -> None:
        body = recs(served, rejecting(categories=("odd",)), limit=24)

        assert {line["category"] for line in body["recommendations"]} == {"even"}

    def test_is_no_interest_though_it_was_asked_about(self, served: Served) -> None:
        both = recs(served, {**asking(odd()), **rejecting(odd())})

        assert both["understood"]["interested"]["products"] == []
        assert ids(both) == ids(recs(served, rejecting(odd())))


class TestTwoTenants:
    def test_with_the_same_customer_never_meet(self, served: Served) -> None:
        for mine, other in ((ACME, BETA), (BETA, ACME)):
            for customer in ("C-0001", "C-0002", "stranger"):
                found = served.ask(
                    "POST",
                    f"/customers/{customer}/recs",
                    mine,
                    params={"limit": 50},
                    json=asking(odd(mine), categories=("odd",)),
                )
                assert mine.encode() in found.content
                assert other.encode() not in found.content

    def test_do_not_know_each_others_products(self, served: Served) -> None:
        refused(served, asking(odd(BETA)), 422, "RERANK_UNKNOWN_REF")

    def test_do_not_open_for_each_others_keys(self, served: Served) -> None:
        found = served.ask("POST", "/customers/C-0001/recs", ACME, key=BETA, json=asking(odd()))
        problem(found, 404, "NO_TENANT")


class TestAWrongQuestion:
    def test_about_an_unknown_product_or_category_is_told_which(self, served: Served) -> None:
        for said, name in (
            (asking(odd(), "acme-P-99"), "acme-P-99"),
            (rejecting("acme-p-11"), "acme-p-11"),
            (asking(categories=("Odd",)), "Odd"),
        ):
            assert name in refused(served, said, 422, "RERANK_UNKNOWN_REF")["detail"]

    @pytest.mark.parametrize(
        "said",
        [
            None,
            [],
            "x",
            {"products": ["acme-P-11"]},
            {"interested": ["acme-P-11"]},
            {"interested": {"products": "acme-P-11"}},
            {"interested": {"products": [11]}},
            {"interested": {"products": [""]}},
            {"interested": {"products": ["x" * 129]}},
            {"interested": {"products": ["acme-P-11"] * 51}},
            {"rejected": {"categories": ["odd"] * 21}},
            {"interested": {"weights": [1]}},
        ],
        ids=str,
    )
    def test_of_another_shape_is_refused(self, served: Served, said: Any) -> None:
        refused(served, said, 422, "INVALID")

    def test_with_half_a_character_is_refused(self, served: Served) -> None:
        said = rb'{"interested": {"products": ["\ud800"]}}'
        found = served.ask("POST", "/customers/C-0001/recs", content=said)
        problem(found, 422, "INVALID")

    @pytest.mark.parametrize(
        ("params", "code"), [({"limit": 51}, "LIMIT"), ({"bought": "x"}, "BOUGHT")]
    )
    def test_is_one_that_a_lookup_refuses(self, served: Served, params: Body, code: str) -> None:
        found = served.ask("POST", "/customers/C-0001/recs", params=params, json=asking(odd()))
        problem(found, 422, code)


class TestATenant:
    def test_that_is_off_shows_nothing(self, morning: World, night: Night) -> None:
        morning.switch(ACME, Mode.OFF)

        with serving(morning, night.keys) as served:
            body = recs(served, asking("acme-P-99"))
            looked = served.recs("C-0001")

        assert body == {**looked, "understood": None}

    def test_that_is_frozen_is_re_ranked_from_its_edition(
        self, morning: World, night: Night
    ) -> None:
        with serving(morning, night.keys) as served:
            before = recs(served, asking(odd()))
        morning.switch(ACME, Mode.FREEZE)
        morning.night(ACME, NEXT_NIGHT)

        with serving(morning, night.keys) as served:
            assert recs(served, asking(odd())) == {**before, "mode": "freeze"}

    def test_that_had_no_night_yet_says_so(self, world: World) -> None:
        with serving(world, {(ACME, Role.ADMIN): world.key(ACME)}) as served:
            refused(served, asking(odd()), 404, "NO_EDITION")

    def test_whose_edition_is_older_than_re_ranking_says_so_and_shows_its_list(
        self, morning: World, night: Night
    ) -> None:
        without_grounds(morning.stores.editions, morning.tenant(ACME).uid)

        with serving(morning, night.keys) as served:
            refused(served, asking(odd()), 404, "NO_GROUNDS")
            assert ids(recs(served, {})) == ids(served.recs("C-0001"))
            assert recs(served, asking(odd(BETA)), tenant=BETA)["understood"]["reranked"]

    def test_whose_grounds_are_damaged_says_so_and_shows_its_list(
        self, morning: World, night: Night
    ) -> None:
        folder = morning.config.home / "tenants" / morning.tenant(ACME).uid / "editions/e000001"
        data = bytearray((folder / GROUNDS).read_bytes())
        data[-1] ^= 1
        (folder / GROUNDS).write_bytes(data)

        with serving(morning, night.keys) as served:
            refused(served, asking(odd()), 503, "SEALED_BROKEN")
            assert len(ids(served.recs("C-0001"))) == 10

    def test_has_its_rules_obeyed(self, served: Served, morning: World, night: Night) -> None:
        plain = ids(recs(served, asking(odd())))
        with serving(morning, night.keys) as own:
            found = own.ask(
                "POST",
                "/rules",
                json={"action": "exclude", "product_id": plain[0], "why": "a test"},
            )
            assert found.status_code == 200, found.text
            until(lambda: plain[0] not in ids(recs(own, asking(odd()))))
            assert len(ids(recs(own, asking(odd())))) == 10


class TestNothing:
    def test_is_kept_of_what_was_said(self, morning: World, night: Night) -> None:
        def everything() -> dict[str, bytes]:
            home = morning.config.home
            return {str(p): p.read_bytes() for p in home.rglob("*") if p.is_file()}

        with serving(morning, night.keys) as served:
            looked, before = served.recs("C-0001"), everything()
            recs(served, {**asking(odd()), **rejecting("acme-P-01")})
            assert served.recs("C-0001") == looked
            assert everything() == before


class TestTheDesk:
    def test_does_as_much_at_once_as_there_are_cores_lets_some_wait_and_refuses_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        go, lock, busy, most = threading.Event(), threading.Lock(), 0, 0

        def work() -> str:
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            go.wait(20)
            with lock:
                busy -= 1
            return "done"

        results: list[str] = []

        async def ask(desk: live.Desk) -> None:
            try:
                results.append(await desk.run(work))
            except Problem as problem:
                results.append(problem.code)

        async def crowd() -> None:
            desk = live.Desk()
            async with anyio.create_task_group() as tasks:
                for _ in range(2 + live._WAITING + 3):
                    tasks.start_soon(ask, desk)
                while results.count("RERANK_BUSY") < 3 or busy < 2:
                    await anyio.sleep(0.01)
                go.set()
            results.append(await desk.run(work))

        anyio.run(crowd)

        assert most == 2
        assert results.count("RERANK_BUSY") == 3
        assert results.count("done") == 2 + live._WAITING + 1

    def test_answers_whole_while_editions_are_swapped(self, morning: World, night: Night) -> None:
        """What is ranked in a thread is of one edition, though the loop closed that meanwhile."""
        morning.night(ACME, NEXT_NIGHT)
        rows = {row["edition"]: row for row in morning.stores.nights.editions(ACME)}
        editions, uid = morning.stores.editions, morning.tenant(ACME).uid
        now = editions.current(uid)
        assert now is not None

        def activate(number: int) -> None:
            sha = rows[number]["manifest_sha256"]
            editions.point(uid, replace(now, edition=number, manifest_sha256=sha))

        with serving(morning, night.keys) as served:

            def asked() -> dict[str, Any]:
                return recs(served, asking(odd()))

            expected = {}
            for number in (1, 2):
                activate(number)
                until(lambda number=number: asked()["edition"] == number)  # type: ignore[misc]
                expected[number] = asked()["recommendations"]
            assert expected[1] != expected[2]
            stop = threading.Event()

            def swap() -> None:
                while not stop.is_set():
                    for number in (1, 2):
                        activate(number)
                        stop.wait(0.03)

            with ThreadPoolExecutor(3) as pool:
                swapping = pool.submit(swap)
                try:
                    seen = set()
                    for body in pool.map(lambda _: asked(), range(80)):
                        assert body["recommendations"] == expected[body["edition"]]
                        seen.add(body["edition"])
                finally:
                    stop.set()
                swapping.result()
            assert seen == {1, 2}
