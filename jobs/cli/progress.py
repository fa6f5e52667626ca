"""One line on standard error that says how far a run has come."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from jobs.progress import Progress
from jobs.results import Result, Task
from jobs.runs import Ran, run
from schema.config import Config
from storage.stores import Stores


def bar(*, quiet: bool) -> Bar:
    """A progress bar on standard error, where a person sits before it."""
    error = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    return Bar(*columns, console=error, disable=quiet or not error.is_terminal)


def run_with_progress(
    stores: Stores,
    config: Config,
    tasks: Sequence[Task],
    title: str,
    *,
    by: str,
    whole: bool,
    quiet: bool,
) -> Ran:
    """Run tasks; verdicts so far and the time left on one line."""
    with bar(quiet=quiet) as shown:
        line = shown.add_task(title, total=len(tasks), told="")
        begun = time.monotonic()

        def done(_: Result, progress: Progress) -> None:
            left = progress.left(time.monotonic() - begun)
            told = f"{progress.told()}, {duration(left)} left"
            shown.update(line, completed=progress.done, told=told)

        return run(stores, config, tasks, done, by=by, whole=whole)


def duration(seconds: float | None) -> str:
    """As a person says it: "40 s", "12 min", "1 h 05 min"."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
