"""The application: routes, errors as problem documents, and what lives as long as the process."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from schema.config import Config, read_config
from serving import (
    admin,
    audit,
    erasure,
    feedback,
    fleet,
    health,
    keys,
    live,
    lookup,
    mapping,
    reports,
    scrape,
    upload,
)
from serving.bodies import Problem as ProblemBody
from serving.control import Switchboard
from serving.delivery import Delivery
from serving.follower import Follower
from serving.guard import require_policy
from serving.lastused import LastUsed
from serving.limits import Limits
from serving.lookup import Lookup, LookupsFirst
from serving.metrics import Metrics
from serving.oidc import Issuer
from serving.policy import POLICY
from serving.problems import tell_errors
from serving.shelf import Shelf
from storage.secret import refuse_open_demo
from storage.stores import open_stores

_TURN = 0.0005
"""Seconds a thread may keep the interpreter from the event loop: with the usual ten times that, every
new edition that is read would hold up some lookups by as much.
"""

_PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ProblemBody, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 408, 413, 415, 422, 429, 503)
}


def create_app(config: Config | None = None) -> LookupsFirst:
    """Make the application; uvicorn calls this in every worker."""
    config = config or read_config()
    limits = Limits(config.serving)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving = config.serving
        app.state.config = config
        app.state.limits = limits
        refuse_open_demo(config)
        app.state.stores = stores = open_stores(config, follows=True)
        issuer = Issuer(config.oidc) if config.oidc.issuer else None
        app.state.switchboard = board = Switchboard(
            stores.ledger, stores.revoked, stores.pepper, serving.refresh_seconds, issuer
        )
        app.state.shelf = shelf = Shelf(
            stores.editions,
            stores.datasets,
            stores.erased,
            most=serving.open_tenants,
            refresh_seconds=serving.refresh_seconds,
            stale_days=serving.stale_days,
        )
        app.state.metrics = metrics = Metrics(
            lambda: (tenant.tenant for tenant in board.tenants), serving.metrics_tenants
        )
        app.state.lookup = Lookup(board, shelf, limits, metrics)
        app.state.desk = live.Desk()
        app.state.reception = reception = upload.Reception(config, stores)
        used = LastUsed(board.used, stores.ledger)
        delivery = Delivery(stores.feedback, serving.refresh_seconds)
        threads: list[Switchboard | LastUsed | Delivery | Metrics | Issuer | Follower]
        threads = [board, used, delivery, metrics, *([issuer] if issuer else [])]
        if config.objects.url:
            threads.append(Follower(stores, board, config.objects.refresh_seconds))
        for thread in threads:
            thread.start()
        limits.load.watch(asyncio.get_running_loop())
        sys.setswitchinterval(_TURN)
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be searched again and again
        yield
        await reception.close()
        for thread in reversed(threads):
            thread.stop()
        await shelf.close()
        stores.engine.dispose()

    # The documentation's scripts come from the package, not from somebody else's server.
    app = FastAPIOffline(
        redoc_url=None,
        redirect_slashes=False,  # one address, one thing
        title="recfactory",
        summary="Nightly product recommendations, ready when the salesperson asks.",
        version=version("recfactory"),
        lifespan=lifespan,
        responses=_PROBLEMS,
    )
    for part in (
        lookup, live, feedback, admin, mapping, upload, reports, erasure, keys, fleet, audit,
        health, scrape,
    ):  # fmt: skip
        app.include_router(part.router)
    tell_errors(app)
    require_policy(app)
    document = app.openapi
    app.openapi = lambda: _described(document())  # type: ignore[method-assign]
    return LookupsFirst(app, limits)


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
            for response in operation["responses"].values():
                content = response.get("content", {})
                schema = content.get("application/json", {}).get("schema", {})
                if schema.get("$ref", "").endswith("Problem"):
                    content["application/problem+json"] = content.pop("application/json")
    return document
