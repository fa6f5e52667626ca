"""A night's lists from a history told by hand: train, then rank, as the night does."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from factory.rank import rank
from factory.train import ALS, template_baseline, train
from factory.windows import choose
from schema.dates import day_number
from schema.records import History, Lists, Model
from schema.settings import ListSettings, TenantSettings, WindowSettings
from tests.factory.build import Bought, catalogue
from tests.world import write_files

SMALL = TenantSettings(windows=WindowSettings(min_pairs=20))
"""The template; only asked for fewer purchases to judge by, because these tenants are small."""

WHOLE = ListSettings(length=200, at_least_new=20, at_least_bought=20)
"""Long enough to hold every product of these tenants."""

FIRST_DAY = date(2026, 1, 1)


def model_of(told: History, tonight: int, settings: TenantSettings = SMALL) -> Model:
    """The challenger of that night; the template's baseline where there is too little to judge."""
    windows = choose(told, tonight, settings.windows, settings.blend)
    if windows is None:
        return template_baseline(told, tonight, settings, "f")
    return train(told, windows, settings, kind=ALS, fingerprint="f")


def lists_of(
    told: History,
    tonight: int,
    settings: TenantSettings = SMALL,
    *,
    rule: ListSettings = WHOLE,
    model: Model | None = None,
) -> Lists:
    """What that night would publish."""
    made = model or model_of(told, tonight, settings)
    return rank(made, told, tonight, catalogue(told), rule)


def listed(lists: Lists, row: int) -> list[int]:
    """Product numbers of one list, best first."""
    return [int(n) for n in lists.entries[row]["product"] if n >= 0]


def tables(
    rows: list[Bought], customers: int, products: int, categories: list[str] | None = None
) -> dict[str, pa.Table]:
    """The same telling as a client's three tables: customers C-000 …, products P-000 …."""
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 10, tzinfo=UTC)
    return {
        "customers": pa.table({"customer_id": [f"C-{n:03}" for n in range(customers)]}),
        "products": pa.table(
            {
                "product_id": [f"P-{n:03}" for n in range(products)],
                "category": pa.array(categories or pa.nulls(products), pa.string()),
            }
        ),
        "interactions": pa.table(
            {
                "customer_id": [f"C-{row[0]:03}" for row in rows],
                "product_id": [f"P-{row[1]:03}" for row in rows],
                "occurred_at": pa.array(
                    [start + timedelta(days=row[2]) for row in rows], pa.timestamp("us", "UTC")
                ),
            }
        ),
    }


def folder_of(place: Path, made: dict[str, pa.Table]) -> Path:
    """The tables as a folder in the universal form."""
    write_files(place, made)
    return place


def tonight(day: int) -> int:
    """The day number of a told day in a folder."""
    return day_number(FIRST_DAY) + day
