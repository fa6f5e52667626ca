"""Where the template's coefficients come from: the medians over real tenants.

    python -m benchmarks.template FOLDER…

A FOLDER holds customers, products and interactions in the universal form, or folders of them.
"""

import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from factory.train import ALS, train
from factory.windows import choose
from jobs.evaluate import folders, read_folder
from schema.config import read_config
from schema.records import Blend


def main() -> None:
    """Train on every folder and print the median of each coefficient."""
    settings = read_config().template
    blends: list[Blend] = []
    for place in (place for name in sys.argv[1:] for place in folders(Path(name))):
        told = read_folder(place, settings, datetime.now(UTC))
        windows = choose(told, int(told.day.max()) + 1, settings.windows, settings.blend)
        if windows is not None:
            blends.append(train(told, windows, settings, kind=ALS, fingerprint="").blend)
    table = Table("coefficient", "repeat", "fresh", title=f"Medians over {len(blends)} tenants")
    for name in blends[0].repeat:
        fresh = [blend.fresh[name] for blend in blends if name in blend.fresh]
        table.add_row(
            name,
            f"{statistics.median(blend.repeat[name] for blend in blends):.2f}",
            f"{statistics.median(fresh):.2f}" if fresh else "",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
