"""A night that carries on from its incumbent against one that begins afresh: quality and cost.

    python -m benchmarks.warm [--tenants m2 m69 …] [--nights 4] [--json]

Each tenant has some nights, six days apart. A warm night starts from the factors of the model that
the night before made, which did the same; so the last of them has been carried on all the time. That
one, and one trained afresh on the same windows, are judged on the same last window. Ways to carry on
differ in ALS iterations for each teach window; afresh is ``als.iterations`` for the first and
``als.continued_iterations`` for the others. All are judged, as they would be served, after
``als.continued_iterations`` more to the day.

Tenants are manufacturers of The Complete Journey large enough to be judged, and the synthetic one of
``benchmarks.middle``.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import geometric_mean

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import pyarrow.parquet as pq

from benchmarks import middle
from benchmarks.second import APART
from factory.judge import judge
from factory.train import ALS, train
from factory.windows import choose
from jobs.demo import NIGHTS, parts, write_part
from jobs.evaluate import read_folder
from schema.config import read_config
from schema.dates import day_number
from schema.records import History, Model
from schema.settings import TenantSettings, with_changes

TENANTS = ("m69", "m2", "m103", "m544", "m764", "m1225", "m1102", "m560")
SYNTHETIC = "synthetic"
SIZE = middle.Size()
AFRESH = "afresh"
ITERATIONS = (1, 2, 4)
FIGURES = ("rmse", "ndcg_at_10", "ndcg_new_at_10", "core_seconds")


@dataclass(frozen=True, slots=True)
class Line:
    """One tenant's last night, one way; core_seconds: of training that night's model."""

    tenant: str
    way: str
    days: int
    windows: int
    rmse: float
    ndcg_at_10: float
    ndcg_new_at_10: float
    core_seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Compare and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--tenants", nargs="*", default=[*TENANTS, SYNTHETIC])
    arguments.add_argument("--nights", type=int, default=4, help="that are carried on")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args(argv)
    settings = read_config().template
    lines = [
        line
        for name, history, night in told(asked.tenants, settings)
        for line in compared(name, history, day_number(night), settings, asked.nights)
    ]
    if asked.json:
        print(json.dumps([asdict(line) for line in lines]))
    else:
        print("\n".join(table(lines)))


def told(names: Sequence[str], settings: TenantSettings) -> Iterator[tuple[str, History, date]]:
    """The tenants' histories, read as deliveries are, and the date of their last night."""
    for name in names:
        with tempfile.TemporaryDirectory() as place:
            folder, night = Path(place), NIGHTS[-1]
            if name == SYNTHETIC:
                night = middle.NIGHT
                for table, rows in middle.tables(SIZE, 0).items():
                    pq.write_table(rows, folder / f"{table}.parquet")
            else:
                [part] = [part for part in parts() if f"m{part.number}" == name]
                folder = write_part(folder, part).folder
            yield name, read_folder(folder, settings, datetime.now(UTC)), night


def compared(
    name: str, history: History, tonight: int, settings: TenantSettings, nights: int
) -> Iterator[Line]:
    """Each way's last night.

    Args:
        tonight: day number of the last night; nights: so many are carried on, after a first one.
    """
    ways = {AFRESH: settings} | {
        f"carried on, {n}": with_changes(settings, {"als.continued_iterations": n})
        for n in ITERATIONS
    }
    models: dict[str, Model] = {}
    spent: dict[str, float] = {}
    kept: int | None = None
    for ago in range(nights, -1, -1):
        found = choose(history, tonight - ago * APART, settings.windows, settings.blend, kept)
        if found is None:
            raise SystemExit(f"{name} is too small to be judged")
        windows, kept = found, found.days
        for way, told in ways.items():
            if way == AFRESH and ago:
                continue
            begin, start = time.process_time(), models.get(way)
            made = train(history, windows, told, kind=ALS, fingerprint="", start=start)
            spent[way] = time.process_time() - begin
            models[way] = replace(made, settings=settings)
    judgements = judge([models[way] for way in ways], history, windows)
    for way, judged in zip(ways, judgements, strict=True):
        yield Line(
            tenant=name,
            way=way,
            days=windows.days,
            windows=len(windows.teach),
            rmse=judged.rmse,
            ndcg_at_10=judged.ndcg_at_10,
            ndcg_new_at_10=judged.ndcg_new_at_10,
            core_seconds=spent[way],
        )


def ratios(lines: Sequence[Line]) -> dict[str, dict[str, float]]:
    """Each way over afresh: geometric means over the tenants, by figure."""
    afresh = {line.tenant: line for line in lines if line.way == AFRESH}
    found: dict[str, dict[str, float]] = {}
    for way in dict.fromkeys(line.way for line in lines):
        mine = [line for line in lines if line.way == way]
        found[way] = {
            figure: geometric_mean(
                getattr(line, figure) / getattr(afresh[line.tenant], figure) for line in mine
            )
            for figure in FIGURES
        }
    return found


def table(lines: Sequence[Line]) -> list[str]:
    """Markdown: a line for each tenant and way, then the means."""
    head = ["tenant", "window", "way", "RMSE", "NDCG@10", "of new ones", "core-seconds of training"]
    rows = [
        [
            line.tenant,
            f"{line.windows} × {line.days} days",
            line.way,
            f"{line.rmse:.6f}",
            f"{line.ndcg_at_10:.4f}",
            f"{line.ndcg_new_at_10:.4f}",
            f"{line.core_seconds:.2f}",
        ]
        for line in lines
    ]
    for way, means in ratios(lines).items():
        told = (f"**{means[figure]:.4f}**" for figure in FIGURES)
        rows.append(["**over afresh**", "", way, *told])
    ruler = ["---", "---", "---", *["---:"] * len(FIGURES)]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


if __name__ == "__main__":
    main()
