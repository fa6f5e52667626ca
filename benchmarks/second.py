"""A second night with six days' new rows, two in a hundred, against the full one before it.

    python -m benchmarks.second [--every 20] [--home FOLDER] [--json]

The fleet of ``benchmarks.fleet``, its year imported at once: the first night sees the rows before
its date, the second those of six days more. Whoever sold nothing in these has nothing new and keeps its
lists; the others start from the incumbent's factors. Each night runs in a process of its own.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.fleet import Night, alone, imported
from jobs.demo import NIGHTS, Part, parts

SECOND = NIGHTS[-1]
FIRST = SECOND - timedelta(days=6)  # lists speak of a week at least, and are made anew after it


@dataclass(frozen=True, slots=True)
class Measured:
    """Both nights; new: rows between them, as a share of all."""

    first: Night
    second: Night
    new: float

    def figures(self) -> dict[str, Any]:
        """Ready for JSON; ratios are of the second night to the first."""
        return {
            "tenants": len(self.second.tenants),
            "new_rows": self.new,
            "first": {"wall": self.first.wall, "core_seconds": self.first.core_seconds},
            "second": {"wall": self.second.wall, "core_seconds": self.second.core_seconds},
            "ratio_wall": self.second.wall / self.first.wall,
            "ratio_core": self.second.core_seconds / self.first.core_seconds,
            "outcomes": {"first": self.first.outcomes, "second": self.second.outcomes},
        }


def main(words: list[str] | None = None) -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--every", type=int, default=1, help="one tenant of so many")
    arguments.add_argument("--home", type=Path, help="a home with imports, and no night")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.home or Path(folder), asked.every, quiet=asked.json).figures()
    if asked.json:
        print(json.dumps(found))
    else:
        show(found)


def measure(home: Path, every: int, *, quiet: bool = True) -> Measured:
    """Import where that was not done before, then one night and the other."""
    made = parts()[::every]
    config, names = imported(home, made, quiet=quiet)
    first = alone(config, names, FIRST)
    second = alone(config, names, SECOND)
    if not first.tenants:
        raise SystemExit(f"the first night in {home} was done before: measure in a fresh copy")
    return Measured(first, second, new_share(made))


def new_share(made: list[Part]) -> float:
    """Rows of the days between the nights, of all before the second."""
    days = timedelta(days=(SECOND - FIRST).days)
    until = pd.Timestamp(SECOND)
    times = pd.concat([part.lines["transaction_timestamp"] for part in made])
    seen = times[times < until]
    return float((seen >= until - days).mean())


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("what", "first night", "second", "ratio", title=f"{found['tenants']:,} tenants")
    for name, ratio in (("wall", "ratio_wall"), ("core_seconds", "ratio_core")):
        values = [f"{found[night][name]:.1f} s" for night in ("first", "second")]
        table.add_row(name.replace("_", "-"), *values, f"{found[ratio]:.2f}")
    words = sorted({*found["outcomes"]["first"], *found["outcomes"]["second"]})
    for word in words:
        counts = [f"{found['outcomes'][night].get(word, 0):,}" for night in ("first", "second")]
        table.add_row(word, *counts, "")
    Console().print(table, f"new rows: {found['new_rows']:.1%} of all")


if __name__ == "__main__":
    main()
