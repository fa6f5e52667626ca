"""The HTTP protocol with the limits that uvicorn leaves open: heads, patience, connections.

Measured on uvicorn 0.54: it takes a head of any length (5 MB passed), as many headers as one
cares to send (200,000 passed), lets trailers join them, waits for ever for a head, or for a client
that does not read its answer, and its ``limit_concurrency`` counts idle connections, so that those
who merely sit there turn everybody else away.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.control import Denied
from serving.load import overloaded
from serving.problems import on_the_wire

HEAD_BYTES, URL_BYTES, HEADERS = 16_384, 8_192, 64
PATIENCE = 5.0
"""Seconds between two looks at a connection; who owes the same at both is cut off."""
LINGER = 1.0
"""Seconds an idle client may still ask when the server stops; it is told to leave, not dropped."""
_DEAF_BYTES = 4 * 2**20  # what is thrown away after a refusal, before the line is cut


class Wire(HttpToolsProtocol):
    """One connection. uvicorn's ``limit_concurrency`` is taken as the number of connections."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._head = 0  # bytes read since the last whole head, while a head is expected
        self._heading = True
        self._full = self._leaving = False
        self._deaf = 0  # after a refusal: how much more may be thrown away
        self._refusal = _REQUEST
        self._owed: object = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._full = self._most is not None and len(self.connections) > self._most
        self._watch = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._deaf -= len(data)
            if self._deaf <= 0:
                self.transport.abort()
            return
        if self._full:  # answered only now: before a client has asked, it may not be reading
            self._refusal = _FULL
            self.send_400_response("")
            return
        if self._heading:
            self._head += len(data)
        super().data_received(data)
        if self._heading and self._head > HEAD_BYTES and not self._deaf:
            self._refusal = _HEAD
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heading = True

    def on_headers_complete(self) -> None:
        if len(self.url) > URL_BYTES:
            self._refuse(_URL)
        if len(self.headers) > HEADERS:
            self._refuse(_HEAD)
        if self._head > HEAD_BYTES:  # only then: a body may have come with it
            sizes = (len(name) + len(value) + 4 for name, value in self.headers)
            if len(self.url) + sum(sizes) > HEAD_BYTES:
                self._refuse(_HEAD)
        self._heading, self._head = False, 0
        super().on_headers_complete()
        self.headers = _NOWHERE
        if self._leaving:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._end()  # refused before its body was read: hear no more of it

    def send_400_response(self, msg: str) -> None:
        """Every refusal on this floor ends here, as a problem document like any other."""
        self.transport.write(self._refusal)
        self._end()

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._leaving = True
            self.loop.call_later(LINGER, self._leave)
        else:
            super().shutdown()

    def _refuse(self, answer: bytes) -> None:
        self._refusal = answer
        raise ValueError  # ends the parsing, and comes back as send_400_response

    def _end(self) -> None:
        """Close our half, and let the client read what we said before the line is cut: closing
        at once would reset it while it still sends, and the answer would be lost.
        """
        self._deaf = _DEAF_BYTES
        self._unset_keepalive_if_required()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _leave(self) -> None:
        if self._idle():
            self.transport.close()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        """Cut off who owes the same as at the last look: a head, the taking of an answer, or
        the closing of a line that is at its end. Bodies have their own time (serving/limits.py).
        """
        owed: object = None
        if self._deaf:
            owed = "close"
        elif self.transport.get_write_buffer_size():
            owed = ("taking", self.cycle)
        elif self._idle() and self.timeout_keep_alive_task is None:
            owed = ("head", self.cycle)
        if owed is not None and owed == self._owed:
            self.transport.abort()
        self._owed = owed
        self._watch = self.loop.call_later(PATIENCE, self._look)


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where headers go that come after the head."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        pass


_NOWHERE = _Nowhere()

_REQUEST = on_the_wire(
    Denied(400, "that was not HTTP/1.1", "send a well-formed request", "REQUEST")
)
_HEAD = on_the_wire(
    Denied(
        431,
        f"the head has more than {HEADERS} headers or {HEAD_BYTES} bytes",
        "send fewer and shorter headers",
        "HEADERS",
    )
)
_URL = on_the_wire(
    Denied(414, f"the address has more than {URL_BYTES} bytes", "ask for less at once", "URL")
)
_FULL = on_the_wire(overloaded())
