"""The door in front of every route: who asks, and may they, before a byte of the body is read."""

import logging
import re
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts

from schema.errors import NotThere
from schema.records import Caller, Tenant
from serving.control import Denied, Switchboard
from serving.limits import Limits
from serving.load import kind_of
from serving.policy import POLICY, PUBLIC
from serving.rates import Rates
from tenants.access import mistyped

log = logging.getLogger("recfactory.access")

_LINES = Rates((100, 100), (100, 100))
"""Of who was turned away, a second and worker."""


def admit(
    board: Switchboard,
    method: str,
    path: str,
    headers: Iterable[tuple[bytes, bytes]],
    tenant: str | None,
) -> tuple[Caller, Tenant | None]:
    """Authenticate, then authorise; no database, no waiting.

    Args:
        method: as in the policy, with
        path: the route's template, not the address asked for.
        headers: as ASGI has them, names in lower case.
        tenant: the name in the path; None where the path has none.

    Raises:
        Denied: 401 before anything is looked at; 403 for a role that may not do this.
        NotThere: no such tenant, or not theirs.
    """
    caller, presented = None, bearer(headers)
    try:
        caller = board.caller(presented)
        roles = POLICY[method, path]
        if tenant is not None:
            return caller, board.tenant(tenant, caller, roles)
        board.allow(caller, roles)
    except (Denied, NotThere) as refusal:
        tell(refusal, caller.actor if caller else _unproven(presented), method, path, tenant)
        raise
    return caller, None


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """What the one Authorization header bears; None where there is none, or more than one.

    A key anywhere else, as in the query, is not looked at.
    """
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) != 1:
        return None
    scheme, _, credentials = found[0].decode("latin-1").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _unproven(presented: str | None) -> str:
    """Who it would be: a revoked key still in use and a slip of the pen want different answers."""
    found = re.match(r"rf_([0-9a-f]{12})\.", presented or "")
    if presented is None or found is None:
        return "nobody known"
    return f"key {found[1]}, {'mistyped' if mistyped(presented) else 'not valid'}"


def tell(
    refusal: Denied | NotThere, actor: str, method: str, path: str, tenant: str | None
) -> None:
    """One line about who was turned away where: the route's template, so no customer's id."""
    if _LINES.take("", "", time.monotonic()):
        return  # whoever floods the service must not fill its disk; the metrics count them all
    log.warning(
        "%s was refused %s %s for tenant %.80r: %s",
        actor,
        method,
        path,
        tenant,
        refusal.code,
        extra={
            "actor": actor,
            "target": tenant,
            "route": f"{method} {path}",
            "code": refusal.code,
        },
    )


class Guarded(APIRoute):
    """A route that nobody passes unseen; ``request.state`` then has the caller and the tenant."""

    streamed = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            method, path, name = request.method, self.path_format, request.path_params.get("tenant")
            if POLICY[method, path] is PUBLIC:
                return await handle(request)
            board: Switchboard = request.app.state.switchboard
            caller, tenant = admit(board, method, path, request.scope["headers"], name)
            request.state.caller, request.state.tenant = caller, tenant
            request.scope["caller"] = caller  # for the log
            limits: Limits = request.app.state.limits
            limits.spend(caller)
            if self.streamed:
                return await handle(request)
            receive = await limits.body(request.scope, request.receive)
            kind = kind_of(method, request.scope["path"])
            try:
                with limits.load.at(kind):  # not before: a slow sender takes nobody's place
                    return await handle(Request(request.scope, receive))
            except Denied as refusal:
                tell(refusal, caller.actor, method, path, name)
                raise

        return guarded


class Streamed(Guarded):
    """A guarded route that receives its body itself, part by part, of any kind: it bounds size, time
    and number on its own, and takes no place among the others (serving/upload.py).
    """

    streamed = True


def require_policy(app: FastAPI) -> None:
    """Refuse to be an application whose routes are not, one for one, the lines of the policy.

    Raises:
        RuntimeError: names each route that is not listed or not guarded, and each line too many.
    """
    routes: dict[tuple[str, str], bool] = {}
    for found in iter_route_contexts(app.routes):
        assert found.path_format is not None  # neither WebSockets nor frontends are served
        methods = (found.methods or {"GET"}) - {"HEAD"}  # a mount has none; HEAD goes with GET
        for method in methods:
            routes[method, found.path_format or ""] = isinstance(found.original_route, Guarded)
    faults = [f"{route} is not in serving/policy.py" for route in routes.keys() - POLICY.keys()]
    faults += [f"{line} of serving/policy.py has no route" for line in POLICY.keys() - routes]
    faults += [
        f"{route} is not guarded: give its router route_class=Guarded"
        for route, guarded in routes.items()
        if not guarded and POLICY.get(route)
    ]
    if faults:
        raise RuntimeError("; ".join(sorted(faults)))
