"""The engine against its peers on the same cases: NDCG@10, line by line.

    python -m benchmarks.peers [--cases DIR] [--without PART]… [--json]

The cases come from ``../shared/tools/cases.py`` (or from ``--cases``, the folder it wrote). The
engine is trained as a night at the cut would train it, one template for all, and its lists are
those that the night would publish. ``any``: the first ten products; ``new``: the first ten
that the customer never bought. Scored as ``../shared/tools/peers.py`` scores: over customers
with at least one truth row of the task, binary relevance.

``--without PART`` is the ablation: a column more for the engine without that part. ``als`` is the
engine without its factors; any other name is handed to the setting ``blend.without``.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.cases import Case, Truth, case_folders, made_cases, read_case
from factory.metrics import mean, ndcg
from factory.rank import rank
from factory.train import ALS, BASELINE, template_baseline, train
from factory.tune import tune
from factory.windows import choose
from schema.config import read_config
from schema.dates import day_date
from schema.errors import Problem
from schema.records import Lists
from schema.settings import TenantSettings, with_changes

COLUMNS = (
    "popular", "recent", "own recency", "item cosine", "ALS default", "ALS tuned", "EASE tuned",
    "kindling", "TIFU-KNN tuned", "UP-CF tuned", "prototype",
)  # fmt: skip
TEN = COLUMNS[:-1]
"""The ten peers. "prototype" is not one of them: it is the sketch this engine was built from."""

FIGURES = """
adventureworks_reseller any 0.179 0.249 0.618 0.271 0.388 0.590 0.388 0.093 0.632 0.600 0.595
cj_m103                 any 0.398 0.394 0.575 0.539 0.488 0.554 0.441 0.504 0.603 0.582 0.595
cj_m2                   any 0.355 0.386 0.473 0.447 0.329 0.464 0.367 0.407 0.497 0.491 0.499
cj_m2_stores            any 0.610 0.703 0.723 0.698 0.138 0.688 0.664 0.575 0.735 0.744 0.752
cj_m317                 any 0.280 0.321 0.382 0.361 0.311 0.344 0.289 0.339 0.416 0.374 0.418
cj_m544                 any 0.117 0.215 0.323 0.266 0.220 0.294 0.164 0.237 0.352 0.300 0.356
cj_m764                 any 0.057 0.079 0.239 0.217 0.177 0.219 0.145 0.176 0.242 0.235 0.244
groceries_members       any 0.286 0.281 0.199 0.223 0.108 0.238 0.277 0.241 0.214 0.269 0.285
online_retail           any 0.078 0.143 0.344 0.192 0.285 0.329 0.260 0.274 0.356 0.335 0.379
adventureworks_reseller new 0.080 0.070 0.070 0.286 0.321 0.443 0.349 0.348 0.371 0.389 0.370
cj_m103                 new 0.327 0.322 0.322 0.180 0.036 0.312 0.332 0.340 0.341 0.341 0.342
cj_m2                   new 0.176 0.206 0.206 0.167 0.036 0.163 0.187 0.201 0.190 0.207 0.211
cj_m2_stores            new 0.172 0.193 0.193 0.169 0.118 0.182 0.197 0.188 0.167 0.179 0.183
cj_m317                 new 0.209 0.244 0.244 0.140 0.037 0.184 0.221 0.236 0.243 0.240 0.242
cj_m544                 new 0.064 0.170 0.170 0.111 0.047 0.169 0.105 0.129 0.176 0.191 0.210
cj_m764                 new 0.035 0.058 0.058 0.035 0.040 0.046 0.060 0.054 0.054 0.051 0.053
groceries_members       new 0.274 0.269 0.269 0.272 0.006 0.239 0.270 0.273 0.269 0.275 0.274
online_retail           new 0.033 0.079 0.079 0.043 0.089 0.112 0.096 0.093 0.114 0.115 0.100
"""
"""NDCG@10 of each of COLUMNS, from the table in ``../shared/design/engine.md``.

Measured anew, one peer at a time, by ``python ../shared/tools/peers.py CASES PEER``, with PEER one of
popularity, recent, ownrecency, cosine, als_default, als_tuned, ease_tuned, kindling,
tifuknn_tuned, upcf_tuned.
"""

PEERS: dict[tuple[str, str], dict[str, float]] = {
    (words[0], words[1]): dict(zip(COLUMNS, map(float, words[2:]), strict=True))
    for words in map(str.split, FIGURES.strip().splitlines())
}

TASKS = ("any", "new")


@dataclass(frozen=True, slots=True)
class Line:
    """One case and task.

    Attributes:
        peer, peer_ndcg: the best of the ten peers; None where the case was not measured for them.
        best, best_ndcg: the same with the prototype among them.
        without: NDCG@10 of the engine by the part left out.
    """

    case: str
    task: str
    judged: int
    engine: float
    without: dict[str, float]
    peer: str | None = None
    peer_ndcg: float | None = None
    best: str | None = None
    best_ndcg: float | None = None


def main(argv: Sequence[str] | None = None) -> None:
    """Score every case and print; exit status 2 where the cases cannot be had."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--cases", type=Path, help="a folder that cases.py wrote")
    arguments.add_argument("--without", action="append", default=[], metavar="PART")
    arguments.add_argument(
        "--tune",
        type=float,
        default=0,
        metavar="SECONDS",
        help="first find each case's own settings",
    )
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args(argv)
    settings = read_config().template
    try:
        with tempfile.TemporaryDirectory() as place:
            folders = case_folders(asked.cases) if asked.cases else made_cases(Path(place))
            console = Console(stderr=True)
            lines = [
                line
                for folder in track(folders, "cases", console=console, disable=asked.json)
                for case in [read_case(folder, settings)]
                for line in scored(case, tuned(case, settings, asked.tune), asked.without)
            ]
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        raise SystemExit(2) from problem
    lines.sort(key=lambda line: (TASKS.index(line.task), line.case))
    if asked.json:
        print(json.dumps({"lines": [asdict(line) for line in lines], "means": means(lines)}))
        return
    print("\n".join(table(lines)))


def tuned(case: Case, settings: TenantSettings, seconds: float) -> TenantSettings:
    """What a first night with so much time to tune would go on with; 0 leaves the template."""
    windows = choose(case.history, case.tonight, settings.windows, settings.blend)
    if not seconds or windows is None:
        return settings
    settings = with_changes(settings, {"tuning.core_seconds": seconds})
    night = day_date(case.tonight)
    choice = tune(case.history, windows, settings, night=night, fixed=(), clock=time.process_time)
    return with_changes(settings, dict(choice.changes)) if choice else settings


def scored(case: Case, settings: TenantSettings, parts: Sequence[str]) -> list[Line]:
    """NDCG@10 of the engine, and of it without each of the parts, for both tasks."""
    whole = lists(case, settings, ())
    lessened = {part: lists(case, settings, (part,)) for part in parts}
    lines = []
    for task, truth in zip(TASKS, (case.bought, case.new), strict=True):
        figures = PEERS.get((case.name, task), {})
        ten = {name: figures[name] for name in TEN if figures}
        lines.append(
            Line(
                case.name,
                task,
                len(truth),
                ndcg_at_10(whole, truth, task),
                {part: ndcg_at_10(made, truth, task) for part, made in lessened.items()},
                max(ten, key=ten.__getitem__, default=None),
                max(ten.values(), default=None),
                max(figures, key=figures.__getitem__, default=None),
                max(figures.values(), default=None),
            )
        )
    return lines


def lists(case: Case, settings: TenantSettings, without: Sequence[str]) -> Lists:
    """What a night at the cut would publish, had its challenger been promoted."""
    others = [part for part in without if part != "als"]
    if others:
        settings = with_changes(settings, {"blend.without": others})
    told, tonight = case.history, case.tonight
    windows = choose(told, tonight, settings.windows, settings.blend)
    if windows is None:
        model = template_baseline(told, tonight, settings, "")
    else:
        kind = BASELINE if "als" in without else ALS
        model = train(told, windows, settings, kind=kind, fingerprint="")
    return rank(model, told, tonight, case.products, settings.lists)


def ndcg_at_10(made: Lists, truth: Truth, task: str) -> float:
    """Mean NDCG@10 over the customers of ``truth``; who has no list of their own scores 0."""
    rows = {customer: row for row, customer in enumerate(made.customers)}
    hits = np.zeros((len(truth), 10), bool)
    for place, (customer, bought) in enumerate(truth.items()):
        if customer in rows:
            entries = made.entries[rows[customer]]
            if task == "new":
                entries = entries[entries["times"] == 0]
            shown = [int(n) for n in entries["product"] if n >= 0][:10]
            hits[place, : len(shown)] = [made.products[n].product_id in bought for n in shown]
    return mean(ndcg(hits, np.array([len(bought) for bought in truth.values()], np.int64)))


def means(lines: Sequence[Line]) -> dict[str, dict[str, float | None]]:
    """Geometric means of the engine's ratio to the best peer, the best column, and each ablation."""
    found = {}
    for task in (*TASKS, "all"):
        mine = [line for line in lines if task in (line.task, "all")]
        found[task] = {
            "best of ten": geometric((line.engine, line.peer_ndcg) for line in mine),
            "best of eleven": geometric((line.engine, line.best_ndcg) for line in mine),
            **{
                f"without {part}": geometric((line.engine, line.without[part]) for line in mine)
                for part in lines[0].without
            },
        }
    return found


def geometric(pairs: Iterable[tuple[float, float | None]]) -> float | None:
    """Geometric mean of first over second; None where nothing can be compared."""
    ratios = [ours / theirs for ours, theirs in pairs if theirs]
    return math.prod(ratios) ** (1 / len(ratios)) if ratios else None


def table(lines: Sequence[Line]) -> list[str]:
    """Markdown: a line per case and task, then the geometric means."""
    parts = list(lines[0].without)
    head = ["case · task", "judged", "best of the ten peers", "", "with prototype", "engine"]
    head += ["× ten", "× eleven", *(f"without {part}" for part in parts)]
    rows = [
        [
            f"{line.case} · {line.task}",
            str(line.judged),
            line.peer or "–",
            figure(line.peer_ndcg),
            figure(line.best_ndcg),
            figure(line.engine),
            ratio(line.engine, line.peer_ndcg),
            ratio(line.engine, line.best_ndcg),
            *(figure(line.without[part]) for part in parts),
        ]
        for line in lines
    ]
    for task, mean_of in means(lines).items():
        ten, eleven, *others = (f"**{figure(value)}**" for value in mean_of.values())
        left = [f"**geometric mean of engine over, {task}**", "", "", "", "", ""]
        rows.append([*left, ten, eleven, *others])
    ruler = ["---", "---:", "---", *["---:"] * (len(head) - 3)]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def ratio(ours: float, theirs: float | None) -> str:
    return f"{ours / theirs:.3f}" if theirs else "–"


if __name__ == "__main__":
    main()
