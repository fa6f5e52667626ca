"""The 48 classes of bad input: for each the exact answer, and that nothing else has changed.

One row a class (some have two), through the door it comes by: the code, what the sentence says, the effect,
the exit status (0 taken, 2 refused, 3 held) or the status of HTTP. After each, in every row: what acme serves and,
unless rows were taken, its accepted data are byte for byte what they were, and so is everything
of beta's; nobody is shown a stack trace, nor more than 80 characters of what was sent; what may
mean harm is told to the security log. Where we answer otherwise than the classes were first
written down, the row says so.
"""

import gzip
import io
import json
import logging
import pickle
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schema.codes import CODES, Effect
from schema.names import Role
from schema.settings import HoldSettings
from tests.scenarios.test_cli import Cli
from tests.scenarios.tree import contents, folder_of
from tests.serving.morning import Night, one_night, serving
from tests.serving.test_feedback import event
from tests.world import ACME, BETA, NOW, World

REFUSE, QUARANTINE, HOLD, ACCEPT = Effect.REFUSE, Effect.QUARANTINE, Effect.HOLD, Effect.ACCEPT
STATUS = {REFUSE: 2, HOLD: 3, QUARANTINE: 0, ACCEPT: 0}
ECHO = 80
HEADER = "customer_id,product_id,event,quantity,value,occurred_at"


@dataclass(frozen=True)
class Answer:
    """What whoever delivered is told.

    Attributes:
        codes: all of them, wherever they stand.
        body: what a program is told, where there is such a thing.
    """

    status: int
    text: str
    codes: frozenset[str]
    body: Any = None


class Door:
    """acme's doors: the command line, its inbox, HTTP.

    Attributes:
        sent: everything that was.
        kept: acme's accepted data before the delivery in question.
    """

    def __init__(self, world: World, night: Night, cli: Cli, patch: pytest.MonkeyPatch) -> None:
        self.world, self.night, self.cli, self.patch = world, night, cli, patch
        self.sent = b""
        self.kept = accepted(world, ACME)

    def send(self, name: str, body: bytes | str, tenant: str = ACME, **others: bytes) -> Answer:
        """`recfactory data import` of a file named after its table, and of others with it."""
        folder = self.world.folder / "out"
        folder.mkdir(exist_ok=True)
        options: list[object] = []
        for file, data in {name: body, **others}.items():
            path = folder / file
            path.write_bytes(data.encode() if isinstance(data, str) else data)
            self.sent += path.read_bytes()
            options += [f"--{file.partition('.')[0]}", path]
        return self.run("data", "import", tenant, *options)

    def run(self, *words: object) -> Answer:
        """A command with --json."""
        done = self.cli(*words, "--json")
        told = [done.told.partition(":")[0]] if done.status in (1, 2) else []
        body = json.loads(done.out) if done.out.strip() else None
        return Answer(done.status, done.out + done.told, frozenset([*told, *codes(body)]), body)

    def tune(self, setting: str) -> None:
        self.cli.well("tenant", "set", ACME, setting)

    def drop(self, name: str, body: str) -> None:
        """Put a file into acme's inbox."""
        folder = self.world.config.home / "inbox" / ACME
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
        self.sent += body.encode()

    def post(self, body: bytes, kind: str = "application/json") -> Answer:
        """Feedback over HTTP."""
        self.sent += body
        with serving(self.world, self.night.keys) as served:
            key = self.night.keys[ACME, Role.SELLER]
            found = served.client.post(
                f"/tenants/{ACME}/feedback",
                content=body,
                headers={"Authorization": f"Bearer {key}", "Content-Type": kind},
            )
        answer = found.json()
        return Answer(found.status_code, found.text, frozenset(codes(answer)), answer)

    def tell(self, *events: Mapping[str, Any]) -> Answer:
        return self.post(json.dumps({"events": events}).encode())


def codes(told: Any) -> Iterator[str]:
    """Every code in what a program is told; what has a word of its own counts as its code."""
    if isinstance(told, list):
        for part in told:
            yield from codes(part)
    if isinstance(told, dict):
        if told.get("code"):
            yield told["code"]
        if told.get("verdict") == "too_small":
            yield "TRAIN_TOO_SMALL"
        for part in told.values():
            yield from codes(part)


@dataclass(frozen=True)
class Row:
    """One class: what is done, and what has to be answered.

    Attributes:
        says: fragments of what is told: figures, line, column.
        status: where it is not what the effect has at the command line.
        otherwise: how and why we differ from the class as it was first written down.
    """

    number: str
    name: str
    code: str
    effect: Effect
    says: Sequence[str]
    do: Callable[[Door], Answer]
    status: int | None = None
    otherwise: str = ""


def customer(number: int) -> str:
    return f"C-{number:04}"


def product(number: int) -> str:
    return f"acme-P-{number:02}"


def bought(
    rows: int,
    *odd: str,
    day: str = "2026-04-02",
    event: str = "purchase",
    value: Callable[[int], str] = lambda n: f"{1 + n % 17}.5",
    buyer: Callable[[int], str] = lambda n: customer(n % 60),
    what: Callable[[int], str] = lambda n: product(n % 23),
) -> str:
    """Interactions on a day, all different; then odd lines as they are."""
    lines = [
        f"{buyer(n)},{what(n)},{event},{1 + n % 3},{value(n)},"
        f"{day}T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z"
        for n in range(rows)
    ]
    return "\n".join([HEADER, *lines, *odd]) + "\n"


def odd(**cells: str) -> str:
    """One line of interactions with a fault in it."""
    good = dict(zip(HEADER.split(","), bought(1).splitlines()[1].split(","), strict=True))
    return ",".join((good | {"occurred_at": "2026-04-02T12:00:00Z"} | cells).values())


def one_odd(**cells: str) -> Callable[[Door], Answer]:
    return lambda door: door.send("interactions.csv", bought(30, odd(**cells)))


def sends(name: str, body: Callable[[], bytes | str]) -> Callable[[Door], Answer]:
    return lambda door: door.send(name, body())


def catalogue(*ids: str, column: str = "product_id", more: str = "") -> str:
    head = ",".join(filter(None, [column, more]))
    return "\n".join([head, *ids]) + "\n"


def parquet(columns: Mapping[str, Any], **metadata: str) -> bytes:
    rows = pa.table(columns)
    rows = rows.replace_schema_metadata(metadata) if metadata else rows
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    return sink.getvalue()


def three() -> dict[str, list[str]]:
    return {
        "customer_id": [customer(0), customer(1)],
        "product_id": [product(0), product(1)],
        "occurred_at": ["2026-04-02", "2026-04-02"],
    }


def bomb() -> bytes:
    """100 MB of one short row, in gzip."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(f"{HEADER}\n".encode())
    block = b"C-0001,acme-P-01,,,,2026-04-02\n" * 32_768
    return head + b"".join(packer.compress(block) for _ in range(100)) + packer.flush()


def archive() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as made:
        made.writestr("../../x", bought(3))
    return sink.getvalue()


def array() -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.arange(3))
    return sink.getvalue()


# Steps of more than one line.


def unchanged(door: Door) -> Answer:
    assert door.send("interactions.csv", bought(30)).status == 0
    return door.send("interactions.csv", bought(30))


def overdue(door: Door) -> Answer:
    door.tune("intake.expected_hours=1")
    return door.run("data", "collect", ACME)


def unmarked(door: Door) -> Answer:
    door.drop("interactions-1.csv", bought(30))
    door.patch.setenv("RECFACTORY_DELIVERIES__SETTLE_HOURS", "0.0001")
    time.sleep(0.5)  # a file's own times may be set by whoever writes it: the disk's clock counts
    return door.run("data", "collect", ACME)


def limited(setting: str, name: str, body: str) -> Callable[[Door], Answer]:
    def deliver(door: Door) -> Answer:
        door.tune(setting)
        return door.send(name, body)

    return deliver


def summer_time(door: Door) -> Answer:
    """In Zurich, where 02:30 comes twice on the last Sunday of October, and never in March."""
    door.cli.well("tenant", "add", "zurich", "--timezone", "Europe/Zurich")
    lines = [f"Z-1,Q-1,,,{n},2025-10-{n:02}T10:00:00" for n in range(1, 25)]
    return door.send(
        "interactions.csv",
        "\n".join([HEADER, *lines, "Z-1,Q-1,,,,2025-10-26T02:30:00", ""]),
        tenant="zurich",
        **{
            "customers.csv": catalogue("Z-1", column="customer_id").encode(),
            "products.csv": catalogue("Q-1").encode(),
        },
    )


def look_alikes(door: Door) -> Answer:
    ids = [customer(n) for n in range(60)]
    return door.send("customers.csv", catalogue(*ids, "c-0007", column="customer_id"))


def tiny_tenant(door: Door) -> Answer:
    door.cli.well("tenant", "add", "tiny")
    lines = [f"T-{n % 4},Q-{n % 3},,,{n},2026-03-{1 + n:02}T10:00:00Z" for n in range(24)]
    taken = door.send(
        "interactions.csv",
        "\n".join([HEADER, *lines, ""]),
        tenant="tiny",
        **{
            "customers.csv": catalogue("T-0", "T-1", "T-2", "T-3", column="customer_id").encode(),
            "products.csv": catalogue("Q-0", "Q-1", "Q-2").encode(),
        },
    )
    assert taken.status == 0, taken.text
    answer = door.run("night", "tiny", "--date", "2026-04-02")
    shown = door.cli.well("recs", "tiny", "T-9", "--json").json
    assert shown["source"] == "popular"
    return answer


def history(door: Door) -> None:
    """Four more weeks, so that what is usual is known."""
    body = bought(560, day="2026-04-02", value=lambda n: f"{1 + n % 17}.5")
    lines = body.splitlines()
    spread = [
        line.replace("2026-04-02", f"2026-04-{2 + n % 28:02}") for n, line in enumerate(lines[1:])
    ]
    taken = door.send("interactions.csv", "\n".join([lines[0], *spread, ""]))
    assert taken.status == 0, taken.text


def after_history(body: Callable[[], str]) -> Callable[[Door], Answer]:
    def deliver(door: Door) -> Answer:
        history(door)
        door.kept = accepted(door.world, ACME)
        return door.send("interactions.csv", body())

    return deliver


def products_without_price() -> str:
    return catalogue(*(f"{product(n)},acme product {n}" for n in range(24)), more="name")


def twice(door: Door) -> Answer:
    """The same event again has the first answer; the same id with another content does not."""
    first, again = door.tell(event()), door.tell(event())
    assert (first.body["stored"], again.body["repeated"]) == (1, 1)
    return door.tell(event(kind="purchased"))


def partly(door: Door) -> Answer:
    answer = door.tell(event(event_id="a"), event(event_id="b", kind="?"), event(event_id="c"))
    assert (answer.body["stored"], answer.body["refused"]) == (2, 1)
    return answer


ROWS = (
    Row("1", "no file", "DATA_MISSING", REFUSE, ["there is no file"],
        lambda door: door.run("data", "import", ACME, "--products", "nowhere.csv")),
    Row("1b", "no file in time", "DATA_MISSING", REFUSE, ["days old"], overdue, 3,
        "the inbox tells it with 3, for a person has to look"),
    Row("2", "zero bytes", "DATA_EMPTY", REFUSE, ["0 bytes"], sends("products.csv", lambda: b"")),
    Row("3", "header only", "DATA_NO_ROWS", REFUSE, ["0 data rows"],
        sends("interactions.csv", lambda: f"{HEADER}\n")),
    Row("4", "the same bytes", "DATA_UNCHANGED", ACCEPT, [], unchanged),
    Row("5", "older than what is there", "DATA_OLDER", HOLD, ["2025-06-01"],
        sends("interactions.csv", lambda: bought(300, day="2025-06-01")),
        otherwise="held, not refused: a gap may be filled on purpose"),
    Row("6", "still being written", "DATA_NOT_SETTLED", REFUSE, ["no marker"], unmarked, 3,
        "the inbox tells it with 3, and tries again"),
    Row("7", "gzip cut short", "DATA_TRUNCATED", REFUSE, ["interactions.csv.gz", "byte"],
        sends("interactions.csv.gz", lambda: gzip.compress(bought(500).encode())[:-40])),
    Row("7b", "Parquet cut short", "DATA_TRUNCATED", REFUSE, ["interactions.parquet"],
        sends("interactions.parquet", lambda: parquet(three())[:-9])),
    Row("7c", "last line cut short", "DATA_TRUNCATED", REFUSE, ["interactions.csv", "31"],
        sends("interactions.csv", lambda: bought(30)[:-12])),
    Row("8", "not what its name says", "DATA_WRONG_FORMAT", REFUSE, ["Parquet"],
        sends("products.csv", lambda: parquet({"product_id": ["P-1"]}))),
    Row("9", "unpacks too big", "DATA_BOMB", REFUSE, ["times its size"],
        sends("interactions.csv.gz", bomb)),
    Row("10", "too many bytes", "DATA_TOO_LARGE", REFUSE, ["the limit is 100"],
        limited("intake.max_file_bytes=100", "interactions.csv", bought(30))),
    Row("11", "too many rows", "DATA_LIMIT", REFUSE, ["5 rows"],
        limited("intake.max_rows=5", "interactions.csv", bought(30))),
    Row("11b", "too many products", "DATA_LIMIT", REFUSE, ["products", "5"],
        limited("intake.max_products=5", "products.csv", catalogue(*map(product, range(24))))),
    Row("12", "an archive", "ARCHIVE_UNSAFE", REFUSE, ["archive"],
        sends("interactions.zip", archive),
        otherwise="no archive is opened, so no entry of one is named"),
    Row("13", "Windows-1252", "TEXT_ENCODING", REFUSE, ["0xE9", "line 3"],
        sends("products.csv", lambda: "product_id,name\nP-1,tea\nP-2,caf\u00e9\n".encode("cp1252"))),
    Row("14", "UTF-8 with a mark", "", ACCEPT, [],
        sends("interactions.csv", lambda: b"\xef\xbb\xbf" + bought(30).encode())),
    Row("14b", "UTF-16", "TEXT_ENCODING", REFUSE, ["UTF-16"],
        sends("interactions.csv", lambda: bought(30).encode("utf-16"))),
    Row("15", "NUL in an id", "ID_CONTROL_CHAR", QUARANTINE, ["customer_id", r"\\x00"],
        one_odd(customer_id="C-\x001")),
    Row("16", "a column missing", "SCHEMA_MISSING", REFUSE, ["product_id", "sku"],
        sends("products.csv", lambda: "sku,name\nP-1,tea\n")),
    Row("17", "a column twice", "SCHEMA_DUPLICATE", REFUSE, ["'name'", "twice"],
        sends("products.csv", lambda: "product_id,name,name\nP-1,tea,tea\n")),
    Row("18", "columns too many", "SCHEMA_EXTRA", ACCEPT, ["colour", "shelf"],
        sends("customers.csv", lambda: catalogue(
            *(f"{customer(n)},acme customer {n},red,{n}" for n in range(60)),
            column="customer_id", more="name,colour,shelf"))),
    Row("19", "a column gone", "SCHEMA_CHANGED", HOLD, ["price"],
        sends("products.csv", products_without_price)),
    Row("20", "a ragged line", "CSV_SHAPE", QUARANTINE, ["32"],
        sends("interactions.csv", lambda: bought(30, "C-0001,acme-P-01,purchase"))),
    Row("21", "an unclosed quote", "CSV_QUOTE", REFUSE, ["line 32"],
        sends("interactions.csv", lambda: bought(30, '"C-0001,acme-P-01,purchase,1,1,2026-04-02'))),
    Row("21b", "a field over 64 KiB", "CSV_QUOTE", REFUSE, ["line 3"],
        sends("products.csv", lambda: f'product_id,name\nP-1,tea\nP-2,"{"x" * 70_000}"\n')),
    Row("22", "text for a number", "VALUE_TYPE", QUARANTINE, ["value", "good"],
        one_odd(value="good")),
    Row("23", "no finite number", "VALUE_NOT_FINITE", QUARANTINE, ["value", "finite"],
        one_odd(value="NaN")),
    Row("24", "outside the range", "VALUE_RANGE", QUARANTINE, ["value", "outside"],
        one_odd(value="2e12"),
        otherwise="no scale of ratings is declared: the column's own range counts"),
    Row("25", "a negative quantity", "VALUE_RANGE", QUARANTINE, ["quantity", "-3"],
        one_odd(quantity="-3"), otherwise="returns come in the same file, as the event return"),
    Row("26", "an ambiguous time", "TIME_FORMAT", QUARANTINE, ["03/04/05"],
        one_odd(occurred_at="03/04/05")),
    Row("27", "in the future", "TIME_RANGE", QUARANTINE, ["2199"], one_odd(occurred_at="2199-01-01"),
        otherwise="the past ends in 1990, not in 2000: histories of 1996 are real"),
    Row("27b", "milliseconds all over", "TIME_RANGE", REFUSE, ["milliseconds"],
        sends("interactions.csv", lambda: "\n".join(
            [HEADER, *(odd(occurred_at=f"{1772900000000 + n}") for n in range(40)), ""]))),
    Row("28", "a local time that comes twice", "TIME_ZONE", ACCEPT, ["2025-10-26"], summer_time),
    Row("29", "an empty id", "ID_EMPTY", QUARANTINE, ["customer_id"], one_odd(customer_id="")),
    Row("30", "an id too long", "ID_TOO_LONG", QUARANTINE, ["128"], one_odd(customer_id="x" * 200)),
    Row("31", "ids that look alike", "ID_LOOKALIKE", HOLD, ["equal but for case"], look_alikes),
    Row("32", "ids damaged by a spreadsheet", "ID_NUMERIC_DAMAGE", REFUSE, ["customer_id"],
        sends("customers.csv", lambda: catalogue(
            *(f"{17000 + n}.0" for n in range(60)), column="customer_id"))),
    Row("33", "exact duplicates", "ROW_DUPLICATE", ACCEPT, ["duplicate"],
        sends("interactions.csv", lambda: bought(30, *bought(3).splitlines()[1:]))),
    Row("33b", "most rows twice", "ROW_DUPLICATE", HOLD, ["exact duplicates"],
        sends("interactions.csv", lambda: bought(300, *bought(300).splitlines()[1:]))),
    Row("34", "two ratings of the same", "ROW_CONFLICT", ACCEPT, ["rating"],
        sends("interactions.csv", lambda: bought(
            30, odd(event="rating", value="2"), odd(event="rating", value="5")))),
    Row("35", "too little to train", "TRAIN_TOO_SMALL", ACCEPT, ["purchases"], tiny_tenant,
        otherwise="it is the night's verdict too_small; strangers are shown the popular list"),
    Row("36", "one customer's rows", "DATA_DOMINATED", HOLD, ["C-0009"],
        after_history(lambda: bought(
            400, day="2026-05-01", buyer=lambda n: customer(9 if n % 4 else n % 60)))),
    Row("37", "most of the catalogue gone", "DRIFT_SHRINK", HOLD, ["24", "3"],
        sends("products.csv", lambda: catalogue(
            *(f"{product(n)},acme product {n},even,2.5" for n in range(3)),
            more="name,category,price"))),
    Row("38", "many times the rows", "DRIFT_VOLUME", HOLD, ["are usual"],
        after_history(lambda: bought(3000, day="2026-05-01"))),
    Row("39", "other ids", "DRIFT_REKEY", HOLD, ["ids"],
        sends("customers.csv", lambda: catalogue(
            *(f"K{n},acme customer {n}" for n in range(60)), column="customer_id", more="name"))),
    Row("40", "all ratings are the same", "DRIFT_VARIANCE", HOLD, ["ratings"],
        sends("interactions.csv", lambda: bought(300, event="rating", value=lambda n: "1"))),
    Row("41", "unknown products", "REF_UNKNOWN", QUARANTINE, ["product_id", "products"],
        sends("interactions.csv", lambda: bought(
            150, *(odd(product_id=f"N-{n}") for n in range(10)))),
        otherwise="the code is REF_UNKNOWN, of customers too"),
    Row("41b", "mostly unknown products", "REF_UNKNOWN", HOLD, ["unknown"],
        sends("interactions.csv", lambda: bought(
            900, what=lambda n: product(n % 23) if n % 2 else f"N-{n % 23}"))),
    Row("42", "another tenant's file", "TENANT_MISMATCH", REFUSE, ["another tenant"],
        sends("interactions.parquet", lambda: parquet(three(), **{"recfactory.tenant": BETA}))),
    Row("43", "a pickle", "FORMAT_FORBIDDEN", REFUSE, ["Python objects"],
        sends("interactions.csv", lambda: pickle.dumps([{"customer_id": "C-1"}]))),
    Row("43b", "an array", "FORMAT_FORBIDDEN", REFUSE, ["Python objects"],
        sends("interactions.csv", array)),
    Row("44", "Parquet with a map", "PARQUET_UNSUPPORTED", REFUSE, ["'extra'", "map"],
        sends("interactions.parquet", lambda: parquet(three() | {
            "extra": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64()))}))),
    Row("45", "JSON read in two ways", "JSON", REFUSE, [],
        lambda door: door.post(b'{"events": [], "events": []}'), 422,
        "over HTTP the code is JSON, at 422 like every body of another shape"),
    Row("45b", "a JSON line read in two ways", "JSON_INVALID", QUARANTINE, ["product_id", "2"],
        sends("products.jsonl", lambda: "".join(
            json.dumps({"product_id": product(n), "name": f"acme product {n}", "category": "even",
                        "price": 2.5}) + "\n" for n in range(24))
            + '{"product_id": "P", "product_id": "Q"}\n'),
        otherwise="a line of a file is a row: it is quarantined, and the others are taken"),
    Row("46", "feedback on an unknown product", "FEEDBACK_UNKNOWN_REF", QUARANTINE, ["catalogue"],
        lambda door: door.tell(event(product_id="acme-P-99")), 200,
        "200 with a result for each event; what is refused is told, not stored"),
    Row("46b", "feedback too old", "FEEDBACK_TIME", QUARANTINE, ["30 days"],
        lambda door: door.tell(event(occurred_at="2020-01-01T10:00:00Z")), 200),
    Row("47", "an event id with another content", "IDEMPOTENCY_MISMATCH", QUARANTINE, ["before"],
        twice, 200, "a result of that event in a letter of many, so 200 and not 409"),
    Row("48", "a letter partly bad", "VALUE_CHOICE", QUARANTINE, ["kind"], partly, 200,
        "200 with a result for each event"),
    Row("48b", "a body over the limit", "BODY_TOO_LARGE", REFUSE, [],
        lambda door: door.post(b" " * (2 << 20)), 413),
    Row("48c", "a body of another kind", "CONTENT_TYPE", REFUSE, [],
        lambda door: door.post(b"{}", "text/plain"), 415),
)  # fmt: skip

ALERTS = {code.name for code in CODES if code.alert}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def door(
    night: Night,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Door]:
    world = night.world(tmp_path)
    # The template of tests holds nothing and keeps what comes twice.
    shipped = {"intake.holds": HoldSettings().model_dump(), "intake.duplicates": "drop"}
    for name in (ACME, BETA):
        world.stores.ledger.change_settings(name, shipped, by="test", at=NOW)
    monkeypatch.chdir(tmp_path)
    yield Door(world, night, Cli(world.config.home, capsys, monkeypatch), monkeypatch)
    world.stores.engine.dispose()


def served(world: World, name: str) -> dict[str, str]:
    """What lookups of a tenant read, by its hash."""
    folder = folder_of(world, name)
    editions = contents(folder / "editions")
    return editions | {"CURRENT": (folder / "CURRENT").read_text()}


def accepted(world: World, name: str) -> dict[str, str]:
    """What a tenant's next night would read, by its hash."""
    folder = folder_of(world, name) / "data"
    files = contents(folder)
    uid = world.stores.ledger.tenant(name).uid
    counts = [
        str(path.relative_to(folder))
        for table in ("customers", "products", "interactions")
        for path in world.stores.datasets.files(uid, table)
    ]
    return {name: files[name] for name in ["DATASET.json", *counts]}


def echoed(answer: str, sent: bytes) -> str:
    """A stretch of what was sent that the answer repeats and that is longer than it may be."""
    text = sent.decode("latin-1")
    for start in range(max(0, len(answer) - ECHO)):
        piece = answer[start : start + ECHO + 1]
        if piece in text:
            return piece
    return ""


def test_every_class_has_its_row() -> None:
    assert {int(row.number.rstrip("bc")) for row in ROWS} == set(range(1, 49))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}-{row.name.replace(' ', '-')}")
def test_a_class_has_its_exact_answer(
    row: Row, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    world = door.world
    lists = served(world, ACME)
    of_beta = served(world, BETA), accepted(world, BETA)
    caplog.set_level(logging.WARNING)

    answer = row.do(door)

    shown = f"{answer.status}: {answer.text[:2000]}"
    if row.code:
        assert row.code in answer.codes, shown
    assert [words for words in row.says if words not in answer.text] == [], shown
    assert answer.status == (STATUS[row.effect] if row.status is None else row.status), shown
    assert "Traceback" not in answer.text + caplog.text
    assert echoed(answer.text, door.sent) == ""
    alerts = [line for line in caplog.records if line.name == "recfactory.security"]
    assert bool(alerts) == (row.code in ALERTS)
    assert served(world, ACME) == lists
    if row.effect in (REFUSE, HOLD):
        assert accepted(world, ACME) == door.kept
    assert (served(world, BETA), accepted(world, BETA)) == of_beta


def test_a_sample_delivery_of_these_rows_is_fine(door: Door) -> None:
    """So that each row is about its fault, and about nothing else."""
    answer = door.send("interactions.csv", bought(30))

    assert (answer.status, answer.codes) == (0, frozenset())
    assert accepted(door.world, ACME) != door.kept
