"""The whole OpenAPI document, asked over a real port with what it allows and what it does not."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from schema.config import Config, Limits
from schema.names import Role
from serving.app import create_app
from tests.serving.morning import Night
from tests.serving.port import Port, listening
from tests.world import ACME, World

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
OPERATIONS = [
    (method.upper(), path)
    for path, methods in create_app(Config.model_construct()).openapi()["paths"].items()
    for method in methods
    if not path.startswith(
        "/health/"
    )  # nothing can be asked wrongly there; test_health.py has them
]
FEW = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def port(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    world = night.world(tmp_path_factory.mktemp("schema"))
    much = Limits(key_per_second=1e6, key_burst=1e6, tenant_per_second=1e6, tenant_burst=1e6)
    serving = world.config.serving.model_copy(update={"limits": much})
    config = world.config.model_copy(update={"serving": serving})
    with listening(World(config, world.stores, world.folder), night.keys) as made:
        yield made
    world.stores.engine.dispose()


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_answer_is_as_the_document_says_whatever_is_asked(
    method: str, path: str, mode: GenerationMode, port: Port
) -> None:
    """With what it allows and with what it does not: no defect, a declared status, type and shape."""
    address = f"http://127.0.0.1:{port.number}"
    operation = schemathesis.openapi.from_url(f"{address}/openapi.json")[path][method]
    headers = {"Authorization": f"Bearer {port.keys[ACME, Role.ADMIN]}"}
    asked = []

    @FEW
    @given(case=operation.as_strategy(generation_mode=mode), own=st.booleans())
    def ask(case: Case[Any], own: bool) -> None:
        if own and "tenant" in case.path_parameters:  # else nobody would get past the door
            case.path_parameters["tenant"] = ACME
        answer = case.call(base_url=address, headers=headers)
        asked.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert asked
