"""Deliveries by HTTP: a body goes to disk as it comes, and its import runs in a process of its own.

What was received whole is kept until it is imported (storage/uploads.py), so an answer is never lost
work: whoever dies, the upload is found by the next ``recfactory data collect``.
"""

import asyncio
import base64
import binascii
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response

from schema.config import Config
from schema.errors import Refused
from schema.records import Tenant
from serving.bodies import DeliveryReport, FileProblem
from serving.control import Denied
from serving.deps import AllStores, Seen, TheTenant, WhoAsks
from serving.guard import Streamed
from serving.load import overloaded
from serving.problems import refused_file
from serving.started import run_cli
from storage.imports import batch_name
from storage.stores import Stores
from storage.uploads import Incoming, Ticket, as_of
from tenants.order import settings_of

router = APIRouter(route_class=Streamed, prefix="/tenants/{tenant}", tags=["deliveries"])

KINDS = {
    "text/csv": ".csv",
    "application/x-ndjson": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
}
CODINGS = {"identity": "", "gzip": ".gz", "zstd": ".zst"}

_AT_ONCE, _OF_A_TENANT = 16, 4
"""Uploads that a worker receives at a time; each holds one part in memory."""
_PART = 1 * 2**20
"""Bytes that are forced to disk together."""
_SECONDS = 10
"""A body's bytes are counted over so long: ``deliveries.bytes_per_second`` of each."""

_FULL = "as much of this tenant's as may wait is waiting for its import"

_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?=$|,|;)")


class Reception:
    """What a worker receives, and the imports it has started: one of a tenant, a few of all."""

    def __init__(self, config: Config, stores: Stores) -> None:
        self.config, self._stores = config, stores
        self._receiving: Counter[str] = Counter()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._imports = asyncio.Semaphore(config.deliveries.imports)
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def receiving(self, uid: str) -> Iterator[None]:
        """Hold a place while a body comes in.

        Raises:
            Denied: 503, or 429 where it is the tenant's own uploads that take too many.
        """
        if self._receiving[uid] >= _OF_A_TENANT:
            raise too_many("this tenant is sending several files already")
        if self._receiving.total() >= _AT_ONCE:
            raise overloaded()
        self._receiving[uid] += 1
        try:
            yield
        finally:
            self._receiving[uid] -= 1

    async def imported(self, tenant: Tenant, ticket: Ticket) -> dict[str, Any] | None:
        """Have an upload imported; what became of it, or None where that takes longer."""
        task = asyncio.create_task(self._import(tenant, ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=self.config.deliveries.answer_seconds)
        return self._stores.uploads.outcome(tenant.uid, ticket.upload)

    async def close(self) -> None:
        """Stop what is running; it is taken up again by the next ``recfactory data collect``."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _import(self, tenant: Tenant, ticket: Ticket) -> None:
        async with self._turns[tenant.uid], self._imports:
            if self._stores.uploads.outcome(tenant.uid, ticket.upload) is None:
                args = ("data", "collect", tenant.tenant, "--uploads", "--json")
                await run_cli(args, self.config)


def too_many(what: str) -> Denied:
    return Denied(
        429, what, "wait until what was sent is imported", "UPLOADS_WAITING", retry_after=30
    )


_BODY = {"schema": {"type": "string", "format": "binary"}}


@router.put(
    "/data/{table}",
    response_model=DeliveryReport,
    responses={
        202: {"model": DeliveryReport, "description": "Held for a person, or not imported yet"},
        422: {"model": FileProblem, "description": "Refused: nothing of it was taken"},
    },
    openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(KINDS, _BODY)}},
    summary="Deliver a table: CSV, JSON lines or Parquet",
)
async def deliver(
    request: Request,
    table: Literal["customers", "products", "interactions"],
    tenant: TheTenant,
    caller: WhoAsks,
    stores: AllStores,
    seen: Seen,
    how: Annotated[
        Literal["add", "replace"] | None,
        Query(
            description="left out: as the mapping says, else customers and products replace, interactions add"
        ),
    ] = None,
    dry_run: Annotated[bool, Query(description="check and report; keep nothing")] = False,
) -> Response:
    """The body is the file, as ``Content-Type`` and ``Content-Encoding`` (gzip, zstd) say; it may be
    sent in chunks. With ``Content-Digest: sha-256=:…:`` it is only taken if it came as it left.

    200: accepted, with what was quarantined and why. 202: held for a person, or its import takes
    longer; the report will be at ``Location``. 422: nothing of it was taken. The same bytes sent
    again count once, and are answered by the first report while nothing else has changed.
    """
    reception: Reception = request.app.state.reception
    file, digest = f"{table}{_ending(request)}", _digest(request)
    with reception.receiving(tenant.uid):
        async with _begun(request, tenant, reception.config, stores, file) as incoming:
            await _receive(request, tenant, reception.config, stores, incoming)
            if digest not in (None, incoming.sha256):
                raise Denied(
                    400,
                    "the body is not the one that Content-Digest speaks of",
                    "send it again",
                    "DIGEST_MISMATCH",
                )
            now = datetime.now(UTC)
            ticket = Ticket(table, file, incoming.sha256, caller.actor, how, dry_run, now)
            found = await asyncio.to_thread(_known, stores, tenant, ticket)
            if found is None:
                await asyncio.to_thread(incoming.keep, ticket)
    if found is None:
        found = await reception.imported(tenant, ticket)
    return _answer(tenant, ticket, found, seen)


@asynccontextmanager
async def _begun(
    request: Request, tenant: Tenant, config: Config, stores: Stores, file: str
) -> AsyncIterator[Incoming]:
    """An upload whose body may be received; nothing of it stays that was not kept.

    Raises:
        Denied: 413 or 429: by what the request says of itself, there is no room for it.
    """
    length = int(request.headers.get("content-length", "0"))  # digits only: the parser saw to it
    if length > _most(tenant, config):
        raise _too_large(_most(tenant, config))
    count, size = await asyncio.to_thread(stores.uploads.room, tenant.uid)
    deliveries = config.deliveries
    if count >= deliveries.waiting_files or size + length > deliveries.waiting_bytes:
        raise too_many(_FULL)
    incoming = await asyncio.to_thread(stores.uploads.begin, tenant.uid, file)
    try:
        yield incoming
    finally:
        await asyncio.to_thread(incoming.drop)


async def _receive(
    request: Request, tenant: Tenant, config: Config, stores: Stores, incoming: Incoming
) -> None:
    """The body, to disk, whatever length it was said to have."""
    most, rate = _most(tenant, config), config.deliveries.bytes_per_second
    async for part in _parts(request, most, rate):
        _, size = await asyncio.to_thread(stores.uploads.room, tenant.uid)
        if size + len(part) > config.deliveries.waiting_bytes:
            raise too_many(_FULL)
        await asyncio.to_thread(incoming.write, part)
    if not incoming.bytes:
        raise Refused("the body has 0 bytes", "send the file", code="DATA_EMPTY")


async def _parts(request: Request, most: int, rate: int) -> AsyncIterator[bytes]:
    """The body in large parts.

    Its sender has ten seconds for each ten seconds' worth of bytes: who stalls is cut off, and a large
    file on a slow line is not. What the disk takes is not counted.
    """
    clock = asyncio.get_running_loop().time
    part, total, paid, due = bytearray(), 0, 0, clock() + _SECONDS
    more = True
    while more:
        try:
            async with asyncio.timeout_at(due):
                message = await request.receive()
        except TimeoutError:
            raise Denied(
                408,
                f"the body came slower than {rate} bytes per second",
                "send it again, over a better line or in smaller parts",
                "BODY_TIME",
            ) from None
        if message["type"] == "http.disconnect":
            raise Denied(
                400, "the client left before its request was whole", "send it", "BODY_SHORT"
            )
        came, more = message.get("body", b""), message.get("more_body", False)
        total, paid = total + len(came), paid + len(came)
        if total > most:
            raise _too_large(most)
        if paid >= rate * _SECONDS:
            paid, due = 0, clock() + _SECONDS
        part += came
        if len(part) >= _PART or (part and not more):
            began = clock()
            yield bytes(part)
            part.clear()
            due += clock() - began


def _too_large(most: int) -> Denied:
    return Denied(
        413,
        f"the body has more than {most:,} bytes",
        "split the file, or ask for a larger intake.max_file_bytes",
        "BODY_TOO_LARGE",
    )


def _ending(request: Request) -> str:
    """How the name of the file would end, after what the request says it is.

    Raises:
        Denied: 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise Denied(
            415,
            "the body is not said to be CSV, JSON lines or Parquet",
            f"send one of these as Content-Type: {', '.join(KINDS)}",
            "CONTENT_TYPE",
        )
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in CODINGS:
        raise Denied(
            415, "the body is compressed in another way", "use gzip or zstd", "CONTENT_ENCODING"
        )
    return KINDS[kind] + CODINGS[coding]


def _digest(request: Request) -> str | None:
    """The SHA-256 that the sender gives, hex (RFC 9530); None without one.

    Raises:
        Denied: 400, there is none in the header, or none that can be read.
    """
    told = request.headers.get("content-digest")
    if told is None:
        return None
    found = _DIGEST.search(told)
    try:
        digest = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise Denied(
            400,
            "Content-Digest holds no SHA-256",
            "send `Content-Digest: sha-256=:<base64>:`, or leave it out",
            "DIGEST",
        )
    return digest.hex()


def _most(tenant: Tenant, config: Config) -> int:
    return settings_of(config.template, tenant.changes).intake.max_file_bytes


def _known(stores: Stores, tenant: Tenant, ticket: Ticket) -> dict[str, Any] | None:
    """What became of the same upload before, if it would come to the same now."""
    found = stores.uploads.outcome(tenant.uid, ticket.upload)
    marks = stores.erased.of(tenant.uid).marks
    now = as_of(stores.ledger.tenant(tenant.tenant), stores.datasets.stamp(tenant.uid), marks)
    return found if found and found["as_of"] == now else None


def _answer(tenant: Tenant, ticket: Ticket, found: dict[str, Any] | None, seen: Seen) -> Response:
    if found is not None and found["problem"]:
        answer = refused_file(found["problem"])
        seen.refused(answer.code)
        return answer.response
    batch = batch_name({ticket.table: ticket.sha256})
    told: dict[str, Any] = {"tenant": tenant.tenant, "batch": batch, "state": "waiting"}
    told |= {"dry_run": ticket.dry_run, "tables": []}
    if found is not None:
        told = {"state": found["outcome"], **found["report"]}
    headers = {}
    if told["state"] in ("held", "waiting"):
        headers["Location"] = f"/tenants/{tenant.tenant}/data/reports/{told['batch']}"
    return Response(
        orjson.dumps(told),
        202 if headers else 200,
        headers,
        media_type="application/json",
    )
