from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schema.config import Config
from schema.names import Role, TenantId
from serving.app import create_app
from tenants.access import make_key
from tests.serving.morning import Served, problem, serving, until
from tests.world import ACME, BETA, World, open_world

RECS = "/customers/C-0001/recs"
NOBODY = TenantId("nobody")
BODIES: Mapping[tuple[str, str], object] = {
    ("POST", RECS): {"interested": {"categories": ["odd"]}},
    ("PUT", "/mode"): {"mode": "on", "why": "a test"},
    ("PUT", "/data/mapping"): {"mapping": {"currency": "EUR"}, "why": "a test"},
    ("POST", "/feedback"): {"events": [{}]},
    ("POST", "/editions/1/activate"): {"why": "a test"},
    ("POST", "/rules"): {"action": "max_per_category", "value": 3, "why": "a test"},
    ("POST", "/models/1/promote"): {"why": "a test"},
    ("POST", "/models/1/discard"): {"why": "a test"},
    ("DELETE", "/customers/C-0001"): {"why": "a test"},
    ("POST", "/data/held/{batch}/release"): {"why": "a test"},
    ("POST", "/data/held/{batch}/discard"): {"why": "a test"},
    ("POST", "/keys"): {},
    ("POST", "/keys/0123456789ab/rotate"): {},
}
"""What a route wants to hear, where it wants anything."""


def addresses() -> Iterator[tuple[str, str]]:
    """Every route below a tenant that is documented: method, path."""
    for path, methods in create_app(Config.model_construct()).api.openapi()["paths"].items():
        if "{tenant}" in path:
            below = path.removeprefix("/tenants/{tenant}")
            for name, value in (
                ("{customer}", "C-0001"),
                ("{number}", "1"),
                ("{key}", "0123456789ab"),
                ("{table}", "products"),
            ):
                below = below.replace(name, value)
            for method in methods:
                yield method.upper(), below


EVERY = pytest.mark.parametrize(("method", "path"), list(addresses()))
ADMINS = [
    (method, path) for method, path in addresses() if path not in (RECS, "/feedback")
]  # fmt: skip


@pytest.fixture
def served(house: Served) -> Served:
    """Whoever is turned away leaves no trace; the others have a house of their own."""
    return house


def test_the_routes_below_a_tenant_are_these() -> None:
    assert set(addresses()) == {
        ("GET", RECS),
        ("POST", RECS),
        ("POST", "/feedback"),
        ("GET", "/outcomes"),
        ("GET", "/audit"),
        ("GET", "/mode"),
        ("GET", "/data/mapping"),
        ("PUT", "/data/mapping"),
        ("PUT", "/mode"),
        ("PUT", "/data/products"),
        ("GET", "/data/reports"),
        ("GET", "/data/reports/{batch}"),
        ("GET", "/data/quarantine/{batch}/products"),
        ("POST", "/data/held/{batch}/release"),
        ("POST", "/data/held/{batch}/discard"),
        ("GET", "/rules"),
        ("POST", "/rules"),
        ("DELETE", "/rules/1"),
        ("GET", "/nights"),
        ("GET", "/models"),
        ("POST", "/models/1/promote"),
        ("POST", "/models/1/discard"),
        ("GET", "/quality"),
        ("GET", "/editions"),
        ("POST", "/editions/1/activate"),
        ("DELETE", "/customers/C-0001"),
        ("GET", "/erasures/1"),
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("POST", "/keys/0123456789ab/rotate"),
        ("DELETE", "/keys/0123456789ab"),
    }


class TestEveryRouteBelowATenant:
    @EVERY
    def test_wants_a_key(self, method: str, path: str, served: Served) -> None:
        for tenant in (ACME, NOBODY):
            found = served.client.request(
                method, f"/tenants/{tenant}{path}", json=BODIES.get((method, path))
            )

            problem(found, 401, "NO_KEY")
            assert found.headers["www-authenticate"] == "Bearer"

    @EVERY
    def test_is_to_another_tenants_key_as_if_the_tenant_did_not_exist(
        self, method: str, path: str, served: Served
    ) -> None:
        body = BODIES.get((method, path))
        for role in (Role.SELLER, Role.ADMIN):
            theirs, nobodys = (
                served.ask(method, path, tenant, key=ACME, role=role, json=body)
                for tenant in (BETA, NOBODY)
            )

            problem(theirs, 404, "NO_TENANT")
            assert theirs.content == nobodys.content
            assert theirs.status_code == nobodys.status_code
            assert dict(theirs.headers) == dict(nobodys.headers)

    @EVERY
    def test_changes_nothing_of_a_foreign_tenant(
        self, method: str, path: str, served: Served
    ) -> None:
        ledger, audit = served.world.stores.ledger, served.world.stores.audit
        before = ledger.tenant(BETA), audit.of(BETA)

        served.ask(method, path, BETA, key=ACME, json=BODIES.get((method, path)))

        assert (ledger.tenant(BETA), audit.of(BETA)) == before

    @pytest.mark.parametrize(("method", "path"), ADMINS)
    def test_but_the_sellers_two_wants_an_admins_key(
        self, method: str, path: str, served: Served
    ) -> None:
        found = served.ask(method, path, role=Role.SELLER, json=BODIES.get((method, path)))

        assert "admin" in problem(found, 403, "ROLE")["next_step"]

    @EVERY
    def test_is_open_to_operators_wherever_they_ask(
        self, method: str, path: str, own: Served
    ) -> None:
        for tenant in (ACME, BETA):
            if (method, path) == ("DELETE", "/rules/1"):  # something to take away
                own.ask("POST", "/rules", tenant, json=BODIES["POST", "/rules"])
            found = own.ask(
                method, path, tenant, role=Role.OPERATOR, json=BODIES.get((method, path))
            )
            inside = found.status_code == 200 or found.json()["code"] in {
                "MODEL_NOT_HELD",  # no model of this morning is held: the door was open
                "NO_SUCH_KEY",
                "CONTENT_TYPE",  # of a delivery without a file
                "NO_RECEIPT",
                "NO_BATCH",
                "NO_QUARANTINE",
            }
            assert inside, found.text

    @EVERY
    def test_tells_an_operator_that_a_tenant_does_not_exist(
        self, method: str, path: str, served: Served
    ) -> None:
        found = served.ask(
            method, path, NOBODY, role=Role.OPERATOR, json=BODIES.get((method, path))
        )

        problem(found, 404, "NO_TENANT")


class TestAKey:
    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"Bearer",
            b"Bearer ",
            b"Bearer rf_",
            b"Bearer rf_.",
            b"Bearer nonsense",
            b"Bearer rf_000000000000.wrong",
            b"Basic cmY6cmY=",
            b"Bearer \xff\xfe",
            b"Bearer rf_" + b"x" * 10_000,
        ],
    )
    def test_that_is_none_is_refused_alike(self, header: bytes, served: Served) -> None:
        found = served.client.get(f"/tenants/acme{RECS}", headers={b"Authorization": header})

        problem(found, 401, "NO_KEY")
        assert found.content == served.client.get(f"/tenants/acme{RECS}").content

    def test_is_read_whatever_case_the_word_bearer_has(self, served: Served) -> None:
        key = served.keys[ACME, Role.SELLER]
        for word in ("bearer", "BEARER"):
            found = served.client.get(
                f"/tenants/acme{RECS}", headers={"Authorization": f"{word} {key}"}
            )
            assert found.status_code == 200

    def test_is_nowhere_but_in_the_header(self, served: Served) -> None:
        key = served.keys[ACME, Role.SELLER]

        found = served.client.get(f"/tenants/acme{RECS}", params={"key": key, "token": key})

        problem(found, 401, "NO_KEY")

    def test_is_never_repeated_in_an_answer(self, served: Served) -> None:
        key = served.keys[ACME, Role.SELLER]

        found = served.ask("GET", "/mode", BETA, key=ACME, role=Role.SELLER)

        assert key.partition(".")[2] not in found.text

    def test_of_a_tenant_named_alike_opens_nothing(self, served: Served) -> None:
        for name in ("ACME", "acme ", "acm", "acme-2", "%61cme2"):
            found = served.ask("GET", RECS, TenantId(name), key=ACME)
            problem(found, 404, "NO_TENANT")

    def test_ends_on_its_day(self, morning: World) -> None:
        past = datetime.now(UTC) - timedelta(seconds=1)
        key, shown = make_key(
            ACME, Role.SELLER, "", morning.stores.pepper, at=past, expires_at=past
        )
        morning.stores.ledger.add_key(key, by="test")

        with serving(morning, {(ACME, Role.SELLER): shown}) as served:
            problem(served.ask("GET", RECS, role=Role.SELLER), 401, "NO_KEY")

    def test_that_is_revoked_is_refused_soon_and_the_others_are_not(self, own: Served) -> None:
        ledger = own.world.stores.ledger
        [key] = [key for key in ledger.keys(ACME) if key.role is Role.SELLER]
        assert own.ask("GET", RECS, role=Role.SELLER).status_code == 200

        ledger.revoke_key(key.key_id, by="test", at=datetime.now(UTC))

        until(lambda: own.ask("GET", RECS, role=Role.SELLER).status_code == 401)
        assert own.ask("GET", RECS, role=Role.ADMIN).status_code == 200

    def test_that_is_new_opens_soon(self, own: Served) -> None:
        headers = own.world.headers(ACME)

        until(lambda: own.client.get(f"/tenants/acme{RECS}", headers=headers).status_code == 200)

    def test_of_another_installation_opens_nothing(self, morning: World, tmp_path: Path) -> None:
        other = open_world(tmp_path / "other")
        other.add(ACME)
        foreign = other.key(ACME)
        other.stores.engine.dispose()

        with serving(morning, {(ACME, Role.SELLER): foreign}) as served:
            problem(served.ask("GET", RECS, role=Role.SELLER), 401, "NO_KEY")
