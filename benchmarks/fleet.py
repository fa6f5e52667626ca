"""The real fleet's night against the bare library, in the same run.

    python -m benchmarks.fleet [--every 20] [--home FOLDER]

Every manufacturer of The Complete Journey is a tenant (``recfactory demo --fleet``), or every so
many of them, in the order of their sizes. The night is a whole one: nothing is skipped, models are
trained and judged where there is enough to judge by, every list is published with every fsync. It
runs in a process of its own, with its workers: what is measured is theirs alone.

The floor is what nobody can do without: one ``implicit`` fit (32 factors, 15 iterations, one
thread) plus its ``recommend`` for all customers, of every tenant with at least 5 customers and 3
products, as it comes.

A home that is kept spares the next run its imports, not its night: nights that were done before are
left out of all figures. Copy it before a run to repeat that.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from benchmarks.meters import Peak, core_seconds, stolen, together
from jobs.cli.progress import bar
from jobs.demo import NIGHTS, Part, parts
from jobs.fleet import run_fleet, tonight
from jobs.many import take_in
from jobs.results import Result, tenant_of, word_of
from schema.config import Config
from schema.names import TenantId
from schema.records import NightReport
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

LEAST = 5, 3
"""Customers and products from which on the floor fits a tenant."""


@dataclass(frozen=True, slots=True)
class Night:
    """What one night of many tenants took; those that had been done before are not among them.

    Attributes:
        tenants: by name, whose night it was.
        wall: seconds; core_seconds: of all processes, their start-up included; driver: of the one
            that begins and publishes.
        stages: core-milliseconds a tenant, by stage; clock: the same by the worker's clock.
        peak_mib: memory of all processes at once; what they share counts once.
        stolen: core-seconds that the host of a virtual machine gave to others meanwhile.
    """

    tenants: tuple[TenantId, ...]
    wall: float
    core_seconds: float
    driver: float
    stages: dict[str, float]
    clock: dict[str, float]
    peak_mib: float
    stolen: float
    outcomes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """A night, its rows and its floor; floor_core_seconds: of the same tenants."""

    night: Night
    rows: int
    floor_core_seconds: float
    floor_tenants: int

    def figures(self) -> dict[str, Any]:
        """Ready for JSON."""
        night = self.night
        tenants = len(night.tenants)
        return {
            "tenants": tenants,
            "rows": self.rows,
            "wall": night.wall,
            "tenants_a_minute": 60 * tenants / night.wall,
            "core_seconds": night.core_seconds,
            "core_ms_a_tenant": 1000 * night.core_seconds / tenants,
            "stages_core_ms": night.stages,
            "stages_clock_ms": night.clock,
            "driver_core_ms": 1000 * night.driver / tenants,
            "peak_mib": night.peak_mib,
            "stolen": night.stolen,
            "floor_core_seconds": self.floor_core_seconds,
            "floor_tenants": self.floor_tenants,
            "ratio": night.core_seconds / self.floor_core_seconds,
            "outcomes": night.outcomes,
        }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--every", type=int, default=1, help="one tenant of so many")
    arguments.add_argument("--home", type=Path, help="keep what was imported here for the next run")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.home or Path(folder), asked.every, quiet=asked.json)
    if asked.json:
        print(json.dumps(found.figures()))
    else:
        show(found.figures())


def measure(home: Path, every: int, *, quiet: bool = True) -> Measured:
    """Import where that was not done before, then one night, then the floor."""
    made = parts()[::every]  # they come by size, the largest first
    config, names = imported(home, made, quiet=quiet)
    night = alone(config, names, NIGHTS[-1])
    if not night.tenants:
        raise SystemExit(
            f"every night in {home} was done before: measure in a copy of a fresh home"
        )
    done = [part for part in made if f"m{part.number}" in night.tenants]
    floors = [floor(part) for part in done if fits(part)]
    return Measured(night, sum(len(part.lines) for part in done), sum(floors), len(floors))


def imported(home: Path, made: Sequence[Part], *, quiet: bool) -> tuple[Config, list[TenantId]]:
    """A home with these manufacturers; those that are there already stay as they are."""
    config = Config(home=home.absolute())
    make_secret(home, Disk())
    stores = open_stores(config)
    with bar(quiet=quiet) as progress:
        task = progress.add_task("imports", total=len(made))
        names = take_in(
            stores, config, made, home / "demo", lambda *_: progress.advance(task), by="benchmark"
        )
    stores.engine.dispose()
    return config, names


def alone(config: Config, names: list[TenantId], night: date) -> Night:
    """One night of all of them, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as one:
        return one.submit(timed, config, names, night).result()


def fits(part: Part) -> bool:
    customers, products = LEAST
    return bool(
        part.lines["household_id"].nunique() >= customers
        and part.lines["product_id"].nunique() >= products
    )


def floor(part: Part) -> float:
    """Core-seconds of the bare fit and recommend."""
    _, customer = np.unique(part.lines["household_id"], return_inverse=True)
    _, product = np.unique(part.lines["product_id"], return_inverse=True)
    bought = csr_matrix((np.ones(len(customer), np.float32), (customer, product)))
    begin = time.process_time()
    model = AlternatingLeastSquares(factors=32, iterations=15, random_state=0, num_threads=1)
    model.fit(bought, show_progress=False)
    model.recommend(np.arange(bought.shape[0]), bought)
    return time.process_time() - begin


def timed(config: Config, names: list[TenantId], night: date) -> Night:
    """One night of all of them."""
    stores = open_stores(config)
    began = datetime.now(UTC)
    with Peak(together) as memory:
        begin, own, used = time.perf_counter(), time.process_time(), core_seconds()
        elsewhere = stolen()
        tasks = tonight(stores, names, night, began)
        results = run_fleet(stores, config, tasks, lambda _: None)
        wall, core = time.perf_counter() - begin, core_seconds() - used
        driver, elsewhere = time.process_time() - own, stolen() - elsewhere
    done = [result for result in results if not _before(result, began)]
    return Night(
        tenants=tuple(tenant_of(result) for result in done),
        wall=wall,
        core_seconds=core,
        driver=driver,
        stages=by_stage(done, "core_seconds"),
        clock=by_stage(done, "seconds"),
        peak_mib=memory.most / 2**20,
        stolen=elsewhere,
        outcomes=dict(Counter(map(word_of, done))),
    )


def _before(result: Result, began: datetime) -> bool:
    """Whether the night was done by an earlier run, and only told again."""
    return isinstance(result, NightReport) and result.started_at < began


def by_stage(results: Sequence[Result], figure: str) -> dict[str, float]:
    """Milliseconds a tenant, whether it went through the stage or not."""
    spent: Counter[str] = Counter()
    for result in results:
        if isinstance(result, NightReport):
            spent.update(result.figures.get(figure, {}))
    return {stage: 1000 * seconds / len(results) for stage, seconds in spent.items()}


def show(told: Mapping[str, Any]) -> None:
    """Print the table."""
    table = Table("what", "figure", title=f"One night of {told['tenants']:,} tenants")
    table.add_row("lines", f"{told['rows']:,}")
    table.add_row("wall", f"{told['wall']:.1f} s on {os.cpu_count()} cores")
    table.add_row("tenants a minute", f"{told['tenants_a_minute']:,.0f}")
    table.add_row("core-milliseconds a tenant", f"{told['core_ms_a_tenant']:.1f}")
    for stage, used in told["stages_core_ms"].items():
        clock = told["stages_clock_ms"][stage]
        table.add_row(f"  {stage}", f"{used:.1f} ({clock:.1f} by the clock)")
    rest = told["core_ms_a_tenant"] - told["driver_core_ms"] - sum(told["stages_core_ms"].values())
    table.add_row("  begin and publish, by one for all", f"{told['driver_core_ms']:.1f}")
    table.add_row("  starting workers, and what is in no stage", f"{rest:.1f}")
    table.add_row("memory of all processes", f"{told['peak_mib']:,.0f} MiB")
    table.add_row("core-seconds", f"{told['core_seconds']:.1f}")
    table.add_row("stolen by the machine's host", f"{told['stolen']:.1f}")
    floor_ = f"{told['floor_core_seconds']:.1f}"
    table.add_row(f"floor, {told['floor_tenants']:,} tenants", floor_)
    table.add_row("night × floor", f"{told['ratio']:.1f}")
    for word, count in Counter(told["outcomes"]).most_common():
        table.add_row(word, f"{count:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
