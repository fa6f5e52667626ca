"""The engine against simple rules."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.progress import track

from factory.evaluate import METHODS
from jobs.cli.door import as_json, console, now, print_json, table
from jobs.evaluate import Evaluation, evaluate_folder, folders
from schema.config import read_config


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cut", type=click.DateTime(["%Y-%m-%d"]), help="Train before, judge from this day.")
@as_json
def evaluate(folder: Path, cut: datetime | None, json: bool) -> None:
    """The engine against simple rules: NDCG@10 on days none of them saw.

    FOLDER holds customers, products and interactions (CSV or Parquet) in the universal form, or
    one folder of them per tenant.

    Example: recfactory evaluate var/demo
    """
    settings = read_config().template
    places = folders(folder)
    bar = track(places, "evaluate", console=console().__class__(stderr=True), disable=json)
    found = [evaluate_folder(place, cut.date() if cut else None, settings, now()) for place in bar]
    if json:
        print_json([_as_json(evaluation) for evaluation in found])
        return
    for task, words in (("any", "any product"), ("new", "products new to the customer")):
        table(
            f"NDCG@10, {words}",
            ["data", "cut", "days>", "judged>", *(f"{m}>" for m in METHODS)],
            _rows(found, task),
        )


def _rows(found: Sequence[Evaluation], task: str) -> list[list[object]]:
    rows: list[list[object]] = []
    for e in found:
        cells = [
            f"{getattr(s, task):.3f} ±{getattr(s, f'{task}_margin'):.3f}"
            if s.method == "engine"
            else f"{getattr(s, task):.3f}"
            for s in e.scores
        ]
        rows.append([e.name, e.cut, e.days, e.judged, *(cells or ["too small"] + [""] * 5)])
    judged = [e for e in found if e.scores]
    if len(judged) > 1:
        means = [
            sum(getattr(e.scores[place], task) for e in judged) / len(judged)
            for place in range(len(METHODS))
        ]
        rows.append(["mean", "", "", "", *(f"{mean:.3f}" for mean in means)])
    return rows


def _as_json(evaluation: Evaluation) -> dict[str, object]:
    return {
        "name": evaluation.name,
        "cut": evaluation.cut,
        "days": evaluation.days,
        "judged": evaluation.judged,
        "scores": [
            {
                "method": score.method,
                "ndcg_at_10": score.any,
                "ndcg_at_10_margin": score.any_margin,
                "ndcg_new_at_10": score.new,
                "ndcg_new_at_10_margin": score.new_margin,
            }
            for score in evaluation.scores
        ],
    }
