"""Which addresses are lookups: the way round FastAPI's routing, and the route, agree."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import compile_path

from schema.config import Config
from schema.names import Role
from serving.app import create_app
from serving.lookup import named
from tests.serving.morning import Served
from tests.world import ACME, BETA


def route() -> re.Pattern[str]:
    """The path of the lookup as the application itself declares it."""
    [found] = set(_paths(create_app(Config.model_construct()).api.routes))
    pattern, _, _ = compile_path(found)
    return pattern


def _paths(routes: Any) -> list[str]:
    found = []
    for one in routes:
        if hasattr(one, "path") and one.path.endswith("/recs"):
            found.append(one.path)
        inner = getattr(one, "routes", None) or getattr(
            getattr(one, "original_router", None), "routes", None
        )
        found += _paths(inner or ())
    return found


ROUTE = route()
PIECES = st.sampled_from(
    (
        *("/tenants/", "/customers/", "/recs", "/", "tenants", "customers", "recs", "acme", "C-1"),
        *("", " ", ".", "..", "%2F", "?", "\n", "\r\n", "\x00", "é", "\u2028", "偶", "\ufffd"),
    )
)
PATHS = (
    st.lists(PIECES, max_size=9).map("".join)
    | st.lists(PIECES, max_size=5).map(lambda inner: f"/tenants/{''.join(inner)}/recs")
    | st.tuples(st.text(max_size=5), st.text(max_size=9)).map(
        lambda words: f"/tenants/{words[0]}/customers/{words[1]}/recs"
    )
)


class TestAnAddress:
    @given(path=PATHS)
    def test_is_a_lookup_exactly_where_the_route_says_so(self, path: str) -> None:
        # "$" of a regular expression lets one line break pass: see below
        found = None if path.endswith("\n") else ROUTE.match(path)

        assert named(path) == (found and (found["tenant"], found["customer"]))

    @pytest.mark.parametrize(
        ("path", "whose"),
        [
            ("/tenants/acme/customers/C-1/recs", ("acme", "C-1")),
            ("/tenants/acme/customers/a/b/recs", ("acme", "a/b")),
            ("/tenants/acme/customers/recs/recs", ("acme", "recs")),
            ("/tenants/acme/customers//recs/recs", ("acme", "/recs")),
            ("/tenants/acme/customers/x/customers/y/recs", ("acme", "x/customers/y")),
            ("/tenants/acme/customers/a\nb/recs", ("acme", "a\nb")),
            ("/tenants/acme/customers//recs", None),
            ("/tenants/acme/customers/recs", None),
            ("/tenants//customers/C-1/recs", None),
            ("/tenants/a/b/customers/C-1/recs", None),
            ("/tenants/acme/customers/C-1/recs/", None),
            ("/tenants/acme/customers/C-1/RECS", None),
            ("//tenants/acme/customers/C-1/recs", None),
            ("/tenants/recs", None),
            ("", None),
        ],
    )
    def test_for_example(self, path: str, whose: tuple[str, str] | None) -> None:
        assert named(path) == whose


class TestTheRoute:
    """What does not go the short way gets the same answer."""

    @pytest.mark.parametrize(
        "path",
        [
            "/C-0001/recs",
            "/C-0001/recs?limit=3&category=odd",
            "/never%20seen/recs",
            "/C-0001/recs?limit=0",
            "/C-0001/recs?category=none",
        ],
    )
    @pytest.mark.parametrize("known", [False, True])
    def test_answers_to_the_byte_as_the_short_way_does(
        self, known: bool, path: str, house: Served
    ) -> None:
        house.recs()  # so that it is open
        slowly = TestClient(house.client.app.api)  # type: ignore[attr-defined]
        headers = {"Authorization": f"Bearer {house.keys[ACME, Role.SELLER]}"}
        if known:
            address = f"/tenants/{ACME}/customers/C-0001/recs"
            headers["If-None-Match"] = house.client.get(address, headers=headers).headers["etag"]

        for tenant in (ACME, BETA):
            address = f"/tenants/{tenant}/customers{path}"
            quick, slow = (c.get(address, headers=headers) for c in (house.client, slowly))
            assert (quick.status_code, quick.content) == (slow.status_code, slow.content)
            quick.headers.pop("x-request-id")  # which the door puts on everybody's
            assert sorted(quick.headers.items()) == sorted(slow.headers.items())

    def test_answers_an_address_that_ends_in_a_line_break(self, house: Served) -> None:
        assert named("/tenants/acme/customers/C-0001/recs\n") is None

        found = house.ask("GET", "/customers/C-0001/recs%0A", role=Role.SELLER)

        assert found.json() == house.recs("C-0001")

    def test_answers_no_other_method(self, house: Served) -> None:
        for method in ("HEAD", "PUT", "DELETE", "OPTIONS"):
            assert house.ask(method, "/customers/C-0001/recs").status_code == 405
