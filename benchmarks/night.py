"""One tenant's night against the bare library, in the same run.

    python -m benchmarks.night [--tenant m2] [--runs 3]

The floor is what nobody can do without: one ``implicit`` fit (32 factors, 15 iterations, one
thread) plus its ``recommend`` for all customers, as it comes, on the same purchases.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table

from factory.evidence import taste
from factory.history import from_tables
from jobs.data import read_data
from jobs.demo import LAST_DAY, NIGHTS, write_demo
from jobs.intake import import_files
from jobs.night import run_night
from schema.config import Config
from schema.dates import day_number
from schema.names import TenantId
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import Stores, open_stores
from tenants.order import zone


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one run."""

    floor: float
    night: float
    stages: dict[str, float]


def main() -> None:
    """Measure and print; figures are medians over the runs, the ratio is paired."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenant", default="m2")
    arguments.add_argument("--runs", type=int, default=3)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [measure(Path(folder) / str(run), asked.tenant) for run in range(asked.runs)]
    show(asked.tenant, runs)


def measure(home: Path, name: str) -> Measured:
    """A fresh installation, the first night to have an incumbent, then the timed one."""
    config = Config(home=home)
    make_secret(home, Disk())
    stores = open_stores(config)
    made = next(tenant for tenant in write_demo(home / "demo", 12) if tenant.tenant == name)
    now = datetime.now(UTC)
    known = stores.ledger.register(made.tenant, "t-bench", made.title, "UTC", by="bench", at=now)
    import_files(stores, known, made.files, config.template.intake, by="benchmark", now=now)
    run_night(stores, config, made.tenant, NIGHTS[0], lambda: now)
    bare = floor(stores, config, made.tenant)
    begin = time.perf_counter()
    report = run_night(stores, config, made.tenant, NIGHTS[1], lambda: now)
    return Measured(bare, time.perf_counter() - begin, dict(report.figures["seconds"]))


def floor(stores: Stores, config: Config, name: TenantId) -> float:
    """Bare fit and recommend."""
    data = read_data(stores, stores.ledger.tenant(name), LAST_DAY)
    told = from_tables(
        data.customers, data.products, data.interactions, config.template, zone("UTC"), LAST_DAY
    )
    weights = taste(told, day_number(LAST_DAY), 60)
    rows = np.flatnonzero(np.diff(weights.indptr))
    begin = time.perf_counter()
    model = AlternatingLeastSquares(factors=32, iterations=15, random_state=0, num_threads=1)
    model.fit(weights, show_progress=False)
    model.recommend(rows, weights[rows])
    return time.perf_counter() - begin


def show(name: str, runs: list[Measured]) -> None:
    """Print the table."""
    table = Table("what", "seconds", "× floor", title=f"One night of {name}, {len(runs)} runs")
    floors = statistics.median(run.floor for run in runs)
    table.add_row("floor: implicit fit + recommend", f"{floors:.2f}", "1.0")
    for stage in runs[0].stages:
        seconds = [run.stages[stage] for run in runs]
        ratio = statistics.median(run.stages[stage] / run.floor for run in runs)
        table.add_row(f"  {stage}", f"{statistics.median(seconds):.2f}", f"{ratio:.1f}")
    ratio = statistics.median(run.night / run.floor for run in runs)
    table.add_row("whole night", f"{statistics.median(r.night for r in runs):.2f}", f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
