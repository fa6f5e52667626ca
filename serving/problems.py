"""Problem documents (RFC 9457): one shape for everything that goes wrong, made in one place."""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

from fastapi.responses import JSONResponse

from serving.bodies import Problem
from serving.control import Denied


def answer(
    status: int,
    code: str,
    detail: str,
    next_step: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as an answer; docs/http.md lists every code."""
    body = Problem(
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


def denied(error: Denied) -> JSONResponse:
    """The answer to whoever was turned away; says in whole seconds when to come again."""
    headers = {"Retry-After": str(ceil(error.retry_after))} if error.retry_after else None
    return answer(error.status, error.code, error.what, error.next_step, headers)


def on_the_wire(error: Denied) -> bytes:
    """The same as bytes, for a request that never became one; the connection ends with it."""
    response = denied(error)
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(response.body)])
