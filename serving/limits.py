"""What every request has to pass before anybody looks at what it wants: size, kind, time, room."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schema.config import Serving
from schema.records import Caller
from serving.control import Denied
from serving.load import Kind, Load, kind_of, overloaded
from serving.logs import HEADER, Access
from serving.problems import told
from serving.rates import Rates
from serving.strict import check

_BODIES_AT_ONCE = 64
"""Bodies of the greatest size whose bytes a worker holds at once: what slow senders can take."""


class Limits:
    """Wraps the application: ``await limits(app, scope, receive, send)``.

    A body is received here (``body``), whole, once the guard has let its sender in and before the
    route sees it: so it is refused before it is read where its length says enough, and cut off
    where it does not; only then does the request take a place. Compressed bodies are refused: what we are told is small (a
    thousand events have 200 KB), and so there is nothing that could unpack to more than it seems.
    """

    def __init__(self, serving: Serving) -> None:
        limits, workers = serving.limits, serving.workers
        self.rates = Rates(
            (limits.key_per_second / workers, limits.key_burst / workers),
            (limits.tenant_per_second / workers, limits.tenant_burst / workers),
        )
        self.load = Load()
        self._hosts = frozenset(host.lower().encode() for host in serving.hosts)
        self._bytes, self._seconds = limits.body_bytes, limits.body_seconds
        self._held = 0
        self.access = Access(everything=serving.log_lookups)

    async def __call__(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        request = self.access.begin(scope["headers"])
        kind = kind_of(scope["method"], scope["path"])

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, request)]
            await send(message)

        try:
            self.host(scope)
            self.load.admit(kind)
            await app(scope, receive, answering)
        except Denied as error:
            await told(error).send(answering)
        finally:
            self.access.end(scope, status, began, act=kind is Kind.ADMIN)

    def host(self, scope: Scope) -> None:
        """Whether we go by the name that was asked for.

        Raises:
            Denied: 400 (``HOST``).
        """
        if not self._hosts:
            return
        asked = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if asked.lower() not in self._hosts:
            raise Denied(
                400,
                "this service does not answer to the host that was asked for",
                "use its proper address; the operator keeps `serving.hosts` in config.yaml",
                "HOST",
            )

    async def body(self, scope: Scope, receive: Receive) -> Receive:
        """Receive the body, and hand it on as it was sent, known to be JSON.

        Raises:
            Denied: 4xx, what is wrong with it; 503 where too many arrive at once.
        """
        headers = dict(scope["headers"])
        length = int(headers.get(b"content-length", b"0"))  # digits only: the parser saw to it
        if not length and b"transfer-encoding" not in headers:
            return receive
        if length > self._bytes:
            raise self._too_large()
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding != b"identity":
            raise Denied(
                415, "a compressed body is not read", "send it as it is", "CONTENT_ENCODING"
            )
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Denied(
                415,
                "the body is not said to be JSON",
                "send `Content-Type: application/json`",
                "CONTENT_TYPE",
            )
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._received(receive)
        except TimeoutError:
            raise Denied(
                408,
                f"the body did not arrive within {self._seconds:g} seconds",
                "send it again, over a better line or in smaller parts",
                "BODY_TIME",
            ) from None
        if body:
            check(body)
        return _again(body, receive)

    async def _received(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Denied(
                        400, "the client left before its request was whole", "send it", "BODY_SHORT"
                    )
                part, more = message.get("body", b""), message.get("more_body", False)
                if len(body) + len(part) > self._bytes:
                    raise self._too_large()
                if self._held + len(part) > _BODIES_AT_ONCE * self._bytes:
                    raise overloaded()
                body += part
                self._held += len(part)
            return bytes(body)
        finally:
            self._held -= len(body)

    def _too_large(self) -> Denied:
        return Denied(
            413,
            f"the body has more than {self._bytes} bytes",
            "send less at once",
            "BODY_TOO_LARGE",
        )

    def spend(self, caller: Caller) -> None:
        """Take one request from what a key, or a token's subject, and its tenant may ask.

        It is the caller's own tenant that pays, whichever it asks for: nobody can use up another's.

        Raises:
            Denied: 429 (``RATE_LIMIT``), with the seconds to wait.
        """
        wait = self.rates.take(caller.actor, caller.tenant or "", time.monotonic())
        if wait:
            raise Denied(
                429,
                "this key, or all keys of its tenant together, ask more often than they may",
                "wait as long as Retry-After says; the operator sets `serving.limits` in config.yaml",
                "RATE_LIMIT",
                retry_after=wait,
            )


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand a received body on, once."""
    sent = False

    async def receive_again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
