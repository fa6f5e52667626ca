"""Write the README's table of `recfactory evaluate`, or check that it is true.

python -m benchmarks.readme FOLDER [--check]
"""

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from factory.evaluate import METHODS
from jobs.evaluate import Evaluation, evaluate_folder, folders
from schema.config import read_config

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- evaluate -->\n).*?(<!-- /evaluate -->)", re.DOTALL)
CLOSE = 0.01
"""Another machine's kernels may round elsewhere; figures further apart are no longer true."""


def main() -> None:
    """Evaluate every folder and write or check the table; exit status 1 if it is not true."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--check", action="store_true")
    asked = arguments.parse_args()
    settings = read_config().template
    now = datetime.now(UTC)
    found = [evaluate_folder(place, None, settings, now) for place in folders(asked.folder)]
    made = "\n".join([*table(found, "any"), "", *table(found, "new"), ""])
    text = README.read_text()
    if asked.check:
        sys.exit(differs(BLOCK.search(text), made) or worse(found))
    README.write_text(BLOCK.sub(lambda match: match[1] + made + match[2], text))


def table(found: list[Evaluation], task: str) -> list[str]:
    """Markdown, a line per tenant and the mean."""
    word = "any product" if task == "any" else "products new to the customer"
    rows = [[getattr(score, task) for score in e.scores] for e in found]
    mean = [sum(column) / len(column) for column in zip(*rows, strict=True)]
    return [
        f"| {word} | judged | {' | '.join(METHODS)} |",
        f"|---|{'---:|' * (len(METHODS) + 1)}",
        *(
            f"| {e.name} | {e.judged} | {' | '.join(f'{value:.3f}' for value in row)} |"
            for e, row in zip(found, rows, strict=True)
        ),
        f"| **mean** | | {' | '.join(f'**{value:.3f}**' for value in mean)} |",
    ]


def differs(block: re.Match[str] | None, made: str) -> str | None:
    """A sentence if a figure of the README is not what was found."""
    kept = re.findall(r"0\.\d+", block[0]) if block else []
    now = re.findall(r"0\.\d+", made)
    if len(kept) != len(now):
        return "the README's table has another shape; run `python -m benchmarks.readme FOLDER`"
    off = [(a, b) for a, b in zip(kept, now, strict=True) if abs(float(a) - float(b)) > CLOSE]
    return f"the README says {off[0][0]}, it is {off[0][1]}" if off else None


def worse(found: list[Evaluation]) -> str | None:
    """A sentence if the engine does not beat ALS alone and recent popularity on average."""
    for task in ("any", "new"):
        mean = {
            method: sum(getattr(e.scores[place], task) for e in found) / len(found)
            for place, method in enumerate(METHODS)
        }
        for rule in ("ALS alone", "recent", "popular"):
            if mean["engine"] <= mean[rule]:
                return f"{rule} beats the engine ({task}): {mean}"
    return None


if __name__ == "__main__":
    main()
