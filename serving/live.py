"""The button, pressed again during the call: the same list, after what the customer just said."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Annotated, Any, TypeVar

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from factory.live import rerank
from schema.errors import NotThere, Problem
from schema.records import PACKED, Grounds, Said, Tenant
from serving.address import CUSTOMER
from serving.bodies import Call, Reranked
from serving.deps import OpenShelf, TheTenant
from serving.guard import Guarded
from serving.lookup import Limit, OnlyBought, OnlyCategory, nothing_published
from storage.editions import Edition
from tenants.answer import Ask, Shown, answer, ask, nothing
from tenants.heard import Index, heard, in_words
from tenants.lifecycle import serves

router = APIRouter(route_class=Guarded, tags=["lookup"])

_MAPPED = 64
"""Tenants whose grounds stay mapped, a worker: each holds one descriptor."""

_WAITING = 16
"""Re-rankings that may wait for a core before more are refused."""

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _Opened:
    """An edition, ready to be re-ranked."""

    grounds: Grounds
    index: Index


def _opened(edition: Edition) -> _Opened:
    if edition.grounds is None:
        raise NotThere(
            f"edition {edition.number} was made before lists could be re-ranked",
            "ask for the list of the night; the next night mends it",
            code="NO_GROUNDS",
        )
    return _Opened(edition.grounds.open(), Index.of(edition.products))


class Desk:
    """Where lists are re-ranked: in threads, so that lookups go on, no more at once than cores.

    A thread touches nothing that the event loop may close: grounds are mapped files, and a mapping
    ends with its last user.
    """

    def __init__(self) -> None:
        self.opened = lru_cache(maxsize=_MAPPED)(_opened)
        cores = os.cpu_count() or 1
        self._cores, self._most, self._inside = asyncio.Semaphore(cores), cores + _WAITING, 0

    async def run(self, work: Callable[[], _Found]) -> _Found:
        """Do some work in a thread.

        Raises:
            Problem: too many wait already (``RERANK_BUSY``).
        """
        if self._inside >= self._most:
            raise Problem(
                "too many lists are being re-ranked at this moment",
                "ask again in a second, or for the list of the night",
                code="RERANK_BUSY",
            )
        self._inside += 1
        try:
            async with self._cores:
                return await run_in_threadpool(work)
        finally:
            self._inside -= 1


async def desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


OpenDesk = Annotated[Desk, Depends(desk)]


@router.post(
    "/tenants/{tenant}" + CUSTOMER + "/recs",
    response_model=Reranked,
    summary="Re-rank during the call",
)
async def reranked(
    customer: str,
    call: Call,
    tenant: TheTenant,
    shelf: OpenShelf,
    desk: OpenDesk,
    limit: Limit = 10,
    bought: OnlyBought = None,
    category: OnlyCategory = None,
) -> Response:
    """The customer's list after what they just asked about or rejected; nothing of it is kept.

    As tonight's ranking would have been, had they shown that interest before it. With nothing said
    it is the list of the night. A product or category that the edition does not hold is refused.
    """
    asked = ask(limit, bought, category)
    if not serves(tenant.mode):
        return _response(nothing(tenant.tenant, customer), None)
    current = await shelf.current(tenant)
    if current is None:
        raise nothing_published()
    edition, shown = current.edition, current.shown
    if call.says_nothing:
        own, stale = current.own(customer), shown.stale(datetime.now(UTC))
        body = answer(tenant.tenant, customer, tenant.mode, shown, own, asked, stale=stale)
        return _response(body, _understood(edition, Said(), call, moved=False))
    known = "" if current.erased.holds(customer) else customer  # nobody's id: a stranger
    return await desk.run(
        partial(_reranked, desk, tenant, customer, known, call, asked, edition, shown)
    )


def _reranked(
    desk: Desk,
    tenant: Tenant,
    customer: str,
    known: str,
    call: Call,
    asked: Ask,
    edition: Edition,
    shown: Shown,
) -> Response:
    """The whole answer; in a thread, so the edition's lists stay untouched."""
    opened = desk.opened(edition)
    said = heard(
        opened.index,
        products=call.interested.products,
        categories=call.interested.categories,
        rejected_products=call.rejected.products,
        rejected_categories=call.rejected.categories,
    )
    sellable = np.ones(len(shown.products), bool)
    sellable[list(shown.unsold)] = False
    found = rerank(opened.grounds, known, said, sellable, shown.ruling, most=asked.limit)
    entries = b"".join(PACKED.pack(*entry) for entry in found.entries)
    body = answer(
        tenant.tenant,
        customer,
        tenant.mode,
        shown if found.personal else replace(shown, popular=entries),
        entries if found.personal else None,
        asked,
        stale=shown.stale(datetime.now(UTC)),
        heard=in_words(said, found.spoken, shown.products),
    )
    return _response(body, _understood(edition, said, call, moved=found.moved))


def _understood(edition: Edition, said: Said, call: Call, *, moved: bool) -> dict[str, Any]:
    return {
        "interested": {
            "products": sorted(edition.products[n].product_id for n in said.products),
            "categories": sorted(said.categories),
        },
        "rejected": {
            "products": sorted({*call.rejected.products}),
            "categories": sorted({*call.rejected.categories}),
        },
        "reranked": moved,
    }


def _response(body: bytes, understood: dict[str, Any] | None) -> Response:
    """An answer as a lookup gives it, with one field more."""
    whole = b'%b,"understood":%b}' % (body[:-1], orjson.dumps(understood))
    return Response(whole, media_type="application/json")
