"""The same tenants on Spark MLlib, and ``implicit`` beside it in the same run.

    python -m benchmarks.spark [--tenants 3]

Of the manufacturers of The Complete Journey that have at least 5 customers and 3 products, so many
are taken, evenly over their sizes, the largest among them. Each is fitted by both libraries to the
same matrix (32 factors, 15 iterations, implicit feedback), and ten products are recommended to every
customer. Spark runs as ``local[2]`` in one session for all of them, whose start is told apart, with
as few partitions as it has cores: its defaults are made for larger data and take longer still.

PySpark is in no lock: half a gigabyte for one comparison. It wants Java 17, and goes in a folder of
its own: ``pip install --target /tmp/pyspark pyspark==4.1.4``, then
``PYTHONPATH=/tmp/pyspark python -m benchmarks.spark``.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
import psutil
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import coo_matrix, csr_matrix

from benchmarks.fleet import fits
from jobs.demo import Part, parts

FACTORS, ITERATIONS, SHOWN = 32, 15, 10


@dataclass(frozen=True, slots=True)
class Compared:
    """One tenant by both libraries: seconds by the clock, and core-seconds of all processes."""

    tenant: str
    customers: int
    products: int
    pairs: int
    implicit_seconds: float
    implicit_core_seconds: float
    spark_seconds: float
    spark_core_seconds: float


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--tenants", type=int, default=3)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args(words)
    spark, began = started()
    try:
        fitting = [part for part in parts() if fits(part)]
        chosen = fitting[:: -(-len(fitting) // given.tenants)]
        found = [compared(spark, part) for part in chosen]
    finally:
        spark.stop()
    if given.json:
        print(json.dumps({"start_seconds": began, "tenants": [asdict(one) for one in found]}))
    else:
        show(began, found)


def started() -> tuple[Any, float]:
    """A session, and the seconds its start took."""
    try:
        sql = importlib.import_module("pyspark.sql")
    except ModuleNotFoundError:
        print(
            "PySpark is missing: pip install --target /tmp/pyspark pyspark==4.1.4, then repeat "
            "this with PYTHONPATH=/tmp/pyspark",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    begin = time.perf_counter()
    builder = sql.SparkSession.builder.master("local[2]").appName("recfactory")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    return builder.getOrCreate(), time.perf_counter() - begin


def compared(spark: Any, part: Part) -> Compared:
    """Fit one tenant and recommend to all its customers, by both."""
    bought = matrix(part)
    ours, spark_s = timed(lambda: by_implicit(bought)), timed(lambda: by_spark(spark, bought))
    return Compared(f"m{part.number}", *bought.shape, bought.nnz, *ours, *spark_s)


def matrix(part: Part) -> csr_matrix:
    """(customers, products): how many lines."""
    _, customer = np.unique(part.lines["household_id"], return_inverse=True)
    _, product = np.unique(part.lines["product_id"], return_inverse=True)
    made = csr_matrix((np.ones(len(customer), np.float32), (customer, product)))
    made.sum_duplicates()
    return made


def timed(work: Any) -> tuple[float, float]:
    """Seconds and core-seconds; those of the Java machine count."""
    begin, used = time.perf_counter(), core_seconds()
    work()
    return time.perf_counter() - begin, core_seconds() - used


def core_seconds() -> float:
    me = psutil.Process()
    spent = [each.cpu_times() for each in (me, *me.children(recursive=True))]
    return float(sum(each.user + each.system for each in spent))


def by_implicit(bought: csr_matrix) -> NDArray[np.int32]:
    model = AlternatingLeastSquares(
        factors=FACTORS, iterations=ITERATIONS, random_state=0, num_threads=1
    )
    model.fit(bought, show_progress=False)
    shown, _ = model.recommend(
        np.arange(bought.shape[0]), bought, N=SHOWN, filter_already_liked_items=False
    )
    return np.asarray(shown, np.int32)


def by_spark(spark: Any, bought: csr_matrix) -> list[Any]:
    als = importlib.import_module("pyspark.ml.recommendation").ALS
    cells: coo_matrix = bought.tocoo()
    rows = list(zip(cells.row.tolist(), cells.col.tolist(), cells.data.tolist(), strict=True))
    frame = spark.createDataFrame(rows, "user int, item int, rating float").cache()
    model = als(
        rank=FACTORS,
        maxIter=ITERATIONS,
        implicitPrefs=True,
        numUserBlocks=2,
        numItemBlocks=2,
        seed=0,
    ).fit(frame)
    shown: list[Any] = model.recommendForAllUsers(SHOWN).collect()
    frame.unpersist()
    return shown


def show(began: float, found: Sequence[Compared]) -> None:
    """Print the table."""
    table = Table(
        "tenant", "customers", "products", "pairs", "implicit s", "core-s", "Spark s", "core-s",
        "Spark × implicit", title=f"Spark local[2] (started in {began:.1f} s) and implicit, one thread",
    )  # fmt: skip
    for one in found:
        table.add_row(
            one.tenant,
            f"{one.customers:,}",
            f"{one.products:,}",
            f"{one.pairs:,}",
            f"{one.implicit_seconds:.3f}",
            f"{one.implicit_core_seconds:.3f}",
            f"{one.spark_seconds:.1f}",
            f"{one.spark_core_seconds:.1f}",
            f"{one.spark_seconds / one.implicit_seconds:,.0f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
