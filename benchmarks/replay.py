"""Does the gate choose well? Consecutive weekly nights, judged on what happened afterwards.

    python -m benchmarks.replay [FOLDER…] [--weeks 8] [--tenants NAME…] [--processes N]
                               [--json]

Three policies live through the same nights: ``always`` promotes every challenger, ``never`` keeps
the first incumbent (the baseline), ``gate`` does what the factory does. Every night each
policy's model in force predicts the window that *follows*, which no model has seen and no
verdict was based on. The challenger of a night is the same for all: a policy only differs in which
night's model it holds.

Tenants are the manufacturers of The Complete Journey and, where ``../shared`` is there, three
others; or the FOLDERs named, each with customers, products and interactions.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.cases import SHARED
from factory.gate import decide
from factory.judge import judge
from factory.train import ALS, BASELINE, train
from factory.windows import choose
from jobs.demo import write_demo
from jobs.evaluate import folders, read_folder
from schema.config import read_config
from schema.dates import day_date
from schema.errors import Problem
from schema.names import Outcome
from schema.records import History, Model, Windows
from schema.settings import TenantSettings

POLICIES = ("always", "never", "gate")
OTHERS = ("online_retail", "adventureworks_reseller", "groceries_members")
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Played:
    """One night of one tenant.

    Attributes:
        days: length H of the window that follows, which rmse and ndcg were realised on.
        outcome: what the gate said.
        rmse, ndcg: by policy; ndcg is NDCG@10 over customers who bought something.
    """

    tenant: str
    night: str
    days: int
    outcome: str
    rmse: dict[str, float]
    ndcg: dict[str, float]


def main(argv: Sequence[str] | None = None) -> None:
    """Replay every tenant and print; exit status 2 where there is nothing to replay."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("folder", type=Path, nargs="*")
    arguments.add_argument("--weeks", type=int, default=8)
    arguments.add_argument("--tenants", nargs="+", default=[])
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args(argv)
    settings = read_config().template
    try:
        with tempfile.TemporaryDirectory() as place:
            named = [one for folder in asked.folder for one in folders(folder)]
            chosen = [
                folder
                for folder in named or real_tenants(Path(place))
                if not asked.tenants or folder.name in asked.tenants
            ]
            play = partial(replayed, settings=settings, weeks=asked.weeks)
            made = over(chosen, play, asked.processes)
            console = Console(stderr=True)
            bar = track(made, "tenants", len(chosen), console=console, disable=asked.json)
            played = [night for nights in bar for night in nights]
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        raise SystemExit(2) from problem
    if not played:
        sys.stderr.write("no tenant has a history long enough to replay a night of\n")
        raise SystemExit(2)
    if asked.json:
        told = [asdict(night) for night in played]
        print(json.dumps({"nights": told, "gate_against": compared(played)}))
        return
    print("\n".join([*table(played), "", *sentences(played)]))


def over(
    chosen: Sequence[Path], play: Callable[[Path], list[Played]], processes: int
) -> Iterator[list[Played]]:
    """Each tenant's nights, as they come; the processes are spawned, as ``implicit`` wants it."""
    if processes == 1:
        yield from map(play, chosen)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(play, chosen)


def real_tenants(place: Path) -> list[Path]:
    """The folders of the demo's tenants, written under ``place``, and of the shared ones."""
    shared = [SHARED / "data" / name for name in OTHERS]
    there = [folder for folder in shared if folder.is_dir()]
    if len(there) < len(shared):
        missing = ", ".join(folder.name for folder in shared if folder not in there)
        sys.stderr.write(f"without {missing}: not found under {SHARED / 'data'}\n")
    return [made.folder for made in write_demo(place, 12)] + there


def replayed(folder: Path, settings: TenantSettings, weeks: int) -> list[Played]:
    """The last ``weeks`` weekly nights of one tenant, oldest first."""
    told = read_folder(folder, settings, datetime.now(UTC))
    nights = weekly(told, settings, weeks)
    played: list[Played] = []
    if not nights:
        return played
    first = train(
        until(told, nights[0].tonight), nights[0], settings, kind=BASELINE, fingerprint=""
    )
    incumbent = first
    for windows in nights:
        known = until(told, windows.tonight)
        challenger = train(known, windows, settings, kind=ALS, fingerprint="", start=incumbent)
        outcome = verdict(challenger, incumbent, known, windows, settings)
        if outcome is Outcome.PROMOTED:
            incumbent = challenger
        following = Windows(windows.days, windows.tonight + windows.days, ())
        models = list({id(model): model for model in (challenger, first, incumbent)}.values())
        judged = judge(models, told, following, seed=settings.seed)
        realised = {id(model): found for model, found in zip(models, judged, strict=True)}
        held = zip(POLICIES, (challenger, first, incumbent), strict=True)
        of = {policy: realised[id(model)] for policy, model in held}
        played.append(
            Played(
                folder.name,
                day_date(windows.tonight).isoformat(),
                windows.days,
                outcome.value,
                {policy: judgement.rmse for policy, judgement in of.items()},
                {policy: judgement.ndcg_at_10 for policy, judgement in of.items()},
            )
        )
    return played


def weekly(told: History, settings: TenantSettings, weeks: int) -> list[Windows]:
    """The windows of the last nights a week apart whose following window lies in the history.

    Nights too small to be judged are left out: they keep every policy's model.
    """
    end = int(told.day.max(initial=0)) + 1
    found: list[Windows] = []
    for night in range(end, int(told.day.min(initial=end)), -7):
        windows = choose(told, night, settings.windows, settings.blend)
        if windows is not None and night + windows.days <= end:
            found.append(windows)
        if len(found) == weeks:
            break
    return found[::-1]


def until(told: History, night: int) -> History:
    """What a night of this date may know."""
    rows = told.day < night
    return replace(
        told,
        customer=told.customer[rows],
        product=told.product[rows],
        day=told.day[rows],
        bought=told.bought[rows],
        weight=told.weight[rows],
    )


def verdict(
    challenger: Model, incumbent: Model, known: History, windows: Windows, settings: TenantSettings
) -> Outcome:
    """What `jobs.night` would say."""
    if incumbent.trained_through > windows.judge:
        return Outcome.REJECTED
    challenged, judged = judge((challenger, incumbent), known, windows, seed=settings.seed)
    return decide(challenged, judged, settings.gate, seed=settings.seed).outcome


def compared(played: Sequence[Played]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Gate against each other policy: mean paired difference and its 95 % interval.

    RMSE as a change in per cent (its size is the tenant's, not the model's), NDCG@10 as a difference.
    """
    return {
        other: {
            "rmse_percent": interval(
                played, [100 * (n.rmse["gate"] / n.rmse[other] - 1) for n in played]
            ),
            "ndcg": interval(played, [n.ndcg["gate"] - n.ndcg[other] for n in played]),
        }
        for other in POLICIES[:2]
    }


def interval(played: Sequence[Played], differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean over tenants of the mean over nights; bootstrapped over tenants, then their nights.

    In two stages, because the nights of one tenant look at overlapping windows and are not
    independent.

    Source: Davison, Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8.
    """
    by_tenant: dict[str, list[float]] = {}
    for night, difference in zip(played, differences, strict=True):
        by_tenant.setdefault(night.tenant, []).append(difference)
    groups: list[NDArray[np.float64]] = [np.array(values) for values in by_tenant.values()]
    rng = np.random.default_rng(0)
    means = [
        np.mean([rng.choice(groups[one], len(groups[one])).mean() for one in drawn])
        for drawn in rng.integers(0, len(groups), (RESAMPLES, len(groups)))
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean([group.mean() for group in groups])), float(low), float(high)


def table(played: Sequence[Played]) -> list[str]:
    """Markdown: a line per tenant and the mean of them."""
    head = ["tenant", "nights", "days", "promoted"]
    head += [f"{measure} {policy}" for measure in ("RMSE", "NDCG@10") for policy in POLICIES]
    rows, means = [], []
    for tenant in dict.fromkeys(night.tenant for night in played):
        mine = [night for night in played if night.tenant == tenant]
        figures = [np.mean([n.rmse[policy] for n in mine]) for policy in POLICIES]
        figures += [np.mean([n.ndcg[policy] for n in mine]) for policy in POLICIES]
        means.append(figures)
        promoted = sum(night.outcome == Outcome.PROMOTED.value for night in mine)
        days = "/".join(str(days) for days in sorted({night.days for night in mine}))
        rows.append([tenant, str(len(mine)), days, str(promoted), *_spelled(figures)])
    promoted = sum(night.outcome == Outcome.PROMOTED.value for night in played)
    mean = _spelled(list(np.mean(means, axis=0)))
    rows.append(["**mean**", str(len(played)), "", str(promoted), *(f"**{m}**" for m in mean)])
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _spelled(figures: Sequence[np.floating | float]) -> list[str]:
    return [*(f"{value:.5f}" for value in figures[:3]), *(f"{value:.4f}" for value in figures[3:])]


def sentences(played: Sequence[Played]) -> list[str]:
    """The comparison in words."""
    found = []
    for other, by in compared(played).items():
        (rmse, *rmse_range), (ndcg, *ndcg_range) = by["rmse_percent"], by["ndcg"]
        found.append(
            f"- gate against {other}: realised RMSE {rmse:+.3f} % "
            f"(95 % interval {rmse_range[0]:+.3f} to {rmse_range[1]:+.3f}), "
            f"NDCG@10 {ndcg:+.4f} ({ndcg_range[0]:+.4f} to {ndcg_range[1]:+.4f})"
        )
    return found


if __name__ == "__main__":
    main()
