"""Re-ranking during a call beside a lookup, in the same run: what is computed, without the wire.

    python -m benchmarks.live [--products 5000] [--customers 4000] [--purchases 150000] [--calls 2000]
    python -m benchmarks.live --tenant m2

A made-up tenant (or one of the demo's) has its night; then as many lookups and calls are answered,
each for another customer, with one to three products and now and then a category asked about.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from factory.blend import standing
from factory.grounds import grounds
from factory.judge import chunks
from factory.live import rerank
from factory.rank import rank
from factory.reasons import segment_favourites
from factory.train import ALS, train, view
from factory.windows import choose
from jobs.demo import LAST_DAY, write_demo
from jobs.evaluate import read_folder
from schema.errors import Refused
from schema.names import Bought, Mode, Status
from schema.records import PACKED, History, Ids, Model, Product, Said
from schema.rules import NO_RULING
from schema.settings import TenantSettings
from storage.durable import Disk
from storage.editions import GROUNDS, LISTS, Editions
from storage.grounds import packed
from tenants.answer import Ask, Shown, answer
from tenants.heard import Index, heard, in_words

DAYS = 360
_GROUPS = 50
SETTINGS = TenantSettings()


@dataclass(frozen=True, slots=True)
class Measured:
    """What lookups and calls took, (n, 2) milliseconds on the clock and of computing; seconds of the
    night's share and of opening; bytes on disk.
    """

    lookup: NDArray[np.float64]
    call: NDArray[np.float64]
    whole: NDArray[np.float64]
    night: float
    opening: float
    grounds_bytes: int
    lists_bytes: int


def main() -> None:
    """Make a tenant, let it have its night, measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--tenant", help="one of the demo's, m2 say, instead of a made-up one")
    arguments.add_argument("--products", type=int, default=5_000)
    arguments.add_argument("--customers", type=int, default=4_000)
    arguments.add_argument("--purchases", type=int, default=150_000)
    arguments.add_argument("--calls", type=int, default=2_000)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.tenant:
            told = of_the_demo(Path(folder) / "demo", asked.tenant)
        else:
            told = made_up(asked.customers, asked.products, asked.purchases)
        show(told, measure(told, Path(folder), asked.calls))


def of_the_demo(place: Path, name: str) -> History:
    """One of the demo's twelve."""
    found = [tenant for tenant in write_demo(place, 12) if tenant.tenant == name]
    if not found:
        raise Refused(f"the demo has no tenant {name}", "use m2", code="NO_TENANT")
    return read_folder(found[0].folder, SETTINGS, datetime(2018, 1, 1, tzinfo=UTC))


def made_up(customers: int, products: int, purchases: int) -> History:
    """Customers that keep to a few of fifty categories; some products are much more popular."""
    rng = np.random.default_rng(0)
    category = rng.permutation(products) % _GROUPS
    by_category = [np.flatnonzero(category == n) for n in range(_GROUPS)]
    customer = np.sort((rng.pareto(1.2, purchases) * customers / 8).astype(int) % customers)
    liked = rng.integers(0, _GROUPS, (customers, 4))[customer, rng.integers(0, 4, purchases)]
    place = rng.power(0.4, purchases)
    product = np.array(
        [
            by_category[group][int(at * len(by_category[group]))]
            for group, at in zip(liked, place, strict=True)
        ]
    )
    rows = np.unique(
        np.stack([customer, product, rng.integers(0, DAYS, purchases)], axis=1), axis=0
    ).astype(np.int32)
    return History(
        customers=Ids(f"C-{n:07}" for n in range(customers)),
        products=Ids(f"P-{n:07}" for n in range(products)),
        sellable=np.ones(products, bool),
        customer=rows[:, 0],
        product=rows[:, 1],
        day=rows[:, 2],
        bought=np.ones(len(rows), bool),
        weight=np.ones(len(rows), np.float32),
        categories=Ids(f"category {n}" for n in range(_GROUPS)),
        category=category.astype(np.int32),
        segments=Ids(f"segment {n}" for n in range(6)),
        segment=rng.integers(-1, 6, customers).astype(np.int32),
    )


def measure(told: History, home: Path, calls: int) -> Measured:
    """One night, then lookups and calls by turns, each of another customer."""
    tonight = int(told.day.max()) + 1
    windows = choose(told, tonight, SETTINGS.windows, SETTINGS.blend)
    assert windows is not None, "too few purchases to learn from"
    model = train(told, windows, SETTINGS, kind=ALS, fingerprint="bench")
    groups = told.categories.names
    products = tuple(
        Product(name, f"name of {name}", groups[n] if n >= 0 else None, 1.0, Status.SELLABLE.value)
        for name, n in zip(told.products.names, told.category, strict=True)
    )
    lists = rank(model, told, tonight, products, SETTINGS.lists)
    editions = Editions(home, Disk())
    number, sha = editions.seal(
        "t-bench",
        0,
        lists,
        model=1,
        night=LAST_DAY,
        horizon_days=windows.days,
        bought=Bought.INCLUDE,
    )
    edition = editions.open("t-bench", number, sha)
    assert edition.grounds is not None
    begin = time.perf_counter()
    found = edition.grounds.open()
    opening = time.perf_counter() - begin
    rng = np.random.default_rng(1)
    shown = Shown(number, 1, datetime.now(UTC), products, edition.popular, edition.segments)
    asked = Ask()
    index, sellable = Index.of(products), np.ones(len(products), bool)

    def lookup(customer: str) -> bytes:
        own = edition.lists.of(customer)
        return answer("t", customer, Mode.ON, shown, own, asked, stale=False)

    def call(customer: str, said: Said) -> None:
        rerank(found, customer, said, sellable, NO_RULING, most=asked.limit)

    def whole(customer: str, names: list[str], categories: list[str]) -> bytes:
        """As serving/live.py answers."""
        said = heard(index, products=names, categories=categories)
        made = rerank(found, customer, said, sellable, NO_RULING, most=asked.limit)
        words = in_words(said, made.spoken, products)
        own = b"".join(PACKED.pack(*entry) for entry in made.entries)
        return answer("t", customer, Mode.ON, shown, own, asked, stale=False, heard=words)

    spent: dict[str, list[tuple[float, float]]] = {"lookup": [], "call": [], "whole": []}
    for _ in range(calls):
        customer = lists.customers[int(rng.integers(len(lists.customers)))]
        names = [told.products.names[n] for n in rng.integers(0, len(products), rng.integers(1, 4))]
        some = [groups[int(rng.integers(len(groups)))]] if groups and rng.random() < 0.2 else []
        said = heard(index, products=names, categories=some)
        spent["lookup"].append(timed(partial(lookup, customer)))
        spent["call"].append(timed(partial(call, customer, said)))
        spent["whole"].append(timed(partial(whole, customer, names, some)))
    edition.lists.close()
    folder = editions._folder("t-bench", number)
    return Measured(
        **{name: np.array(times) * 1000 for name, times in spent.items()},
        night=beside(model, told, tonight),
        opening=opening,
        grounds_bytes=(folder / GROUNDS).stat().st_size,
        lists_bytes=(folder / LISTS).stat().st_size,
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of computing: where others use the machine too, that tells more."""
    clock, computing = time.perf_counter(), time.thread_time()
    work()
    return time.perf_counter() - clock, time.thread_time() - computing


def beside(model: Model, told: History, tonight: int) -> float:
    """Core seconds that a night spends on it beside its ranking: gathered, packed and hashed."""
    scene = view(model, told, tonight)
    liked = segment_favourites(scene.moment.evidence)
    spent, stood = 0.0, []
    for block in chunks(np.flatnonzero(scene.moment.evidence.known), len(told.products)):
        affinities = scene.moment.affinities.of(block)  # the ranking has them already
        begin = time.thread_time()
        stood.append(standing(scene, model.blend, block, affinities))
        spent += time.thread_time() - begin
    begin = time.thread_time()
    hashlib.sha256(packed(grounds(scene, model, told, np.concatenate(stood), liked)))
    return spent + time.thread_time() - begin


def show(told: History, found: Measured) -> None:
    """Print the table."""
    sizes = f"{len(told.products):,} products, {len(told.customers):,} customers, {len(told.day):,} rows"
    columns = ("what", "p50 ms", "p99 ms", "p50 core ms", "p99 core ms", "× lookup")
    table = Table(*columns, title=f"During a call: {sizes}")
    floor = np.median(found.lookup[:, 1])
    for name, times in (
        ("lookup: read, answer, encode", found.lookup),
        ("call: ranked anew", found.call),
        ("call: understood, ranked, answer, encode", found.whole),
    ):
        figures = np.percentile(times, [50, 99], axis=0).T.ravel()
        ratio = np.median(times[:, 1]) / floor
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), f"{ratio:.0f}")
    table.add_row("first call of an edition: check and map", f"{found.opening * 1000:.1f}")
    table.add_row("a night's share", "", "", f"{found.night * 1000:.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"grounds {found.grounds_bytes / 1e6:.2f} MB beside lists of {found.lists_bytes / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
