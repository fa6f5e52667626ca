"""Evaluation cases, shared with the peers: what a recommender may see, and what was bought next.

``../shared/tools/cases.py`` writes them: per case history.parquet, truth.parquet,
products.parquet and case.json. Here they take the universal form, and pass the same checks
that a client's files would.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.evaluate import read_folder
from schema.dates import day_number
from schema.errors import Refused
from schema.names import Status
from schema.records import History, Product
from schema.settings import TenantSettings
from schema.tables import INTERACTIONS, PRODUCTS, Table

SHARED = Path(__file__).parents[2] / "shared"

Truth = dict[str, set[str]]
"""Customer id -> ids of the products bought in the window after the cut; never empty."""


@dataclass(frozen=True, slots=True)
class Case:
    """One tenant, cut where the window to be predicted begins.

    Attributes:
        tonight: day number of the first local midnight at or after the cut: everything in the
            history lies before it.
        bought: what was bought after the cut; new: of that, what the customer never had before.
    """

    name: str
    history: History
    products: tuple[Product, ...]
    tonight: int
    bought: Truth
    new: Truth


def made_cases(place: Path) -> list[Path]:
    """Let the shared tool write the cases under ``place``; returns their folders.

    Raises:
        Refused: the tool is not there.
    """
    tool, data = SHARED / "tools" / "cases.py", SHARED / "data"
    if not tool.exists():
        raise Refused(
            f"{tool} is not there: the cases are made by it",
            "put the shared folder beside the project, or name made cases with --cases",
            code="DATA_MISSING",
        )
    subprocess.run([sys.executable, tool, place, data], check=True, stdout=subprocess.DEVNULL)
    return case_folders(place)


def case_folders(place: Path) -> list[Path]:
    """The folders under ``place`` that hold a case, by name."""
    found = sorted(path.parent for path in place.glob("*/case.json"))
    if not found:
        raise Refused(
            f"no folder under {place} holds a case.json",
            "make the cases with ../shared/tools/cases.py",
            code="DATA_MISSING",
        )
    return found


def read_case(folder: Path, settings: TenantSettings) -> Case:
    """Read a case by the way a tenant's delivery goes."""
    about = json.loads((folder / "case.json").read_text())
    happened = _columns(folder / "history.parquet", INTERACTIONS)
    catalogue = _columns(folder / "products.parquet", PRODUCTS)
    with tempfile.TemporaryDirectory() as universal:
        customers = pa.table({"customer_id": pc.unique(happened["customer_id"])})
        pq.write_table(customers, Path(universal) / "customers.parquet")
        pq.write_table(catalogue, Path(universal) / "products.parquet")
        pq.write_table(happened, Path(universal) / "interactions.parquet")
        told = read_folder(Path(universal), settings, datetime.now(UTC))
    after = _pairs(pq.read_table(folder / "truth.parquet"))
    return Case(
        name=about["name"],
        history=told,
        products=_listed(told, catalogue),
        tonight=_next_midnight(datetime.fromisoformat(about["cut"])),
        bought=_by_customer(after),
        new=_by_customer(after - _pairs(happened)),
    )


def _columns(path: Path, table: Table) -> pa.Table:
    """What the universal schema knows of a file."""
    rows = pq.read_table(path)
    return rows.select([c.name for c in table.columns if c.name in rows.column_names])


def _listed(told: History, catalogue: pa.Table) -> tuple[Product, ...]:
    named = {row["product_id"]: row for row in catalogue.to_pylist()}
    sellable = Status.SELLABLE.value
    rows = ((name, named.get(name, {})) for name in told.products.names)
    return tuple(
        Product(name, row.get("name"), row.get("category"), row.get("price"), sellable)
        for name, row in rows
    )


def _next_midnight(cut: datetime) -> int:
    return day_number((cut + timedelta(days=1, microseconds=-1)).date())


def _pairs(rows: pa.Table) -> set[tuple[str, str]]:
    return set(zip(rows["customer_id"].to_pylist(), rows["product_id"].to_pylist(), strict=True))


def _by_customer(pairs: set[tuple[str, str]]) -> Truth:
    found: Truth = {}
    for customer, product in pairs:
        found.setdefault(customer, set()).add(product)
    return found
