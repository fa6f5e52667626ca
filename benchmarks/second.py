"""A second night with six days' new rows, two in a hundred, against the full one before it.

    python -m benchmarks.second [--every 20 | --middle 12 [--selling 4]] [--home FOLDER] [--json]

The fleet of ``benchmarks.fleet``, or with ``--middle`` so many tenants of ``benchmarks.middle``, of
which one in ``--selling`` sold anything in the days between. Its year is imported at once: the first night
sees the rows before its date, the second those of six days more. Whoever sold nothing in these has
nothing new and keeps its lists; the others start from the incumbent's factors. Each night runs in a
process of its own.

Searches for hyper-parameters have nights of their own (``nightly.searches``), and six days' turns
fall on the second: so they are told apart. Whether a warm start is as good as a fresh one is
measured by ``benchmarks.warm``.
"""

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks import middle
from benchmarks.fleet import Night, alone, imported
from jobs.demo import NIGHTS, Part, parts
from jobs.results import NOT_RUN
from schema.config import Config, Nightly
from schema.names import Outcome, Stage, TenantId
from schema.records import NightReport
from storage.durable import Disk
from storage.secret import make_secret
from storage.stores import open_stores

APART = 6
"""Days: lists speak of a week at least, and are made anew after it."""

_KINDS = {Outcome.UNCHANGED: "nothing new", Outcome.TOO_SMALL: "too small to be judged"}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Tenants that were taken in; new: rows between the nights, as a share of all."""

    config: Config
    names: list[TenantId]
    second: date
    new: float

    @property
    def first(self) -> date:
        return self.second - timedelta(days=APART)


@dataclass(frozen=True, slots=True)
class Kind:
    """What tenants of one kind took, first night and second.

    Attributes:
        stages: of both nights, core-seconds of the workers; none of a night that made nothing.
    """

    tenants: int
    stages: tuple[Mapping[str, float], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Both nights of a fleet, and by kinds of tenants, told by their second night."""

    first: Night
    second: Night
    new: float
    kinds: Mapping[str, Kind]

    def figures(self) -> dict[str, Any]:
        """Ready for JSON; ratios are of the second night to the first."""
        searches = [
            sum(kind.stages[n].get(Stage.TUNE.value, 0.0) for kind in self.kinds.values())
            for n in (0, 1)
        ]
        plain = self.first.core_seconds - searches[0], self.second.core_seconds - searches[1]
        return {
            "tenants": len(self.second.tenants),
            "new_rows": self.new,
            "first": {"wall": self.first.wall, "core_seconds": self.first.core_seconds},
            "second": {"wall": self.second.wall, "core_seconds": self.second.core_seconds},
            "searches": searches,
            "ratio_wall": self.second.wall / self.first.wall,
            "ratio_core": self.second.core_seconds / self.first.core_seconds,
            "ratio_core_without_searches": plain[1] / plain[0],
            "outcomes": {"first": self.first.outcomes, "second": self.second.outcomes},
            "kinds": {
                name: {"tenants": kind.tenants, "first": kind.stages[0], "second": kind.stages[1]}
                for name, kind in self.kinds.items()
            },
        }


def main(words: list[str] | None = None) -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--every", type=int, default=1, help="one tenant of so many")
    arguments.add_argument("--middle", type=int, help="so many middle-sized ones instead")
    arguments.add_argument("--selling", type=int, default=4, help="one of so many has new rows")
    arguments.add_argument("--home", type=Path, help="a home with imports, and no night")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        home = asked.home or Path(folder)
        if asked.middle:
            fleet = middle_sized(home, asked.middle, asked.selling, middle.Size())
        else:
            fleet = real(home, asked.every, quiet=asked.json)
        found = measure(fleet).figures()
    if asked.json:
        print(json.dumps(found))
    else:
        show(found)


def real(home: Path, every: int, *, quiet: bool = True) -> Fleet:
    """One manufacturer of so many, imported where that was not done before."""
    made = parts()[::every]
    config, names = imported(home, made, quiet=quiet)
    return Fleet(config, names, NIGHTS[-1], new_share(made))


def middle_sized(home: Path, tenants: int, selling: int, size: middle.Size) -> Fleet:
    """Middle-sized tenants, imported where that was not done before.

    Args:
        selling: one of so many has rows of the days between the nights.
    """
    config = Config(home=home.absolute(), nightly=Nightly(processes=middle.PROCESSES, searches=0))
    make_secret(home, Disk())
    open_stores(config).engine.dispose()
    quiet = [0 if seed % selling == 0 else APART for seed in range(tenants)]
    with ProcessPoolExecutor(middle.PROCESSES, get_context("spawn")) as pool:
        told = [config] * tenants, [size] * tenants, range(tenants), quiet
        names = list(pool.map(middle.take_in, *told))
    ago = [middle.made(size, seed).ago for seed in range(tenants)]
    rows = sum((days > idle).sum() for days, idle in zip(ago, quiet, strict=True))
    new = sum((days <= APART).sum() for days, idle in zip(ago, quiet, strict=True) if not idle)
    return Fleet(config, names, middle.NIGHT, float(new / rows))


def measure(fleet: Fleet) -> Measured:
    """One night and the other."""
    first = alone(fleet.config, fleet.names, fleet.first)
    second = alone(fleet.config, fleet.names, fleet.second)
    if not first.tenants:
        home = fleet.config.home
        raise SystemExit(f"the first night in {home} was done before: measure in a fresh copy")
    return Measured(first, second, fleet.new, kinds(fleet))


def new_share(made: list[Part]) -> float:
    """Rows of the days between the nights, of all before the second."""
    until = pd.Timestamp(NIGHTS[-1])
    times = pd.concat([part.lines["transaction_timestamp"] for part in made])
    seen = times[times < until]
    return float((seen >= until - timedelta(days=APART)).mean())


def kinds(fleet: Fleet) -> dict[str, Kind]:
    """Tenants by what they had on the second night; one that took a tenth of the first is its own."""
    stores = open_stores(fleet.config)
    nights = {
        name: (stores.nights.night(name, fleet.first), stores.nights.night(name, fleet.second))
        for name in fleet.names
    }
    stores.engine.dispose()
    took = {name: sum(_spent(first).values()) for name, (first, _) in nights.items()}
    large = {name for name, seconds in took.items() if seconds > sum(took.values()) / 10}
    tenants: Counter[str] = Counter()
    stages: dict[str, tuple[Counter[str], Counter[str]]] = defaultdict(
        lambda: (Counter(), Counter())
    )
    for name, (first, second) in nights.items():
        kind = name if name in large else _kind(second)
        tenants[kind] += 1
        stages[kind][0].update(_spent(first))
        stages[kind][1].update(_spent(second))
    return {kind: Kind(count, stages[kind]) for kind, count in tenants.most_common()}


def _kind(report: NightReport | None) -> str:
    if report is None or report.outcome is None:
        return NOT_RUN
    return _KINDS.get(report.outcome, "judged")


def _spent(report: NightReport | None) -> Mapping[str, float]:
    return report.figures.get("core_seconds", {}) if report else {}


def show(found: Mapping[str, Any]) -> None:
    """Print the table."""
    title = f"{found['tenants']:,} tenants, {found['new_rows']:.1%} of the rows are new"
    table = Table("core-seconds", "tenants", "first night", "second", "ratio", title=title)

    def row(what: str, values: tuple[float, float], tenants: str = "") -> None:
        ratio = f"{values[1] / values[0]:.2f}" if values[0] else ""
        table.add_row(what, tenants, *(f"{value:.2f}" for value in values), ratio)

    tune = Stage.TUNE.value
    for name, kind in found["kinds"].items():
        both = kind["first"], kind["second"]
        sums = [sum(night.values()) - night.get(tune, 0.0) for night in both]
        row(name, (sums[0], sums[1]), f"{kind['tenants']:,}")
        for stage in [stage for stage in both[1] if stage != tune]:
            row(f"  {stage}", (both[0].get(stage, 0.0), both[1][stage]))
    whole = found["first"]["core_seconds"], found["second"]["core_seconds"]
    row("searches for hyper-parameters", tuple(found["searches"]))
    row("all, with starting workers and publishing", whole)
    plain = whole[0] - found["searches"][0], whole[1] - found["searches"][1]
    row("  without the searches", plain)
    row("wall, seconds", (found["first"]["wall"], found["second"]["wall"]))
    Console().print(table)


if __name__ == "__main__":
    main()
