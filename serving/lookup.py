"""The button: one customer's list. No database, no model, one read from a mapped file.

It is answered before FastAPI looks at the request (``LookupsFirst``): routing and checking by
FastAPI cost several times what the lookup itself does. Its place in the API's document, and in
the route table, is the route declared here, which answers by the same function.
"""

import logging
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Query, Request, Response
from starlette.types import Receive, Scope, Send

from schema.errors import NotThere, Refused
from schema.names import Bought, Source
from serving.address import CUSTOMER
from serving.bodies import Recommendations
from serving.control import Switchboard
from serving.guard import Guarded, admit
from serving.limits import Limits
from serving.logs import HEADER
from serving.metrics import Metrics
from serving.policy import RECS
from serving.problems import Answer, told
from serving.shelf import PLAIN, Shelf
from tenants.answer import MOST, Ask, answer, ask, nothing, ready
from tenants.lifecycle import serves

log = logging.getLogger("recfactory.serving")


def nothing_published() -> NotThere:
    return NotThere(
        "nothing was published for this tenant yet",
        "wait for its first night, or run `recfactory night`",
        code="NO_EDITION",
    )


router = APIRouter(route_class=Guarded, tags=["lookup"])

_BEFORE, _BETWEEN, _AFTER = "/tenants/", "/customers/", "/recs"


def named(path: str) -> tuple[str, str] | None:
    """Tenant and customer of a lookup's address; None where it is none. As the route's template."""
    if not path.startswith(_BEFORE) or not path.endswith(_AFTER):
        return None
    tenant, found, customer = path[len(_BEFORE) : -len(_AFTER)].partition(_BETWEEN)
    return (tenant, customer) if found and tenant and customer and "/" not in tenant else None


class Lookup:
    """Answers lookups from what is in memory and on the shelf."""

    def __init__(self, board: Switchboard, shelf: Shelf, limits: Limits, metrics: Metrics) -> None:
        self._board, self._shelf, self._limits, self._metrics = board, shelf, limits, metrics

    async def answer(self, tenant: str, customer: str, scope: Scope) -> Answer:
        """Answer one request, whatever is wrong with it."""
        began = time.perf_counter()
        try:
            found, outcome, source = await self._answer(tenant, customer, scope)
        except Exception as error:
            found, tenant, source = told(error), "", ""  # a tenant that was not proven is not named
            outcome = found.code
            self._metrics.refused(outcome)
            if found.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("a lookup failed")
        self._metrics.lookup(tenant, outcome, source, time.perf_counter() - began)
        return found

    async def _answer(self, name: str, customer: str, scope: Scope) -> tuple[Answer, str, str]:
        """The answer, and for the metrics its outcome and source."""
        self._limits.host(scope)
        caller, tenant = admit(self._board, "GET", RECS, scope["headers"], name)
        assert tenant is not None  # the policy's path names one
        scope["caller"] = caller  # for the log
        self._limits.spend(caller)
        asked = _asked(scope["query_string"])
        if not serves(tenant.mode):
            return Answer(200, PLAIN, nothing(name, customer)), "off", ""
        found = self._shelf.ready(tenant) or await self._shelf.current(tenant)
        if found is None:
            raise nothing_published()
        dress = found.dress(tenant.mode)
        known = dict(scope["headers"]).get(b"if-none-match", b"")
        if dress.tag in known:  # it may be one of several, or marked weak
            return Answer(304, dress.headers), "unchanged", ""
        shown = found.shown
        own: bytes | None = b""  # not looked up where its lines are ready
        lines = ready(found.first(customer), shown, asked)
        if lines is None:
            own = found.own(customer)
            lines = ready(found.first(""), shown, asked) if own is None else None
        mode, stale = tenant.mode, dress.stale
        body = answer(name, customer, mode, shown, own, asked, stale=stale, lines=lines)
        source = Source.POPULAR if own is None else Source.PERSONAL
        return Answer(200, dress.headers, body), "served", source


class LookupsFirst:
    """The ASGI application: lookups at once, everything else by FastAPI (``api``)."""

    def __init__(self, api: FastAPI, limits: Limits) -> None:
        self.api, self._limits = api, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            found = named(scope["path"])
            if found is not None:
                await self._look_up(*found, scope, send)
                return
        await self._limits(self.api, scope, receive, send)

    async def _look_up(self, tenant: str, customer: str, scope: Scope, send: Send) -> None:
        began, access = time.monotonic(), self._limits.access
        request = access.begin(scope["headers"])
        lookup: Lookup = self.api.state.lookup
        found = await lookup.answer(tenant, customer, scope)
        await found.send(send, (HEADER, request))
        if found.status >= HTTPStatus.BAD_REQUEST or access.everything:
            scope["path_params"] = {"tenant": tenant}  # for the log
            access.end(scope, found.status, began, route=RECS)


@lru_cache(maxsize=1024)
def _asked(query: bytes) -> Ask:
    """The question in a query string; other parameters than these are left alone.

    Raises:
        Refused: ``INVALID``, ``LIMIT`` or ``BOUGHT``.
    """
    try:
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        next_step = "send limit, bought and category"
        raise Refused("there are more than 20 parameters", next_step, code="INVALID") from error
    try:
        limit = int(given.get("limit", "10"))
    except ValueError as error:
        raise Refused(
            f"limit={given['limit'][:20]!r} is no whole number",
            f"send one from 1 to {MOST}",
            code="INVALID",
        ) from error
    return ask(limit, given.get("bought"), given.get("category"))


Limit = Annotated[int, Query(description=f"1 to {MOST}")]
OnlyBought = Annotated[
    str | None, Query(description=f"{' | '.join(Bought)}; left out: as the tenant has it")
]
OnlyCategory = Annotated[
    str | None, Query(description="only products of this category; the list may be shorter")
]


@router.get(
    "/tenants/{tenant}" + CUSTOMER + "/recs",
    response_model=Recommendations,
    responses={304: {"description": "As the ETag in If-None-Match says"}},
    summary="Show product recommendations",
)
async def recommendations(
    request: Request,
    tenant: str,
    customer: str,
    limit: Limit = 10,
    bought: OnlyBought = None,
    category: OnlyCategory = None,
) -> Response:
    """Best products for a customer, best first, with a reason a salesperson can say aloud.

    A customer without a list of their own gets what is popular, marked ``"source": "popular"``.
    A tenant that is off gets 200 with ``"mode": "off"`` and no products. ``ETag`` changes with
    the edition, the catalogue and the tenant's rules.
    """
    lookup: Lookup = request.app.state.lookup
    found = await lookup.answer(tenant, customer, request.scope)
    return found.response
