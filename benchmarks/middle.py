"""A fleet of middle-sized tenants: one whole night against the bare library, in the same run.

    python -m benchmarks.middle [--tenants 200] [--home FOLDER]

A tenant is made from a seed: 5,000 customers, 500 products, 90,000 purchases in the year before
the night. Taste is planted: a customer belongs to one of twelve groups, likes its products and some
that everybody likes, comes back for their own favourites, and some products are far more popular
than others. So ALS, neighbours and reorders all have something to find.

The night is a whole one, the tenants' first: every model is trained and judged, hyper-parameters are
looked for of those whose turn it is, every list is published with every fsync. The floor is what nobody can do
without: one ``implicit`` fit (64 factors, 15 iterations) and its ``recommend`` of 50 products for all
customers. Both have two processes of one thread each.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from benchmarks.fleet import by_stage
from benchmarks.meters import core_seconds
from jobs.fleet import run_fleet, tonight
from jobs.intake import import_files
from jobs.results import word_of
from schema.config import Config, Nightly
from schema.names import TenantId
from schema.records import NightReport
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

NIGHT = date(2026, 1, 1)
FLEET = 200
YEAR = 365
GROUPS = 12
PROCESSES = 2

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Size:
    """How large each tenant is."""

    customers: int = 5_000
    products: int = 500
    rows: int = 90_000


@dataclass(frozen=True, slots=True)
class Bought:
    """Purchases of one tenant: customer and product numbers, and days before the night (1 …)."""

    customer: _Ints
    product: _Ints
    ago: _Ints


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run found.

    Attributes:
        wall, core_seconds: of the night, processes' start-up included; floor_wall: of the fits
            and recommends on as many processes, if they did nothing else.
        stages: milliseconds a tenant by stage, of the worker's core.
    """

    tenants: int
    wall: float
    core_seconds: float
    floor_wall: float
    floor_core_seconds: float
    stages: dict[str, float]
    outcomes: dict[str, int]
    searches: int

    @property
    def ratios(self) -> dict[str, float]:
        return {
            "wall": self.wall / self.floor_wall,
            "core_seconds": self.core_seconds / self.floor_core_seconds,
        }


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenants", type=int, default=FLEET)
    usual = Size()
    arguments.add_argument("--customers", type=int, default=usual.customers)
    arguments.add_argument("--products", type=int, default=usual.products)
    arguments.add_argument("--rows", type=int, default=usual.rows)
    arguments.add_argument("--home", type=Path, help="keep what was imported here for the next run")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    size = Size(asked.customers, asked.products, asked.rows)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.home or Path(folder), asked.tenants, size)
    if asked.json:
        print(json.dumps({**asdict(found), "ratios": found.ratios}))
    else:
        show(found, size)


def measure(home: Path, tenants: int, size: Size) -> Measured:
    """Import where that was not done before, then the floor, then one night."""
    # as in a large fleet: each searches on its own night of 28
    config = Config(home=home.absolute(), nightly=Nightly(processes=PROCESSES, searches=0))
    make_secret(home, Disk())
    open_stores(config)
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        seeds = range(tenants)
        names = list(pool.map(take_in, [config] * tenants, [size] * tenants, seeds))
        floors = list(pool.map(floor, [size] * tenants, seeds))
    stores = open_stores(config)
    begin, used = time.perf_counter(), core_seconds()
    night = run_fleet(
        stores, config, tonight(stores, names, NIGHT, datetime.now(UTC)), lambda _: None
    )
    wall, core = time.perf_counter() - begin, core_seconds() - used
    return Measured(
        tenants=tenants,
        wall=wall,
        core_seconds=core,
        floor_wall=sum(seconds for seconds, _ in floors) / PROCESSES,
        floor_core_seconds=sum(seconds for _, seconds in floors),
        stages=by_stage(night, "core_seconds"),
        outcomes=dict(Counter(map(word_of, night)).most_common()),
        searches=sum(
            bool(result.figures.get("searched"))
            for result in night
            if isinstance(result, NightReport)
        ),
    )


def made(size: Size, seed: int) -> Bought:
    """One tenant's purchases; the same seed, the same tenant."""
    rng = np.random.default_rng(seed)
    group_of = rng.integers(0, GROUPS, size.products)
    popular = 1 / (10 + rng.permutation(size.products)) ** 0.8
    liked = np.where(group_of == np.arange(GROUPS)[:, None], 12.0, 1.0) * popular
    likings = np.cumsum(liked / liked.sum(1, keepdims=True), axis=1).clip(max=1 - 1e-9)
    taste = rng.integers(0, GROUPS, size.customers)
    activity = rng.gamma(1.5, size=size.customers)
    customer = np.sort(rng.choice(size.customers, size.rows, p=activity / activity.sum()))
    # One long line of all groups' likings, so that one search draws for every customer.
    line = (likings + np.arange(GROUPS)[:, None]).ravel()
    drawn = np.searchsorted(line, taste[customer] + rng.random(size.rows), side="right")
    product = np.minimum(drawn - taste[customer] * size.products, size.products - 1)
    # Half of all purchases are one of the customer's favourites again: their first five.
    begin = np.searchsorted(customer, customer)
    bought = np.searchsorted(customer, customer, side="right") - begin
    favourite = product[begin + rng.integers(0, 5, size.rows) % bought]
    product = np.where(rng.random(size.rows) < 0.5, favourite, product)
    return Bought(customer, product, 1 + rng.integers(0, YEAR, size.rows))


def tables(size: Size, seed: int, quiet: int = 0) -> dict[str, pa.Table]:
    """One tenant in the universal form; customer ids are the same in every tenant.

    Args:
        quiet: so many days before the night it sold nothing.
    """
    bought = made(size, seed)
    night = np.datetime64(NIGHT, "us")
    moment = np.random.default_rng((seed, 1)).integers(8 * 3600, 18 * 3600, size.rows)
    when = night - bought.ago.astype("timedelta64[D]") + moment.astype("timedelta64[s]")
    interactions = pa.table(
        {
            "customer_id": [f"C-{n:05}" for n in bought.customer],
            "product_id": [f"P-{n:05}" for n in bought.product],
            "event": ["purchase"] * size.rows,
            "occurred_at": pa.array(when, pa.timestamp("us", "UTC")),
        }
    )
    return {
        "customers": pa.table({"customer_id": [f"C-{n:05}" for n in range(size.customers)]}),
        "products": pa.table(
            {
                "product_id": [f"P-{n:05}" for n in range(size.products)],
                "name": [f"Product {n} of tenant {seed}" for n in range(size.products)],
                "category": [f"Category {n % 25}" for n in range(size.products)],
                "price": [1.0 + n % 90 for n in range(size.products)],
            }
        ),
        "interactions": interactions.filter(pa.array(bought.ago > quiet)),
    }


def take_in(config: Config, size: Size, seed: int, quiet: int = 0) -> TenantId:
    """Register and import one tenant, unless that was done before; in a process of its own.

    Args:
        quiet: as of ``tables``.
    """
    stores, name, now = open_stores(config), TenantId(f"t{seed:03}"), datetime.now(UTC)
    known = stores.ledger.named([name]).get(name)
    if known is None:
        title = f"Synthetic tenant {seed}"
        known = stores.ledger.register(name, f"t-{seed}", title, "UTC", by="benchmark", at=now)
    if name not in stores.imports.tenants():
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for table, told in tables(size, seed, quiet).items():
                files[table] = Path(folder) / f"{table}.parquet"
                pq.write_table(told, files[table])
            limits = config.template.intake
            import_files(stores, known, files, limits, by="benchmark", now=now)
    return name


def floor(size: Size, seed: int) -> tuple[float, float]:
    """Seconds and core-seconds of the bare fit and recommend of one tenant."""
    bought = made(size, seed)
    weights = csr_matrix(
        (np.ones(size.rows, np.float32), (bought.customer, bought.product)),
        shape=(size.customers, size.products),
    )
    begin, used = time.perf_counter(), time.process_time()
    model = AlternatingLeastSquares(factors=64, iterations=15, random_state=0, num_threads=1)
    model.fit(weights, show_progress=False)
    model.recommend(np.arange(size.customers), weights, N=50)
    return time.perf_counter() - begin, time.process_time() - used


def show(found: Measured, size: Size) -> None:
    """Print the table."""
    what = f"{size.customers:,} customers × {size.products:,} products × {size.rows:,} rows"
    table = Table("what", "seconds", title=f"One night of {found.tenants:,} tenants of {what}")
    table.add_row(f"wall, {PROCESSES} processes", f"{found.wall:.1f}")
    table.add_row("  floor", f"{found.floor_wall:.1f}")
    table.add_row("core-seconds", f"{found.core_seconds:.1f}")
    table.add_row("  floor", f"{found.floor_core_seconds:.1f}")
    for stage, milliseconds in found.stages.items():
        table.add_row(f"  {stage}, a tenant, by the worker's clock", f"{milliseconds / 1000:.3f}")
    for what, ratio in found.ratios.items():
        table.add_row(f"night × floor, {what}", f"{ratio:.2f}")
    table.add_row("searches", str(found.searches))
    for word, count in found.outcomes.items():
        table.add_row(word, str(count))
    Console().print(table)


if __name__ == "__main__":
    main()
