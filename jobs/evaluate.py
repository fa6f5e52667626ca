"""Folders in the universal form -> how well the engine does on each."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from factory.evaluate import Score, evaluate
from factory.history import from_tables
from factory.validate import check
from factory.windows import choose
from schema.dates import day_date, day_number
from schema.errors import Refused
from schema.records import History
from schema.settings import TenantSettings
from schema.tables import IMPORTED
from storage.inbox import read_file
from tenants.order import zone

_LARGEST = 2**40


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One folder's figures; no scores where it is too small."""

    name: str
    cut: date | None
    days: int
    judged: int
    scores: list[Score]


def folders(root: Path) -> list[Path]:
    """The folder itself if it holds the three tables, else those of its folders that do."""
    found = [folder for folder in (root, *sorted(root.glob("*"))) if _holds_tables(folder)]
    if not found:
        raise Refused(
            f"{root} holds no customers, products and interactions files",
            "name a folder with customers.csv, products.csv, interactions.csv (or .parquet)",
            code="DATA_MISSING",
        )
    return found


def evaluate_folder(
    folder: Path, cut: date | None, settings: TenantSettings, now: datetime
) -> Evaluation:
    """Evaluate on the days after ``cut``; without one, on the last window the data allows."""
    history = read_folder(folder, settings, now)
    end = int(history.day.max(initial=0)) + 1
    windows = choose(history, end, settings.windows, settings.blend)
    if windows is None and cut is None:
        return Evaluation(folder.name, None, 0, 0, [])
    if cut is None:
        assert windows is not None
        start, days = windows.judge, windows.days
    else:
        start = day_number(cut)
        days = min(windows.days if windows else end - start, end - start)
    found = evaluate(history, start, days, settings) if days > 0 else None
    judged, scores = found or (0, [])
    return Evaluation(folder.name, day_date(start), days, judged, scores)


def read_folder(folder: Path, settings: TenantSettings, now: datetime) -> History:
    """Check a folder's tables against the universal schema and join what fits."""
    known: dict[str, pa.Array] = {}
    tables = {}
    for table in IMPORTED:
        path = next(path for path in _candidates(folder, table.name) if path.exists())
        rows = read_file(path, _LARGEST).rows
        accepted = check(rows, table, zone=zone("UTC"), now=now, known=known).accepted
        tables[table.name] = accepted
        if table.key:
            known[table.name] = accepted[table.key].combine_chunks()
    return from_tables(
        tables["customers"],
        tables["products"],
        tables["interactions"],
        settings,
        zone("UTC"),
        before=date.max,
    )


def _candidates(folder: Path, table: str) -> list[Path]:
    return [folder / f"{table}{suffix}" for suffix in (".parquet", ".csv")]


def _holds_tables(folder: Path) -> bool:
    return all(any(path.exists() for path in _candidates(folder, t.name)) for t in IMPORTED)
