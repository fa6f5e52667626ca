"""The application: routes, errors as problem documents, and what lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from schema.config import Config, read_config
from schema.errors import FactoryError, NotThere, Problem, Refused
from serving import admin, feedback, health, lookup
from serving.bodies import Problem as ProblemBody
from serving.control import Denied, Switchboard
from serving.limits import Limits, limiting
from serving.problems import answer, denied
from serving.shelf import Shelf
from storage.stores import open_stores

_PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ProblemBody, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 408, 413, 415, 422, 429, 503)
}


def create_app(config: Config | None = None) -> FastAPI:
    """Make the application; uvicorn calls this in every worker."""
    config = config or read_config()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving = config.serving
        app.state.config = config
        app.state.stores = stores = open_stores(config)
        app.state.switchboard = board = Switchboard(
            stores.ledger, stores.pepper, serving.refresh_seconds
        )
        app.state.shelf = shelf = Shelf(
            stores.editions, stores.datasets, serving.open_tenants, serving.refresh_seconds
        )
        board.start()
        app.state.limits.load.watch(asyncio.get_running_loop())
        yield
        board.stop()
        shelf.close()
        stores.engine.dispose()

    # The documentation's scripts come from the package, not from somebody else's server.
    app = FastAPIOffline(
        redoc_url=None,
        title="recfactory",
        summary="Nightly product recommendations, ready when the salesperson asks.",
        version="0.1.0",
        lifespan=lifespan,
        responses=_PROBLEMS,
    )
    for part in (lookup, feedback, admin, health):
        app.include_router(part.router)
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(FactoryError, _factory_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)
    app.state.limits = limits = Limits(config.serving)
    stack = app.build_middleware_stack
    # Around everything, the handler of defects too: their answers bear a request id as well.
    app.build_middleware_stack = lambda: limiting(limits, stack())  # type: ignore[method-assign]
    document = app.openapi
    app.openapi = lambda: _with_problems(document())  # type: ignore[method-assign]
    return app


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Say in the API's document that errors travel as problem documents."""
    for route in document["paths"].values():
        for operation in route.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                schema = content.get("application/json", {}).get("schema", {})
                if schema.get("$ref") == "#/components/schemas/Problem":
                    content["application/problem+json"] = content.pop("application/json")
    return document


async def _denied(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Denied)
    return denied(error)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    if isinstance(error, NotThere):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, Refused):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    else:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    return answer(status, error.code, error.what, error.next_step)


async def _factory_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FactoryError)
    return await _problem(request, error.problem)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(
        f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
    )
    return answer(422, "INVALID", faults[:500], "compare with the documentation at /docs")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return answer(
        error.status_code,
        f"HTTP_{error.status_code}",
        str(error.detail),
        "compare with the documentation at /docs",
        error.headers,
    )


async def _defect(_: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw; the details go to the log, not to the caller."""
    return answer(500, "DEFECT", "something went wrong inside", "try again; tell the operator")
