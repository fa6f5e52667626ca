"""Importing many interactions against bare PyArrow, which reads the same file and writes Parquet.

    python -m benchmarks.intake [--rows 10000000] [--format csv|parquet|both] [--json]

Each is done in a process of its own, one after the other, on made interactions (seeded): 100,000
customers, 20,000 products, times to the second. Bare PyArrow parses the same columns with all the
threads it likes and writes one Parquet file, zstd; it checks nothing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from jobs.intake import import_files
from schema.config import Config
from schema.names import TenantId
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

NOW = datetime(2026, 4, 1, tzinfo=UTC)
CUSTOMERS, PRODUCTS = 100_000, 20_000
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of taking a file in.

    Attributes:
        peak: bytes of memory at most, the interpreter and its libraries included.
    """

    what: str
    rows: int
    seconds: float
    peak: int

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rows", type=int, default=10 * MILLION)
    arguments.add_argument("--format", choices=["csv", "parquet", "both"], default="both")
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--only", choices=["bare", "ours"], help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = arguments.parse_args(given)
    if asked.only:
        _inside(asked.only, asked.folder, asked.format)
        return
    formats = ["csv", "parquet"] if asked.format == "both" else [asked.format]
    with tempfile.TemporaryDirectory() as folder:
        runs = {form: measure(Path(folder), form, asked.rows) for form in formats}
    if asked.json:
        told = {
            form: {run.what: {**asdict(run), "rows_per_second": run.rate} for run in pair}
            | {"share_of_bare": pair[1].rate / pair[0].rate}
            for form, pair in runs.items()
        }
        print(json.dumps(told, indent=2))
    else:
        show(runs)


def measure(folder: Path, form: str, rows: int) -> tuple[Measured, Measured]:
    """Bare PyArrow, then an import, of the same made file."""
    place = folder / form
    make(place, form, rows)
    return _apart(place, form, rows, "bare"), _apart(place, form, rows, "ours")


def make(folder: Path, form: str, rows: int) -> None:
    """Write customers, products and interactions in a format."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    customers = np.array([f"C-{number:06}" for number in range(CUSTOMERS)])
    products = np.array([f"P-{number:05}" for number in range(PRODUCTS)])
    _write(folder, form, "customers", pa.table({"customer_id": customers}))
    _write(folder, form, "products", pa.table({"product_id": products}))
    writer = None
    for start in range(0, rows, MILLION):
        some = min(MILLION, rows - start)
        now = int(NOW.timestamp())
        seconds = rng.integers(now - 3 * 365 * 86_400, now, some)
        quantity = rng.integers(1, 20, some)
        chunk = pa.table(
            {
                # Uneven as real ones, but nobody so large that the delivery waits for a person.
                "customer_id": customers[(CUSTOMERS * rng.random(some) ** 3).astype(int)],
                "product_id": products[(PRODUCTS * rng.random(some) ** 3).astype(int)],
                "event": pa.array(["purchase"] * some),
                "quantity": quantity.astype(float),
                "value": np.round(quantity * rng.uniform(0.5, 90, some), 2),
                "occurred_at": pa.array(seconds, pa.timestamp("s", "UTC")),
            }
        )
        if form == "csv":
            times = chunk["occurred_at"].cast(pa.string())
            chunk = chunk.set_column(5, "occurred_at", times)
        writer = writer or _opened(folder, form, chunk.schema)
        writer.write_table(chunk)
    if writer is not None:
        writer.close()


def _opened(folder: Path, form: str, schema: pa.Schema) -> pc_csv.CSVWriter | pq.ParquetWriter:
    path = folder / f"interactions.{form}"
    return pc_csv.CSVWriter(path, schema) if form == "csv" else pq.ParquetWriter(path, schema)


def _write(folder: Path, form: str, name: str, rows: pa.Table) -> None:
    path = folder / f"{name}.{form}"
    if form == "csv":
        pc_csv.write_csv(rows, path)
    else:
        pq.write_table(rows, path)


def _apart(folder: Path, form: str, rows: int, what: str) -> Measured:
    """Measured in a process of its own: its peak of memory is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.intake", "--only", what]
    done = subprocess.run(
        [*command, "--folder", str(folder), "--format", form],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak = json.loads(done.stdout)
    return Measured(what, rows, seconds, peak)


def _inside(what: str, folder: Path, form: str) -> None:
    seconds = bare(folder, form) if what == "bare" else ours(folder, form)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([seconds, peak]))


def bare(folder: Path, form: str) -> float:
    """Seconds to read the interactions and write them as Parquet."""
    path = folder / f"interactions.{form}"
    begin = time.perf_counter()
    rows = pc_csv.read_csv(path) if form == "csv" else pq.read_table(path)
    pq.write_table(rows, folder / "bare.out", compression="zstd")
    return time.perf_counter() - begin


def ours(folder: Path, form: str) -> float:
    """Seconds to import the interactions; who and what they point to is there already."""
    config = Config(home=folder / "home")
    make_secret(config.home, Disk())
    stores = open_stores(config)
    tenant = stores.ledger.register(TenantId("bench"), "t-b", "bench", "UTC", by="bench", at=NOW)
    files = {name: folder / f"{name}.{form}" for name in ("customers", "products")}
    limits = config.template.intake.model_copy(update={"max_file_bytes": 2**40})
    import_files(stores, tenant, files, limits, by="bench", now=NOW)
    begin = time.perf_counter()
    files = {"interactions": folder / f"interactions.{form}"}
    report = import_files(stores, tenant, files, limits, by="bench", now=NOW).as_json()
    seconds = time.perf_counter() - begin
    if report["state"] != "accepted":
        raise RuntimeError(f"the made interactions were not accepted: {report['reasons']}")
    return seconds


def show(runs: dict[str, tuple[Measured, Measured]]) -> None:
    """Print the table."""
    table = Table("what", "rows", "seconds", "rows/s", "peak MB", "share of bare")
    for form, (bare_run, ours_run) in runs.items():
        for run, name in ((bare_run, f"{form}: bare PyArrow"), (ours_run, f"{form}: import")):
            table.add_row(
                name,
                f"{run.rows:,}",
                f"{run.seconds:.1f}",
                f"{run.rate:,.0f}",
                f"{run.peak / 1e6:,.0f}",
                f"{run.rate / bare_run.rate:.0%}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
