"""Errors as RFC 9457 problem documents: the one place where they are put into words for HTTP."""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any, NamedTuple

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Send

from schema.errors import FactoryError, NotThere, Problem, Refused
from serving.control import Denied

Headers = list[tuple[bytes, bytes]]  # as ASGI has them, names in lower case


class Answer(NamedTuple):
    """What goes over the wire."""

    status: int
    headers: Headers
    body: bytes = b""
    code: str = ""  # of a problem

    async def send(self, send: Send, *more: tuple[bytes, bytes]) -> None:
        """Over ASGI, with more headers."""
        headers = [*self.headers, *more]
        if self.status != HTTPStatus.NOT_MODIFIED:  # whose length would be that of what it spares
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    @property
    def response(self) -> Response:
        """The same, for a route of FastAPI's."""
        made = Response(self.body, self.status)
        made.raw_headers += self.headers
        return made


def told(error: Exception) -> Answer:
    """The answer to an error; docs/http.md lists every code.

    What nobody foresaw is a DEFECT: its details go to the log, not to the caller.
    """
    if isinstance(error, FactoryError):
        error = error.problem
    if isinstance(error, Denied):
        wait = {"retry-after": str(ceil(error.retry_after))} if error.retry_after else None
        return _answer(error.status, error.code, error.what, error.next_step, wait)
    if isinstance(error, Problem):
        status = _status(error)
        again = {"retry-after": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return _answer(status, error.code, error.what, error.next_step, again)
    if isinstance(error, RequestValidationError):
        faults = "; ".join(
            f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        return _answer(422, "INVALID", faults[:500], "compare with the documentation at /docs")
    if isinstance(error, HTTPException):
        code, next_step = f"HTTP_{error.status_code}", "compare with the documentation at /docs"
        return _answer(error.status_code, code, str(error.detail), next_step, error.headers)
    return _answer(500, "DEFECT", "something went wrong inside", "try again; tell the operator")


def refused_file(problem: Mapping[str, Any]) -> Answer:
    """The answer to a delivery that was refused.

    Args:
        problem: as ``schema.errors.as_json`` tells it.
    """
    where = {name: problem[name] for name in ("file", "line", "column")}
    return _answer(422, problem["code"], problem["message"], problem["fix"], more=where)


def on_the_wire(error: Denied) -> bytes:
    """The same as bytes, for a request that never became one; the connection ends with it."""
    answer = told(error)
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}".encode()]
    lines += [name + b": " + value for name, value in answer.headers]
    lines += [b"content-length: %d" % len(answer.body), b"connection: close", b"", answer.body]
    return b"\r\n".join(lines)


def tell_errors(app: FastAPI) -> None:
    """Let every route of an application answer errors so."""

    async def handle(request: Request, error: Exception) -> Response:
        answer = told(error)
        request.app.state.metrics.refused(answer.code)
        return answer.response

    for kind in (Denied, Problem, FactoryError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


def _status(problem: Problem) -> int:
    if isinstance(problem, NotThere):
        return HTTPStatus.NOT_FOUND
    if isinstance(problem, Refused):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.SERVICE_UNAVAILABLE


def _answer(
    status: int,
    code: str,
    detail: str,
    next_step: str,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Answer:
    body: dict[str, Any] = {
        "type": f"urn:recfactory:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "next_step": next_step,
        **(more or {}),
    }
    told = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else headers or {}
    raw = [(b"content-type", b"application/problem+json")]
    raw += [(name.lower().encode(), value.encode("latin-1")) for name, value in told.items()]
    return Answer(status, raw, orjson.dumps(body), code)
