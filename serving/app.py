"""The application: routes, errors as problem documents, and what lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from schema.config import Config, read_config
from serving import admin, feedback, health, lookup
from serving.bodies import Problem as ProblemBody
from serving.control import Switchboard
from serving.lookup import Lookup, LookupsFirst
from serving.problems import tell_errors
from serving.shelf import Shelf
from storage.stores import open_stores

_PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ProblemBody, "description": HTTPStatus(status).phrase}
    for status in (401, 403, 404, 422)
}


def create_app(config: Config | None = None) -> LookupsFirst:
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
            stores.editions,
            stores.datasets,
            most=serving.open_tenants,
            refresh_seconds=serving.refresh_seconds,
            stale_days=serving.stale_days,
        )
        app.state.lookup = Lookup(board, shelf)
        board.start()
        yield
        board.stop()
        await shelf.close()
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
    tell_errors(app)
    document = app.openapi
    app.openapi = lambda: _with_problems(document())  # type: ignore[method-assign]
    return LookupsFirst(app)


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Say in the API's document that errors travel as problem documents."""
    for route in document["paths"].values():
        for operation in route.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status != "503" and int(status) >= 400 and "application/json" in content:
                    content["application/problem+json"] = content.pop("application/json")
    return document
