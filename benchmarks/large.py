"""One tenant a hundred times as large as each other one: how long it keeps the others waiting.

    python -m benchmarks.large [--tenants 40] [--runs 3] [--home FOLDER]

So many small tenants (``benchmarks.middle`` makes them, 900 purchases each), and one of its own size,
90,000. Every run is two first nights on two workers, in copies of one home: of the small ones alone,
then with the large one among them. What counts is the time from the beginning of a night to each
small tenant's publication; its median over the tenants, with the large one against without it.
Nobody looks for hyper-parameters.
"""

import argparse
import json
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.middle import NIGHT, PROCESSES, Size, take_in
from jobs.fleet import run_fleet, tonight
from jobs.results import Result, tenant_of
from schema.config import Config, Nightly
from schema.names import TenantId
from schema.records import NightReport
from schema.settings import TenantSettings, with_changes
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

LARGE = Size()
SMALL = Size(LARGE.customers // 100, LARGE.products // 20, LARGE.rows // 100)


@dataclass(frozen=True, slots=True)
class Waited:
    """Seconds from a night's beginning: to the median small tenant's publication, to its end, and,
    where it was there, to the large one's; core_seconds: of the work of a small one's night, of the
    large one's.
    """

    median: float
    end: float
    large: float | None
    core_seconds: float
    large_core_seconds: float | None


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--tenants", type=int, default=40, help="small ones")
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--home", type=Path, help="keep what was imported here for the next run")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = measure(asked.home or Path(folder) / "home", asked.tenants, asked.runs)
    told = figures(runs)
    if asked.json:
        print(json.dumps({"tenants": asked.tenants, "runs": asked.runs, **told}))
    else:
        for what, figure in told.items():
            print(f"{what:20} {figure:.3f}")


def measure(home: Path, tenants: int, runs: int) -> list[tuple[Waited, Waited]]:
    """Import where that was not done before; then nights without and with the large tenant."""
    config = Config(
        home=home.absolute(),
        nightly=Nightly(processes=PROCESSES),
        template=with_changes(TenantSettings(), {"tuning.core_seconds": 0}),
    )
    make_secret(home, Disk())
    open_stores(config).engine.dispose()
    sizes = [LARGE, *[SMALL] * tenants]
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        large, *small = pool.map(take_in, [config] * len(sizes), sizes, range(len(sizes)))
    return [(night(config, small), night(config, small, large)) for _ in range(runs)]


def night(config: Config, small: list[TenantId], *large: TenantId) -> Waited:
    """The first night of these tenants, in a copy of the home."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "home"
        shutil.copytree(config.home, copy)
        config = config.model_copy(update={"home": copy})
        stores = open_stores(config)
        tasks = tonight(stores, [*small, *large], NIGHT, datetime.now(UTC))
        begin = time.perf_counter()
        at: dict[TenantId, float] = {}

        def done(result: Result) -> None:
            at[tenant_of(result)] = time.perf_counter() - begin

        results = run_fleet(stores, config, tasks, done)
        end = time.perf_counter() - begin
        stores.engine.dispose()
    used = {}
    for result in results:
        if not (isinstance(result, NightReport) and result.published):
            raise SystemExit(result.because)
        used[result.tenant] = sum(result.figures["core_seconds"].values())
    found = Waited(
        median=median(at[name] for name in small),
        end=end,
        large=None,
        core_seconds=median(used[name] for name in small),
        large_core_seconds=None,
    )
    if not large:
        return found
    return replace(found, large=at[large[0]], large_core_seconds=used[large[0]])


def figures(runs: list[tuple[Waited, Waited]]) -> dict[str, Any]:
    """Medians over the runs; delay: of a run's median tenant, as a share of its time without."""
    alone, among = zip(*runs, strict=True)
    delays = [b.median / a.median - 1 for a, b in runs]
    return {
        "median_alone": median(one.median for one in alone),
        "median_among": median(one.median for one in among),
        "delay": median(delays),
        "delay_least": min(delays),
        "delay_most": max(delays),
        "end_alone": median(one.end for one in alone),
        "end_among": median(one.end for one in among),
        "large_at": median(one.large for one in among),
        "core_seconds": median(one.core_seconds for one in among),
        "large_core_seconds": median(one.large_core_seconds for one in among),
    }


if __name__ == "__main__":
    main()
