"""The real fleet's night against the bare library, in the same run.

    python -m benchmarks.fleet [--tenants 300] [--home FOLDER]

Every manufacturer of The Complete Journey is a tenant (``recfactory demo --fleet``), or so many of
them, spread evenly over their sizes. The night is a whole one: nothing is skipped, models are
trained and judged where there is enough to judge by, every list is published with every fsync.

The floor is what nobody can do without: one ``implicit`` fit (32 factors, 15 iterations, one
thread) plus its ``recommend`` for all customers, of every tenant with at least 5 customers and 3
products, as it comes.
"""

import argparse
import json
import os
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
import psutil
from implicit.cpu.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from jobs.cli.progress import bar
from jobs.demo import NIGHTS, Part, parts
from jobs.fleet import Result, run_fleet, tonight
from jobs.many import take_in
from schema.config import Config
from schema.names import TenantId
from schema.records import NightReport
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

LEAST = 5, 3
"""Customers and products from which on the floor fits a tenant."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run found.

    Attributes:
        core_seconds: of all processes, their start-up included; floor_core_seconds: of the floor.
        stages: milliseconds a tenant by stage, by the clock of the worker.
        peak_mib: memory of all processes at once; what they share counts once.
    """

    tenants: int
    rows: int
    wall: float
    core_seconds: float
    floor_core_seconds: float
    floor_tenants: int
    stages: dict[str, float]
    peak_mib: float
    outcomes: dict[str, int]

    @property
    def ratio(self) -> float:
        return self.core_seconds / self.floor_core_seconds


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenants", type=int, help="so many instead of all")
    arguments.add_argument("--home", type=Path, help="keep what was imported here for the next run")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.home or Path(folder), asked.tenants, quiet=asked.json)
    if asked.json:
        print(json.dumps({**asdict(found), "ratio": found.ratio}))
    else:
        show(found)


def measure(home: Path, most: int | None, *, quiet: bool = True) -> Measured:
    """Import where that was not done before, then the floor, then one night."""
    made = spread(parts(), most)
    config = Config(home=home.absolute())
    make_secret(home, Disk())
    stores = open_stores(config)
    with bar(quiet=quiet) as progress:
        task = progress.add_task("imports", total=len(made))
        names = take_in(
            stores, config, made, home / "demo", lambda *_: progress.advance(task), by="benchmark"
        )
    floors = [floor(part) for part in made if fits(part)]
    night, core, wall, peak = timed(config, names)
    return Measured(
        tenants=len(names),
        rows=sum(len(part.lines) for part in made),
        wall=wall,
        core_seconds=core,
        floor_core_seconds=sum(floors),
        floor_tenants=len(floors),
        stages=by_stage(night),
        peak_mib=peak,
        outcomes=dict(Counter(_word(result) for result in night)),
    )


def spread(made: Sequence[Part], most: int | None) -> list[Part]:
    """So many parts, evenly over their sizes, the largest among them."""
    if most is None or most >= len(made):
        return list(made)
    return [made[place * len(made) // most] for place in range(most)]


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


def timed(config: Config, names: list[TenantId]) -> tuple[list[Result], float, float, float]:
    """One night of all of them, with core-seconds, seconds and the memory's peak in MiB."""
    stores = open_stores(config)
    with Memory() as memory:
        begin, used = time.perf_counter(), _core_seconds()
        tasks = tonight(stores, names, NIGHTS[-1], datetime.now(UTC))
        results = run_fleet(stores, config, tasks, lambda _: None)
        wall, core = time.perf_counter() - begin, _core_seconds() - used
    return results, core, wall, memory.peak / 2**20


def _core_seconds() -> float:
    """Of this process and of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Memory:
    """Watches what this process and its children hold, twice a second."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.5):
            held = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    held += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, held)


def by_stage(results: Sequence[Result]) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for result in results:
        if isinstance(result, NightReport):
            spent.update(result.figures.get("seconds", {}))
    return {stage: 1000 * seconds / len(results) for stage, seconds in spent.items()}


def _word(result: Result) -> str:
    if not isinstance(result, NightReport):
        return "not run"
    return result.outcome.value if result.outcome else result.state


def show(found: Measured) -> None:
    """Print the table."""
    table = Table("what", "figure", title=f"One night of {found.tenants:,} tenants")
    table.add_row("lines", f"{found.rows:,}")
    table.add_row("wall", f"{found.wall:.1f} s on {os.cpu_count()} cores")
    table.add_row("tenants a minute", f"{60 * found.tenants / found.wall:,.0f}")
    each = 1000 * found.core_seconds / found.tenants
    table.add_row("core-milliseconds a tenant", f"{each:.1f}")
    for stage, milliseconds in found.stages.items():
        table.add_row(f"  {stage}, by the worker's clock", f"{milliseconds:.1f} ms")
    table.add_row("memory of all processes", f"{found.peak_mib:,.0f} MiB")
    table.add_row("core-seconds", f"{found.core_seconds:.1f}")
    table.add_row(f"floor, {found.floor_tenants:,} tenants", f"{found.floor_core_seconds:.1f}")
    table.add_row("night × floor", f"{found.ratio:.1f}")
    for word, count in Counter(found.outcomes).most_common():
        table.add_row(word, f"{count:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
