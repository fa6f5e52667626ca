"""The log of requests: lines tied together by request ids, without a customer or a secret."""

import logging
import re
import secrets
import time
from collections.abc import Iterable
from itertools import count
from typing import Any

from schema.errors import Refused
from schema.logs import ABOUT
from schema.names import tenant_id
from schema.records import Caller
from serving.rates import Rates

HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
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
        ABOUT.set({"request": request.decode()})
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
