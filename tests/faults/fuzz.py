"""Any bytes at all as a delivery, in a process whose memory and time are bounded.

python -m tests.faults.fuzz FOLDER SECONDS SEED [crash|hang|memory|error]

Files of every format we take, and of some that we do not, are mutated by Hypothesis (bits
flipped, cut, spliced, fields made long, headers made odd, inside their compression and outside it)
and imported through the door that every other one calls. Whatever comes of a delivery, it has a
code: accepted, held or refused. The last word names a defect that is planted, to see it caught.

FOLDER keeps the case that runs now: after a crash it is the one to look at. It also keeps those that
took more memory than any before. One line of JSON
at the end; exit status 0 only if nothing was found.
"""

import csv
import ctypes
import faulthandler
import gzip
import io
import json
import resource
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs.intake import import_files
from schema.errors import FactoryError, Problem, during
from tests.world import ACME, NOW, World, open_world

MOST_SECONDS = 10
"""For one delivery of a few kilobytes: what takes longer hangs."""
BOMB_SECONDS = 120
"""For the one that is read up to the limit on what may be unpacked."""
MOST_MEMORY = 768 << 20
"""Above what the process had before the first delivery: two files of storage.parts.FILE_ROWS rows,
one of them sorted while the next comes in, and half again; the bomb is let in up to its limit."""
AT_ONCE = 150
"""Deliveries to one installation, before the next begins anew."""


def _day(number: int) -> str:
    return f"2026-03-{1 + number % 28:02}T10:00:00Z"


Rows = list[list[str]]
"""The header and the lines of a table, as texts."""

_IDS = [f"C-{n}" for n in range(40)]
_PRODUCTS = [f"P-{n}" for n in range(7)]
TABLES: dict[str, Rows] = {
    "customers": [
        ["customer_id", "name", "segment"],
        *([customer, f"Gasthof {customer}, Zürich", "pub"] for customer in _IDS),
    ],
    "products": [
        ["product_id", "name", "price", "status"],
        *(
            [product, f'{product} "dark"', f"{n}.25", "sellable"]
            for n, product in enumerate(_PRODUCTS)
        ),
    ],
    "interactions": [
        ["customer_id", "product_id", "event", "quantity", "value", "occurred_at"],
        *(
            [_IDS[n % 40], _PRODUCTS[n % 7], "purchase", str(1 + n % 5), f"{n}.5", _day(n)]
            for n in range(120)
        ),
    ],
}


def _csv(rows: Rows, delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def _json_lines(rows: Rows) -> bytes:
    header, *lines = rows
    return "".join(
        f"{json.dumps(dict(zip(header, line, strict=True)))}\n" for line in lines
    ).encode()


def _parquet(rows: Rows, compression: str) -> bytes:
    header, *lines = rows
    columns = {
        name: [float(cell) if name in ("price", "quantity", "value") else cell for cell in cells]
        for name, cells in zip(header, zip(*lines, strict=True), strict=True)
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression=compression, row_group_size=50)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, 1, mtime=0),
    ".zst": _zstd,
}
PLAIN: dict[str, dict[str, bytes]] = {
    table: {
        "comma.csv": _csv(rows),
        "semicolon.csv": _csv(rows, ";"),
        "tab.csv": _csv(rows, "\t"),
        "utf16.csv": _csv(rows).decode().encode("utf-16"),
        "lines.jsonl": _json_lines(rows),
        "snappy.parquet": _parquet(rows, "snappy"),
        "zstd.parquet": _parquet(rows, "zstd"),
    }
    for table, rows in TABLES.items()
}
"""Files by table and name, before they are packed."""


def _bomb(megabytes: int) -> bytes:
    """One short row, again and again, in gzip."""
    packer = zlib.compressobj(9, wbits=31)
    block = b"C-1,P-1,,,,2026-03-01\n" * (2**20 // 22)
    head = packer.compress(",".join(TABLES["interactions"][0]).encode() + b"\n")
    return b"".join([head, *(packer.compress(block) for _ in range(megabytes)), packer.flush()])


BOMB = _bomb(400)
NAMES = [name for rows in TABLES.values() for name in rows[0]]
ODD = [
    b"", b"\0", b"\xff", b'"', b"'", b"\r", b"\n", b";", b",", b"\t", b"{", b"[" * 3000, b"NaN",
    b"-inf", b"1e999", b"9" * 400, b"=cmd|' /C calc'!A0", "\u202e\u2028".encode(), b"\xef\xbb\xbf",
    b"\xff\xfe", b"\x1b[31m", b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\x80\x04\x95", b"x" * 70_000,
    b'"' + b"y" * 140_000 + b'"', b",,,,,,,,,", b"2026-13-45", b"12.03.2026 25:61", b"C-1\x00",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A delivery: what its file is called, and its bytes."""

    table: str
    name: str
    body: bytes


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A file of ours, mutated inside its packing or outside it, under its own name or another."""
    table = draw(st.sampled_from(["interactions", "interactions", "customers", "products"]))
    files = PLAIN[table]
    name = draw(st.sampled_from(sorted(files)))
    packing = draw(st.sampled_from(sorted(PACKED)))
    body = files[name]
    where = draw(st.sampled_from(["inside", "inside", "outside", "both"]))
    if where != "outside":
        body = draw(mutated(body, files))
    body = PACKED[packing](body)
    if where != "inside":
        body = draw(mutated(body, files))
    if draw(st.integers(0, 5)) == 0:
        name = draw(
            st.sampled_from(["other.csv", "other.parquet", "other.jsonl", "other", "o.zip"])
        )
    return Case(table, f"{name}{packing}", body)


@st.composite
def mutated(draw: st.DrawFn, body: bytes, files: Mapping[str, bytes]) -> bytes:
    """One to four mutations of a file; another one is spliced in."""
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(body)))
        until = min(len(body), place + draw(st.integers(0, 600)))
        match draw(
            st.sampled_from(["flip", "cut", "drop", "repeat", "splice", "insert", "header"])
        ):
            case "flip" if place < len(body):
                bit = 1 << draw(st.integers(0, 7))
                body = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
            case "cut":
                body = body[:place]
            case "drop":
                body = body[:place] + body[until:]
            case "repeat":
                body = body[:place] + body[place:until] * draw(st.integers(2, 50)) + body[until:]
            case "splice":
                other = files[draw(st.sampled_from(sorted(files)))]
                start = draw(st.integers(0, len(other)))
                body = body[:place] + other[start : start + 500] + body[until:]
            case "insert":
                body = body[:place] + draw(st.sampled_from(ODD)) + body[place:]
            case "header":
                names = draw(st.lists(st.text(max_size=12) | st.sampled_from(NAMES), max_size=9))
                _, _, rest = body.partition(b"\n")
                body = ",".join(names).encode("utf-8", "replace") + b"\n" + rest
    return body


class Trial:
    """Installations to whom everything is delivered, and what came of it."""

    def __init__(self, folder: Path, planted: str) -> None:
        self._folder, self._planted = folder, planted
        self.came: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.cases = 0
        self.most_grown = 0

    def world(self, number: int) -> World:
        place = self._folder / f"world-{number}"
        place.mkdir(parents=True)
        world = open_world(place)
        world.add(ACME)
        files = {table: place / f"{table}.csv" for table in ("customers", "products")}
        for table, path in files.items():
            path.write_bytes(PLAIN[table]["comma.csv"])
        self._import(world, files, dry_run=False)
        return world

    def deliver(self, world: World, case: Case, most_seconds: float = MOST_SECONDS) -> None:
        path = self._folder / case.name
        path.write_bytes(case.body)
        self.cases += 1
        before = peak()
        most = 2 if self._planted else most_seconds
        faulthandler.dump_traceback_later(most, exit=True)
        try:
            # Every fourth is kept, so that storing is part of the trial and its disk is not.
            self._import(world, {case.table: path}, dry_run=self.cases % 4 != 0)
        except FactoryError as error:
            told = str(error)
            assert isinstance(error.problem, Problem)
            assert error.problem.code != "PROBLEM", told
            assert told.isprintable(), told
            assert len(told) < 1000, told
            self.came["refused"] += 1
            self.codes[error.problem.code] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        grown = peak() - before
        if grown > self.most_grown:
            self.most_grown = grown
            path.rename(self._folder / f"most-memory-{case.name}")
        else:
            path.unlink()

    def _import(self, world: World, files: dict[str, Path], *, dry_run: bool) -> None:
        limits = world.config.template.intake
        tenant = world.tenant(ACME)
        with patch("jobs.intake.during", _planted(self._planted, during)):
            report = import_files(
                world.stores, tenant, files, limits, by="fuzz", now=NOW, dry_run=dry_run
            ).as_json()
        for table in report["tables"]:
            lost = table["read"] - table["accepted"] - table["quarantined"]
            assert lost == 0, table
        self.came[report.get("state", "accepted")] += 1


def _planted(defect: str, sound: Callable[..., object]) -> Callable[..., object]:
    """The step that every import begins with, with a defect in it."""

    def worse(*place: str) -> object:
        match defect:
            case "crash":
                ctypes.string_at(0)
            case "hang":
                time.sleep(MOST_SECONDS * 2)
            case "memory":
                bytearray(MOST_MEMORY * 2)
            case "error":
                raise KeyError("planted")
        return sound(*place)

    return worse if defect else sound


def peak() -> int:
    """Bytes this process has had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def data_size() -> int:
    """Bytes of private writable memory this process has asked for."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def deliver_all(trial: Trial, world: World, seed: int, end: float) -> None:
    """Deliver what Hypothesis draws with a seed, until the time is over."""

    @hypothesis.seed(seed)
    @settings(
        max_examples=AT_ONCE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def each(case: Case) -> None:
        if time.monotonic() < end:
            trial.deliver(world, case)

    each()


def main(folder: Path, seconds: float, seed: int, planted: str = "") -> None:
    trial = Trial(folder, "")
    warm = trial.world(0)
    trial._planted = planted
    for name, body in PLAIN["interactions"].items():
        if not planted:
            trial.deliver(warm, Case("interactions", name, body))
    before = peak()
    most = data_size() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    if not planted:
        trial.deliver(warm, Case("interactions", "bomb.csv.gz", BOMB), BOMB_SECONDS)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        world = trial.world(number) if not planted else warm

        deliver_all(trial, world, seed * 1_000_000 + number, end)
        world.stores.engine.dispose()
    figures = {
        "seed": seed,
        "cases": trial.cases,
        **trial.came,
        "codes": dict(trial.codes.most_common()),
        "peak_mib": (peak() - before) >> 20,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    faulthandler.enable()
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
