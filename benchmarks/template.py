"""Where the template's coefficients come from: one regression over many real tenants.

    python -m benchmarks.template FOLDER… > factory/prior.py

A FOLDER holds customers, products and interactions in the universal form, or folders of them.
Every tenant counts alike, however large.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from factory.blend import FRESH, REPEAT
from factory.logistic import Lesson, joined, regress
from factory.train import ALS, study
from factory.windows import choose
from jobs.evaluate import folders, read_folder
from schema.config import read_config

PURCHASES = 300.0
"""Weight of a tenant, as if it had made so many purchases."""

RIDGE = 10.0

LEAST_TENANTS = 10
"""A feature that fewer tenants have says nothing about the others: 0."""


def main() -> None:
    """Study every folder, regress on all of them together, print the module."""
    settings = read_config().template
    repeats: list[Lesson] = []
    freshes: list[Lesson] = []
    places = [place for name in sys.argv[1:] for place in folders(Path(name))]
    for place in track(places, "studying", console=Console(stderr=True)):
        told = read_folder(place, settings, datetime.now(UTC))
        windows = choose(told, int(told.day.max()) + 1, settings.windows, settings.blend)
        if windows is not None:
            _, _, taught = study(told, windows, settings, kind=ALS)
            repeats += _alike([lesson.repeat for lesson in taught], REPEAT)
            freshes += _alike([lesson.fresh for lesson in taught], FRESH)
    print(HEAD.format(len(repeats)))
    print("PRIOR = Blend(")
    for name, names, lessons in (("repeat", REPEAT, repeats), ("fresh", FRESH, freshes)):
        beta = regress(joined(lessons, len(names)), np.zeros(len(names)), RIDGE)
        told = sum((lesson.design.std(0) > 0).astype(int) for lesson in lessons)
        beta[1:][np.asarray(told)[1:] < min(LEAST_TENANTS, len(lessons))] = 0
        values = ", ".join(f'"{n}": {b:.3f}' for n, b in zip(names, beta, strict=True))
        print(f"    {name}={{{values}}},")
    print(")")


HEAD = '''"""The template's coefficients: where a tenant shows nothing to the contrary, these hold.

One regression over {} real tenants, as `python -m benchmarks.template FOLDER…` printed it.
"""

from schema.records import Blend
'''


def _alike(lessons: Sequence[Lesson], names: tuple[str, ...]) -> list[Lesson]:
    """A tenant's lessons in one, weighing as much as any other tenant's."""
    lesson = joined(lessons, len(names))
    bought = float(lesson.weight[lesson.label].sum())
    if not bought:
        return []
    return [Lesson(lesson.design, lesson.label, lesson.weight * (PURCHASES / bought))]


if __name__ == "__main__":
    main()
