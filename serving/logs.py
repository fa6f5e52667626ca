"""The log: one JSON object a line, tied together by request ids, without a customer or a secret."""

import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from schema.errors import Problem, Refused
from schema.names import tenant_id
from schema.records import Caller
from serving.rates import Rates

HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ROOT = Path(__file__).parents[1]
_REQUEST: ContextVar[bytes] = ContextVar("request")
_PROCESS, _NUMBERS = secrets.token_hex(6).encode(), count(1)
_LINES_A_SECOND = 100
"""Of refused requests, per worker: whoever floods the service must not fill its disk."""

log = logging.getLogger("recfactory.access")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id that came with a request, if it is well-formed, else a new one."""
    for name, given in headers:
        if name == HEADER and _WELL_FORMED.fullmatch(given):
            return given
    return b"%b-%x" % (_PROCESS, next(_NUMBERS))


class JsonLines(logging.Formatter):
    """One record, one line of ASCII: what is not a letter of it travels as an escape, so that
    neither a line break of any alphabet nor a terminal's command gets through.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage().strip(),
        }
        request = _REQUEST.get(None)
        if request is not None:
            line["request"] = request.decode()
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= _error(record.exc_info[1])
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def _error(error: BaseException) -> dict[str, Any]:
    """What went wrong and where. Not its text, unless that is ours or the system's: a database's
    holds the row, a KeyError the key.
    """
    ours = isinstance(error, Problem | OSError)
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": f"{type(error).__name__}: {error}" if ours else type(error).__name__,
        "at": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
    }


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path.name)


class Access:
    """Writes a line for every refused and every administrative request.

    Lookups and feedback that were answered are only counted (/metrics), unless ``everything``:
    a line costs more than the lookup it tells of.
    """

    def __init__(self, *, everything: bool) -> None:
        self.everything = everything
        per_second = (_LINES_A_SECOND, _LINES_A_SECOND)
        self._lines = Rates(per_second, per_second)
        self._unlogged = 0

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Every line from here on, within this request, bears its id."""
        request = request_id(headers)
        _REQUEST.set(request)
        return request

    def end(
        self, scope: Any, status: int, began: float, *, act: bool = False, route: str | None = None
    ) -> None:
        """Tell of one request.

        Args:
            status: 0 where the client left before there was one.
            began: seconds of the monotonic clock.
            act: whether it is administrative.
            route: its template, where no router has put it into the scope.
        """
        refused = status >= 400
        if not (refused or act or self.everything):
            return
        now = time.monotonic()
        if refused and self._lines.take("", "", now):
            self._unlogged += 1
            return
        route = route or getattr(scope.get("route"), "path", None)
        caller: Caller | None = scope.get("caller")
        fields = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round((now - began) * 1000, 2),
            "tenant": _tenant(scope, caller),
            "actor": caller.actor if caller else None,
        }
        if self._unlogged:
            fields["unlogged"], self._unlogged = self._unlogged, 0
        level = logging.ERROR if status >= 500 else logging.INFO
        log.log(level, "%s %s %s", scope["method"], route, status, extra={"fields": fields})


def _tenant(scope: Any, caller: Caller | None) -> str | None:
    """Whose key it is; for an operator's, whom the request was about."""
    if caller is None or caller.tenant is not None:
        return None if caller is None else caller.tenant
    try:
        return tenant_id(scope.get("path_params", {}).get("tenant", ""))
    except Refused:
        return None
