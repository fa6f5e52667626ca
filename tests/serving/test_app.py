import json
import os
import subprocess
import sys
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from schema.config import Config
from schema.names import Role
from serving.app import create_app
from tests.serving.morning import Served, problem
from tests.world import ACME, World


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Config.model_construct()).api.openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


class TestTheDocument:
    def test_lists_every_route(self, document: dict[str, Any]) -> None:
        assert {name for name, _ in operations(document)} == {
            "GET /tenants/{tenant}/customers/{customer}/recs",
            "POST /tenants/{tenant}/customers/{customer}/recs",
            "POST /tenants/{tenant}/feedback",
            "GET /tenants/{tenant}/outcomes",
            "GET /tenants/{tenant}/mode",
            "PUT /tenants/{tenant}/mode",
            "GET /tenants/{tenant}/data/mapping",
            "PUT /tenants/{tenant}/data/mapping",
            "PUT /tenants/{tenant}/data/{table}",
            "GET /tenants/{tenant}/rules",
            "POST /tenants/{tenant}/rules",
            "DELETE /tenants/{tenant}/rules/{number}",
            "GET /tenants/{tenant}/data/reports",
            "GET /tenants/{tenant}/data/reports/{batch}",
            "GET /tenants/{tenant}/data/quarantine/{batch}/{table}",
            "POST /tenants/{tenant}/data/held/{batch}/release",
            "POST /tenants/{tenant}/data/held/{batch}/discard",
            "GET /tenants/{tenant}/nights",
            "GET /tenants/{tenant}/models",
            "POST /tenants/{tenant}/models/{number}/promote",
            "POST /tenants/{tenant}/models/{number}/discard",
            "GET /tenants/{tenant}/quality",
            "GET /tenants/{tenant}/editions",
            "POST /tenants/{tenant}/editions/{number}/activate",
            "DELETE /tenants/{tenant}/customers/{customer}",
            "GET /tenants/{tenant}/erasures/{number}",
            "GET /tenants/{tenant}/keys",
            "POST /tenants/{tenant}/keys",
            "POST /tenants/{tenant}/keys/{key}/rotate",
            "DELETE /tenants/{tenant}/keys/{key}",
            "GET /keys",
            "POST /keys",
            "POST /keys/{key}/rotate",
            "DELETE /keys/{key}",
            "GET /tenants",
            "POST /tenants",
            "GET /fleet",
            "GET /tenants/{tenant}/audit",
            "GET /audit",
            "GET /health/live",
            "GET /health/ready",
        }

    def test_shows_the_model_of_every_answer(self, document: dict[str, Any]) -> None:
        shown = {}
        for name, operation in operations(document):
            content = operation["responses"]["200"]["content"]
            if "text/csv" in content:  # a file, not a model
                continue
            schema = content["application/json"]["schema"]
            shown[name] = schema.get("items", schema)["$ref"].rpartition("/")[2]

        assert shown == {
            "GET /tenants/{tenant}/customers/{customer}/recs": "Recommendations",
            "POST /tenants/{tenant}/customers/{customer}/recs": "Reranked",
            "POST /tenants/{tenant}/feedback": "FeedbackReceipt",
            "GET /tenants/{tenant}/outcomes": "OutcomeLine",
            "GET /tenants/{tenant}/mode": "ModeState",
            "PUT /tenants/{tenant}/mode": "ModeState",
            "GET /tenants/{tenant}/data/mapping": "MappingState",
            "PUT /tenants/{tenant}/data/mapping": "MappingState",
            "PUT /tenants/{tenant}/data/{table}": "DeliveryReport",
            "GET /tenants/{tenant}/rules": "RuleLine",
            "POST /tenants/{tenant}/rules": "RuleLine",
            "DELETE /tenants/{tenant}/rules/{number}": "RuleLine",
            "GET /tenants/{tenant}/data/reports": "ImportLine",
            "GET /tenants/{tenant}/data/reports/{batch}": "ImportReport",
            "POST /tenants/{tenant}/data/held/{batch}/release": "ImportReport",
            "POST /tenants/{tenant}/data/held/{batch}/discard": "ImportReport",
            "GET /tenants/{tenant}/nights": "Night",
            "GET /tenants/{tenant}/models": "ModelLine",
            "POST /tenants/{tenant}/models/{number}/promote": "ModelLine",
            "POST /tenants/{tenant}/models/{number}/discard": "ModelLine",
            "GET /tenants/{tenant}/quality": "QualityLine",
            "GET /tenants/{tenant}/editions": "EditionLine",
            "POST /tenants/{tenant}/editions/{number}/activate": "EditionLine",
            "DELETE /tenants/{tenant}/customers/{customer}": "Receipt",
            "GET /tenants/{tenant}/erasures/{number}": "Receipt",
            "GET /tenants/{tenant}/keys": "KeyLine",
            "POST /tenants/{tenant}/keys": "ShownKey",
            "POST /tenants/{tenant}/keys/{key}/rotate": "ShownKey",
            "DELETE /tenants/{tenant}/keys/{key}": "KeyLine",
            "GET /keys": "KeyLine",
            "POST /keys": "ShownKey",
            "POST /keys/{key}/rotate": "ShownKey",
            "DELETE /keys/{key}": "KeyLine",
            "GET /tenants": "TenantLine",
            "POST /tenants": "TenantLine",
            "GET /fleet": "Fleet",
            "GET /tenants/{tenant}/audit": "TenantAct",
            "GET /audit": "InstallationAct",
            "GET /health/live": "Health",
            "GET /health/ready": "Health",
        }

    def test_says_what_every_route_is_for(self, document: dict[str, Any]) -> None:
        assert [name for name, o in operations(document) if not o.get("description")] == []

    def test_shows_the_problems_a_tenants_route_can_have(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            if "{tenant}" in name:
                problems = {code: a for code, a in operation["responses"].items() if code > "400"}
                assert {"401", "403", "404", "422"} <= set(problems), name
                for answer in problems.values():
                    assert "Problem" in json.dumps(answer["content"])

    def test_says_that_problems_travel_as_problem_documents(self, document: dict[str, Any]) -> None:
        kinds = {
            kind
            for name, operation in operations(document)
            for code, answer in operation["responses"].items()
            if code > "400" and "{tenant}" in name
            for kind in answer["content"]
        }

        assert kinds == {"application/problem+json"}

    def test_says_where_a_key_is_wanted(self, document: dict[str, Any]) -> None:
        for name, operation in operations(document):
            assert ("security" not in operation) == (" /health/" in name), name
            for wanted in operation.get("security", ()):
                assert set(wanted) <= set(document["components"]["securitySchemes"]), name

    def test_and_its_page_are_served(self, house: Served) -> None:
        assert house.client.get("/openapi.json").status_code == 200
        assert "text/html" in house.client.get("/docs").headers["content-type"]

    def test_has_a_page_that_needs_no_other_server(self, house: Served) -> None:
        page = house.client.get("/docs").text

        assert "https://" not in page.replace("https://recfactory", "")


class TestAnAddressThatIsNone:
    @pytest.mark.parametrize("path", ["/", "/tenants/acme", "/tenants/acme/x", "/v2"])
    def test_is_a_problem_document_too(self, path: str, house: Served) -> None:
        problem(house.client.get(path), 404, "HTTP_404")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [("DELETE", "/tenants/acme/mode", {"GET", "PUT"}), ("POST", "/health/live", {"GET"})],
    )
    def test_of_a_method_says_which_ones_there_are(
        self, method: str, path: str, allowed: set[str], house: Served
    ) -> None:
        found = house.client.request(method, path)

        problem(found, 405, "HTTP_405")
        assert {word.strip() for word in found.headers["allow"].split(",")} & allowed


class TestADefect:
    def test_is_a_problem_document_that_tells_nothing_of_the_inside(self, served: Served) -> None:
        home = served.world.config.home
        (home / "ledger.db").rename(home / "elsewhere.db")
        served.state.stores.engine.dispose()

        found = served.ask("GET", "/nights")

        assert found.status_code in (500, 503)
        assert found.headers["content-type"] == "application/problem+json"
        assert {"code", "detail", "next_step"} <= set(found.json())
        assert "SELECT" not in found.text
        assert "sqlite" not in found.text.lower()


HEAVY = {"implicit", "scipy", "pandas"}

LOOK = """
import json, sys
from fastapi.testclient import TestClient
from serving.app import create_app
key = {"Authorization": "Bearer " + sys.argv[1]}
with TestClient(create_app()) as client:
    answers = [
        client.get("/tenants/acme/customers/C-0001/recs", headers=key),
        client.get("/tenants/acme/nights", headers=key),
        client.put("/tenants/acme/mode", json={"mode": "on", "why": "x"}, headers=key),
        client.post("/tenants/acme/feedback", json={"events": [{}]}, headers=key),
        client.get("/health/ready"),
    ]
roots = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([[a.status_code for a in answers], sorted(roots)]))
"""


def test_a_server_that_answers_everything_has_imported_no_heavy_library(
    served: Served, morning: World
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, served.keys[ACME, Role.ADMIN]],
        env={**os.environ, "RECFACTORY_HOME": str(morning.config.home)},
        capture_output=True,
        text=True,
        check=True,
    )

    statuses, roots = json.loads(done.stdout)
    assert statuses == [200] * 5
    assert {"serving", "lmdb", "sqlalchemy"} <= set(roots)
    assert HEAVY & set(roots) == set()


def test_an_application_takes_no_notice_of_the_world_before_it_starts(morning: World) -> None:
    """Making it opens nothing; only its start does."""
    config = morning.config.model_copy(
        update={"home": morning.folder / "new", "pepper": SecretStr(os.urandom(32).hex())}
    )
    app = create_app(config)

    assert not (morning.folder / "new").exists()
    with TestClient(app):
        assert (morning.folder / "new" / "ledger.db").exists()
