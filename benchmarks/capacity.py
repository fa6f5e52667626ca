"""What many tenants need, from what a night of a few was measured to cost.

    python -m benchmarks.capacity --measure [--tenants 265] > figures.json
    python -m benchmarks.capacity [figures.json] [--hours 4]

The first measures one night of so many manufacturers of The Complete Journey, evenly over their
sizes, and of the four largest: on other machines, or with tenants of your own, the figures are
others. The second prints the tables of docs/capacity.md, from ``benchmarks/capacity.json`` if no other
file is named; ``--write`` puts them there.
"""

import argparse
import json
import math
import os
import re
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import psutil

from benchmarks.meters import OWN, WORKERS, Peak, core_seconds, largest
from jobs.demo import NIGHTS, Part, parts
from jobs.fleet import run_fleet, tonight
from jobs.many import take_in
from schema.config import Config
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

FIGURES = Path(__file__).with_suffix(".json")
PAGE = Path(__file__).parent.parent / "docs" / "capacity.md"
BLOCK = re.compile(r"(<!-- capacity -->\n).*?(<!-- /capacity -->)", re.DOTALL)

SIZES = 4_000, 40_000, 4_000_000
LARGEST = 4
BUSY = 0.7
"""Of a core's time, how much is counted on: nodes die, and the last tenants do not fill them all."""

NIGHTLY = "nights", "models", "editions", "realised"
"""Tables of the ledger that a night writes to."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One night of some tenants, per tenant but for the memory.

    Attributes:
        rows: interactions; worker_ms, driver_ms: core-milliseconds of the workers, start-up left in,
            and of the process that begins and publishes the nights.
        data, edition, model: bytes on disk; files: of data, a model and an edition together.
        ledger_rows, ledger_bytes: what the night added to the ledger.
        worker_mib, driver_mib: the most that one worker held, and the driver.
    """

    tenants: int
    rows: float
    worker_ms: float
    driver_ms: float
    data: float
    edition: float
    model: float
    files: float
    ledger_rows: float
    ledger_bytes: float
    worker_mib: float
    driver_mib: float


@dataclass(frozen=True, slots=True)
class Needs:
    """What a fleet needs so that its night takes no longer than the hours it has."""

    cores: int
    drivers: int
    memory: float
    disk: float
    files: float
    ledger_rows: float
    ledger_bytes: float


def needs(one: Figures, tenants: int, hours: float, keep: int) -> Needs:
    """Workers' cores, drivers and bytes.

    Args:
        keep: editions and models that stay on disk (publishing.keep_editions, keep_models).
    """
    seconds = hours * 3600 * BUSY
    cores = max(1, math.ceil(tenants * one.worker_ms / 1000 / seconds))
    drivers = max(1, math.ceil(tenants * one.driver_ms / 1000 / seconds))
    return Needs(
        cores=cores,
        drivers=drivers,
        memory=(cores * one.worker_mib + drivers * one.driver_mib) * 2**20,
        disk=tenants * (one.data + keep * (one.edition + one.model)),
        files=tenants * keep * one.files,
        ledger_rows=tenants * one.ledger_rows,
        ledger_bytes=tenants * one.ledger_bytes,
    )


def tables(found: dict[str, Figures], hours: float, keep: int) -> str:
    """Markdown: what was measured, then what follows."""
    lines = [
        "| one tenant | interactions | worker core-ms | driver core-ms | data | an edition | a model | ledger, a night |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, one in found.items():
        lines.append(
            f"| {kind} | {one.rows:,.0f} | {one.worker_ms:,.0f} | {one.driver_ms:,.1f} | {_bytes(one.data)} "
            f"| {_bytes(one.edition)} | {_bytes(one.model)} | {one.ledger_rows:.1f} rows, {_bytes(one.ledger_bytes)} |"
        )
    lines += [
        "",
        f"| tenants, in {hours:g} hours | workers' cores | drivers | memory | disk | files | ledger, a night | ledger, a year |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, one in found.items():
        for tenants in SIZES:
            need = needs(one, tenants, hours, keep)
            lines.append(
                f"| {tenants:,} {kind} | {need.cores:,} | {need.drivers:,} | {_bytes(need.memory)} "
                f"| {_bytes(need.disk)} | {need.files:,.0f} | {need.ledger_rows:,.0f} rows "
                f"| {_bytes(365 * need.ledger_bytes)} |"
            )
    return "\n".join(lines) + "\n"


def _bytes(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:,.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def measured(chosen: Sequence[Part]) -> Figures:
    """One first night of these tenants, nothing skipped."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(home=Path(folder) / "home")
        make_secret(config.home, Disk())
        stores = open_stores(config)
        names = take_in(stores, config, chosen, Path(folder), lambda *_: None, by="benchmark")
        count = len(names)
        before, bytes_before = _rows(config.home), _ledger_bytes(config.home)
        tasks = tonight(stores, names, NIGHTS[-1], datetime.now(UTC))
        own, others = core_seconds(OWN), core_seconds(WORKERS)
        with Peak(largest) as memory:
            run_fleet(stores, config, tasks, lambda _: None)
        own = core_seconds(OWN) - own
        others = core_seconds(WORKERS) - others
        kept = {
            what: [path for path in config.home.glob(f"tenants/*/{what}/**/*") if path.is_file()]
            for what in ("data", "editions", "models")
        }
        sizes = {what: sum(map(_taken, paths)) / count for what, paths in kept.items()}
        models = max(1, len({path.parent for path in kept["models"]}))
        return Figures(
            tenants=count,
            rows=sum(len(part.lines) for part in chosen) / count,
            worker_ms=1000 * others / count,
            driver_ms=1000 * own / count,
            data=sizes["data"],
            edition=sizes["editions"],
            model=sizes["models"] * count / models,
            files=sum(map(len, kept.values())) / count,
            ledger_rows=(_rows(config.home) - before) / count,
            ledger_bytes=(_ledger_bytes(config.home) - bytes_before) / count,
            worker_mib=memory.most / 2**20,
            driver_mib=psutil.Process().memory_info().rss / 2**20,
        )


def _taken(path: Path) -> int:
    """Bytes on disk: a small file takes a whole block."""
    return 512 * path.stat().st_blocks


def _rows(home: Path) -> int:
    with sqlite3.connect(home / "ledger.db") as ledger:
        counted = [ledger.execute(f"select count(*) from {table}") for table in NIGHTLY]
        return sum(row[0] for rows in counted for row in rows)


def _ledger_bytes(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("ledger.db*"))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, or compute."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("figures", type=Path, nargs="?", default=FIGURES)
    asked.add_argument("--hours", type=float, default=4)
    asked.add_argument("--keep", type=int, default=4, help="editions and models kept")
    asked.add_argument("--measure", action="store_true")
    asked.add_argument("--tenants", type=int, default=265)
    asked.add_argument("--write", action="store_true", help="put the tables on the page")
    given = asked.parse_args(words)
    if given.measure:
        made = parts()
        step = max(1, len(made) // given.tenants)
        found = {
            "of all sizes": measured(made[::step]),
            f"as the {LARGEST} largest": measured(made[:LARGEST]),
        }
        print(json.dumps({kind: asdict(one) for kind, one in found.items()}, indent=1))
        return
    known = json.loads(given.figures.read_text())
    told = tables(
        {kind: Figures(**figures) for kind, figures in known.items()}, given.hours, given.keep
    )
    if given.write:
        text = PAGE.read_text()
        PAGE.write_text(BLOCK.sub(lambda match: match[1] + told + match[2], text))
    else:
        print(told, end="")


if __name__ == "__main__":
    main()
