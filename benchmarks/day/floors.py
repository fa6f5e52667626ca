"""What the server and the framework cost without us: applications for uvicorn, served one by one.

``FLOOR_LISTS`` names an LMDB file of lists, ``FLOOR_ANSWER`` a file with the bytes of an answer.
"""

import os
from pathlib import Path
from typing import Any

import lmdb
import orjson
from fastapi import FastAPI, Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as Plain
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.bodies import Recommendations

PATH = "/tenants/{tenant}/customers/{customer}/recs"
BODY = b'{"padding":"' + b"x" * 1486 + b'"}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"1500")],
}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI function that returns 1.5 KB."""
    if scope["type"] == "lifespan":
        return
    await send(START)
    await send({"type": "http.response.body", "body": BODY})


def starlette() -> Starlette:
    """A Starlette route with one LMDB read."""
    lists = lmdb.open(
        os.environ["FLOOR_LISTS"], subdir=False, readonly=True, lock=False, max_spare_txns=8
    )

    async def recs(request: Request) -> Plain:
        with lists.begin() as transaction:
            transaction.get(request.path_params["customer"].encode())
        return Plain(BODY, media_type="application/json")

    return Starlette(routes=[Route(PATH, recs)])


def fastapi() -> FastAPI:
    """A FastAPI route that returns the same bytes."""
    app = FastAPI()

    @app.get(PATH)
    async def recs(tenant: str, customer: str, limit: int = 10) -> Response:
        return Response(BODY, media_type="application/json")

    return app


def models() -> FastAPI:
    """A FastAPI route that decodes an answer and encodes it again through its model."""
    answer = Path(os.environ["FLOOR_ANSWER"]).read_bytes()
    app = FastAPI()

    @app.get(PATH, response_model=Recommendations)
    async def recs(tenant: str, customer: str, limit: int = 10) -> Any:
        return orjson.loads(answer)

    return app
