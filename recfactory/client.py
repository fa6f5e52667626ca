"""A client for one tenant's recommendations: typed, and patient where patience helps.

    from recfactory.client import Client, Event

    with Client("https://recs.example", "acme", key) as acme:
        answer = acme.recommendations("C-1042", limit=5)
        acme.feedback([Event("C-1042", answer.recommendations[0].product_id, "shown")])

    with Client("https://recs.example", "acme", admins_key) as acme:
        report = acme.upload("interactions", Path("interactions-2026-11-22.csv.gz"))

Needs httpx2 and nothing else of this project, so this one file may be copied. Every call may be
repeated without harm (an event counts once by its id), so calls are repeated where the server could
not be reached, is busy (429) or away (502, 503, 504): after what ``Retry-After`` asks for, else after
a random part of a growing pause, until ``patience`` seconds are over.
"""

import base64
import hashlib
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx2

Kind = Literal["shown", "clicked", "accepted", "dismissed", "purchased"]
Mode = Literal["on", "freeze", "off"]
Table = Literal["customers", "products", "interactions"]

AGAIN = frozenset({429, 502, 503, 504})
"""Answers that a repetition may change."""
MOST_EVENTS = 1000
"""In one request; ``feedback`` sends more in several."""
FILES = {
    ".csv": "text/csv",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
"""What ``upload`` takes a file for, by the end of its name; ".gz" or ".zst" may follow."""
PACKED = {".gz": "gzip", ".zst": "zstd"}


class Problem(Exception):
    """The server said no, or nothing at all.

    Args:
        code: stable, for programs; ``UNREACHABLE`` where no answer came.
        detail: what happened, in a sentence.
        next_step: what to do about it.
        status: of the HTTP answer; None where none came.
    """

    def __init__(self, code: str, detail: str, next_step: str, status: int | None) -> None:
        super().__init__(code, detail, next_step, status)
        self.code, self.detail, self.next_step, self.status = code, detail, next_step, status

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}. Next: {self.next_step}."


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One place on the list."""

    rank: int
    product_id: str
    name: str | None
    category: str | None
    price: float | None
    probability: float
    """Of buying it within the model's horizon, 0 to 1."""
    bought_before: bool
    reason: Mapping[str, Any]
    """``kind``, ``because`` (product ids) and ``text``, which a salesperson can say aloud."""


@dataclass(frozen=True, slots=True)
class Recommendations:
    """One customer's list; empty where the tenant is ``off``, so hide the button."""

    tenant: str
    customer: str
    mode: Mode
    source: str | None
    """``personal``; ``popular`` for a customer without a list of their own."""
    edition: int | None
    model: int | None
    published_at: str | None
    recommendations: tuple[Recommendation, ...]
    stale: bool | None = None
    """The list is some nights old."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the customer spoke of: products, or whole categories."""

    products: Sequence[str] = ()
    categories: Sequence[str] = ()


NOTHING = Said()


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a recommendation. Its id is made here, so sending it again counts once."""

    customer_id: str
    product_id: str
    kind: Kind
    edition: int | None = None
    rank: int | None = None
    quantity: float | None = None
    value: float | None = None
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event: stored, repeated (counted before) or refused, and why."""

    event_id: str | None
    result: str
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of a table's rows; accepted and quarantined together are all that were read."""

    table: str
    read: int
    accepted: int
    quarantined: int
    faults: Sequence[Mapping[str, Any]] = ()
    """``code``, ``column``, ``what``, ``count``, ``share``, ``samples`` and ``fix`` of each."""
    ignored_columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a delivery."""

    tenant: str
    batch: str
    """Made of the file's bytes: the same file is always called so."""
    state: str
    """``accepted``; ``held`` for a person; ``waiting``: the import takes longer."""
    dry_run: bool
    tables: tuple[TableReport, ...]


_Record = TypeVar("_Record", Recommendation, Recommendations, Result, Report, TableReport)


class Client:
    """Asks for one tenant with one key; may be shared by threads.

    Args:
        url: the server's, without ``/tenants``.
        timeout: seconds that one attempt may take.
        patience: seconds that a call may take with all its repetitions.
        pause: seconds, the longest first pause; it doubles with every attempt.
        answers: how many lists are kept, to be asked for with ``If-None-Match``.
    """

    def __init__(
        self,
        url: str,
        tenant: str,
        key: str,
        *,
        timeout: float = 2.0,
        patience: float = 10.0,
        pause: float = 0.1,
        answers: int = 256,
        sleep: Callable[[float], None] = time.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._patience, self._pause, self._answers = patience, pause, answers
        self._sleep, self._dice = sleep, dice
        self._kept: OrderedDict[httpx2.URL, httpx2.Response] = OrderedDict()
        self._http = httpx2.Client(
            base_url=f"{url.rstrip('/')}/tenants/{_segment(tenant)}/",
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def recommendations(
        self,
        customer: str,
        *,
        limit: int = 10,
        bought: Literal["include", "exclude", "only"] | None = None,
        category: str | None = None,
        interested: Said = NOTHING,
        rejected: Said = NOTHING,
    ) -> Recommendations:
        """The customer's list, best first.

        Args:
            bought: what to do with products bought before; None: as the tenant has it.
            category: only products of this one; the list may be shorter.
            interested, rejected: what the customer just spoke of; the list is ranked anew.

        Raises:
            Problem: there is no answer, or not this one.
        """
        path = f"customers/{_segment(customer)}/recs"
        params: dict[str, str | int] = {"limit": limit}
        params |= {"bought": bought} if bought else {}
        params |= {"category": category} if category else {}
        if interested != NOTHING or rejected != NOTHING:
            said = {"interested": asdict(interested), "rejected": asdict(rejected)}
            told = self._call("POST", path, params=params, json=said).json()
        else:
            told = self._looked_up(path, params).json()
        lines = tuple(_read(Recommendation, line) for line in told["recommendations"])
        return _read(Recommendations, {**told, "recommendations": lines})

    def feedback(self, events: Iterable[Event]) -> list[Result]:
        """Tell what became of recommendations; what was stored is durable.

        Returns:
            By event, in their order.

        Raises:
            Problem: not all could be told. Call again with the same events: none counts twice.
        """
        told = [_event(event) for event in events]
        results: list[Result] = []
        for start in range(0, len(told), MOST_EVENTS):
            batch = {"events": told[start : start + MOST_EVENTS]}
            answer = self._call("POST", "feedback", json=batch).json()
            results += [_read(Result, line) for line in answer["results"]]
        return results

    def upload(
        self,
        table: Table,
        path: Path,
        *,
        how: Literal["add", "replace"] | None = None,
        dry_run: bool = False,
        timeout: float = 60.0,
    ) -> Report:
        """Deliver a file, never wholly in memory; for the tenant's admin.

        Args:
            path: its name says what it is, as ``interactions-2026-11-22.csv.gz``.
            how: None: customers and products replace what is there, interactions add to it.
            dry_run: check and report; keep nothing.
            timeout: seconds without any progress.

        Raises:
            Problem: nothing of it was taken. The same file may be sent again: it counts once.
        """
        with path.open("rb") as file:
            digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
        headers = {
            **_content(path),
            "Content-Digest": f"sha-256=:{digest}:",
            "Content-Length": str(path.stat().st_size),
        }
        params = {"dry_run": str(dry_run).lower()} | ({"how": how} if how else {})
        answer = self._call(
            "PUT",
            f"data/{table}",
            params=params,
            headers=headers,
            timeout=timeout,
            content=_Pieces(path),
        ).json()
        tables = tuple(_read(TableReport, line) for line in answer["tables"])
        return _read(Report, {**answer, "tables": tables})

    def mode(self) -> Mode:
        """What the tenant's switch says; for its admin."""
        mode: Mode = self._call("GET", "mode").json()["mode"]
        return mode

    def set_mode(self, mode: Mode, *, why: str) -> None:
        """Turn the tenant's switch; for its admin. ``why`` is kept in the audit trail."""
        self._call("PUT", "mode", json={"mode": mode, "why": why})

    def _looked_up(self, path: str, params: Mapping[str, Any]) -> httpx2.Response:
        """The list; the one kept from before where the server says that it is still true."""
        url = self._http.build_request("GET", path, params=params).url
        kept = self._kept.get(url)
        headers = {"If-None-Match": kept.headers["ETag"]} if kept else {}
        answer = self._call("GET", path, params=params, headers=headers)
        if answer.status_code == httpx2.codes.NOT_MODIFIED and kept:
            return kept
        if "ETag" in answer.headers:
            self._kept[url] = answer
            while len(self._kept) > self._answers:
                self._kept.popitem(last=False)
        return answer

    def _call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        ends = time.monotonic() + self._patience
        pause = self._pause
        while True:
            wait = pause * self._dice()
            try:
                answer = self._http.request(method, path, **more)
            except httpx2.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
                problem = Problem("UNREACHABLE", reason, "check the address and the server", None)
            else:
                if answer.is_success or answer.status_code == httpx2.codes.NOT_MODIFIED:
                    return answer
                problem = _problem(answer)
                if answer.status_code not in AGAIN:
                    raise problem
                wait = _asked_for(answer) or wait
            if time.monotonic() + wait >= ends:
                raise problem
            self._sleep(wait)
            pause *= 2


class _Pieces:
    """A file's bytes, from the first one on whenever they are asked for: a repetition asks again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while piece := file.read(1 << 16):
                yield piece


def _content(path: Path) -> dict[str, str]:
    """What a file's name says it is."""
    *rest, last = path.suffixes or [""]
    packed = PACKED.get(last.lower())
    kind = FILES.get((rest[-1] if packed and rest else last).lower())
    if kind is None:
        name = f"{path.name} does not say what it is"
        raise Problem("FILE_NAME", name, f"end it in {', '.join(FILES)}, and .gz or .zst", None)
    return {"Content-Type": kind, **({"Content-Encoding": packed} if packed else {})}


def _segment(text: str) -> str:
    """One step of a path, whatever it holds; dots alone would otherwise lead elsewhere."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _asked_for(answer: httpx2.Response) -> float | None:
    """Seconds that Retry-After names, as a number or a date."""
    asked = answer.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # none, or nothing that can be read
        return None


def _problem(answer: httpx2.Response) -> Problem:
    """The problem document (RFC 9457); a proxy in between may answer with something else."""
    try:
        told = answer.json()
        return Problem(told["code"], told["detail"], told["next_step"], answer.status_code)
    except (ValueError, KeyError, TypeError):
        code = f"HTTP_{answer.status_code}"
        return Problem(code, answer.reason_phrase, "see who answered", answer.status_code)


def _event(event: Event) -> dict[str, Any]:
    told = {item.name: getattr(event, item.name) for item in fields(event)}
    told["occurred_at"] = event.occurred_at.isoformat()
    return {name: value for name, value in told.items() if value is not None}


def _read(kind: type[_Record], told: Mapping[str, Any]) -> _Record:
    """A record of what is known of it; a newer server may tell more."""
    return kind(**{item.name: told[item.name] for item in fields(kind) if item.name in told})
