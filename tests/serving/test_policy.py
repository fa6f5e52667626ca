from collections.abc import Mapping

import pytest
from fastapi import APIRouter

from schema.config import Config
from schema.names import Role
from serving import admin, policy
from serving.app import create_app
from serving.guard import Guarded, bearer
from serving.policy import POLICY, PUBLIC, TENANT


def may(role: Role) -> set[tuple[str, str]]:
    """What a role may do."""
    return {line for line, roles in POLICY.items() if role in roles}


def application() -> None:
    create_app(Config.model_construct())


class TestARole:
    def test_of_a_seller_looks_up_and_tells_what_became_of_it(self) -> None:
        assert may(Role.SELLER) == {
            ("GET", policy.RECS),
            ("POST", policy.RECS),
            ("POST", f"{TENANT}/feedback"),
        }

    def test_of_an_admin_may_all_that_a_seller_may(self) -> None:
        assert may(Role.ADMIN) > may(Role.SELLER)

    def test_of_an_operator_may_everything(self) -> None:
        assert may(Role.OPERATOR) == {line for line, roles in POLICY.items() if roles}

    def test_of_an_auditor_only_reads(self) -> None:
        assert {method for method, _ in may(Role.AUDITOR)} == {"GET"}

    def test_of_an_auditor_sees_no_customer(self) -> None:
        assert not [path for _, path in may(Role.AUDITOR) if "{customer}" in path]


class TestThePolicy:
    def test_opens_nothing_below_a_tenant_to_everybody(self) -> None:
        public = {path for (_, path), roles in POLICY.items() if roles is PUBLIC}

        assert not [path for path in public if "tenant" in path]

    def test_names_the_least_role_first(self) -> None:
        rank = list(Role)
        for line, roles in POLICY.items():
            assert list(roles) == sorted(roles, key=rank.index), line


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> APIRouter:
    """A router of the application to which somebody just adds something."""
    router = APIRouter()
    router.include_router(admin.router)
    monkeypatch.setattr(admin, "router", router)
    application()
    return router


async def endpoint() -> Mapping[str, str]:
    return {}


class TestAnApplication:
    def test_is_not_made_with_a_route_that_is_not_in_the_policy(self, careless: APIRouter) -> None:
        careless.add_api_route("/tenants/{tenant}/secrets", endpoint, route_class_override=Guarded)

        with pytest.raises(RuntimeError, match=r"secrets'\) is not in serving/policy"):
            application()

    def test_is_not_made_with_a_route_that_is_not_guarded(
        self, careless: APIRouter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = ("GET", "/tenants/{tenant}/secrets")
        monkeypatch.setattr("serving.guard.POLICY", {**POLICY, line: policy.RUNS})
        careless.add_api_route(line[1], endpoint)

        with pytest.raises(RuntimeError, match=r"secrets'\) is not guarded"):
            application()

    def test_is_not_made_with_a_line_that_has_no_route(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "serving.guard.POLICY", {**POLICY, ("GET", "/tenants/{tenant}/gone"): policy.RUNS}
        )

        with pytest.raises(RuntimeError, match=r"gone'\) of serving/policy.py has no route"):
            application()


class TestWhatAHeaderBears:
    @pytest.mark.parametrize(
        ("headers", "borne"),
        [
            ([(b"authorization", b"Bearer rf_a.b")], "rf_a.b"),
            ([(b"authorization", b"bearer   rf_a.b  ")], "rf_a.b"),
            ([(b"x", b"y"), (b"authorization", b"BEARER rf_a.b")], "rf_a.b"),
            ([(b"authorization", b"Basic rf_a.b")], None),
            ([(b"authorization", b"rf_a.b")], None),
            ([(b"authorization", b"")], None),
            ([(b"x-authorization", b"Bearer rf_a.b")], None),
            ([], None),
        ],
    )
    def test_is_what_follows_the_word_bearer(
        self, headers: list[tuple[bytes, bytes]], borne: str | None
    ) -> None:
        assert bearer(headers) == borne

    def test_is_nothing_where_two_headers_contradict_each_other(self) -> None:
        header = (b"authorization", b"Bearer rf_a.b")

        assert bearer([header, header]) is None
