"""The application: routes, errors as problem documents, and what lives as long as the process."""

from collections.abc import AsyncIterator, Mapping
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
from serving import admin, feedback, fleet, health, keys, lookup
from serving.bodies import Problem as ProblemBody
from serving.control import Denied, Switchboard
from serving.guard import require_policy
from serving.lastused import LastUsed
from serving.oidc import Issuer
from serving.policy import POLICY
from serving.shelf import Shelf
from storage.secret import refuse_open_demo
from storage.stores import open_stores

_PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ProblemBody, "description": HTTPStatus(status).phrase}
    for status in (401, 403, 404, 422)
}


def create_app(config: Config | None = None) -> FastAPI:
    """Make the application; uvicorn calls this in every worker."""
    config = config or read_config()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving = config.serving
        app.state.config = config
        refuse_open_demo(config)
        app.state.stores = stores = open_stores(config)
        issuer = Issuer(config.oidc) if config.oidc.issuer else None
        app.state.switchboard = board = Switchboard(
            stores.ledger, stores.revoked, stores.pepper, serving.refresh_seconds, issuer
        )
        app.state.shelf = shelf = Shelf(
            stores.editions, stores.datasets, serving.open_tenants, serving.refresh_seconds
        )
        used = LastUsed(board.used, stores.ledger)
        if issuer:
            issuer.start()
        board.start()
        used.start()
        yield
        if issuer:
            issuer.stop()
        used.stop()
        board.stop()
        shelf.close()
        stores.engine.dispose()

    # The documentation's scripts come from the package, not from somebody else's server.
    app = FastAPIOffline(
        redoc_url=None,
        redirect_slashes=False,  # one address, one thing
        title="recfactory",
        summary="Nightly product recommendations, ready when the salesperson asks.",
        version="0.1.0",
        lifespan=lifespan,
        responses=_PROBLEMS,
    )
    for part in (lookup, feedback, admin, keys, fleet, health):
        app.include_router(part.router)
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(FactoryError, _factory_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)
    require_policy(app)
    document = app.openapi
    app.openapi = lambda: _described(document())  # type: ignore[method-assign]
    return app


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """Say in the API's document who may, and that errors travel as problem documents."""
    document["components"]["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "an API key, rf_…, or a token of the issuer in config.yaml",
        }
    }
    for path, route in document["paths"].items():
        for method, operation in route.items():
            if roles := POLICY[method.upper(), path]:
                operation["security"] = [{"bearer": [role.value for role in roles]}]
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status != "503" and int(status) >= 400 and "application/json" in content:
                    content["application/problem+json"] = content.pop("application/json")
    return document


def _answer(
    status: int,
    code: str,
    detail: str,
    next_step: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = ProblemBody(
        type=f"urn:recfactory:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        next_step=next_step,
    )
    if status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse(
        body.model_dump(), status, headers=headers, media_type="application/problem+json"
    )


async def _denied(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Denied)
    return _answer(error.status, error.code, error.what, error.next_step)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    if isinstance(error, NotThere):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, Refused):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    else:
        status = HTTPStatus.SERVICE_UNAVAILABLE
    return _answer(status, error.code, error.what, error.next_step)


async def _factory_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FactoryError)
    return await _problem(request, error.problem)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(
        f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
    )
    return _answer(422, "INVALID", faults[:500], "compare with the documentation at /docs")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _answer(
        error.status_code,
        f"HTTP_{error.status_code}",
        str(error.detail),
        "compare with the documentation at /docs",
        error.headers,
    )


async def _defect(_: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw; the details go to the log, not to the caller."""
    return _answer(500, "DEFECT", "something went wrong inside", "try again; tell the operator")
