"""Real files of twelve tenants come in through mapping alone, and nothing of them is lost.

``../shared/data`` describes itself: the counts here are those of its README.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.compute as pc
import pytest

from benchmarks.cases import SHARED
from factory.mapped import LEFT_OUT
from factory.validate import Checked
from jobs.intake import ImportReport, import_files
from schema.errors import FactoryError
from schema.mapping import read_mapping
from schema.names import TenantId
from tests.world import ACME, BETA, NOW, World, open_world

DATA = SHARED / "data"

if os.environ.get("CI") != "true":
    pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")


class Client:
    """A tenant that delivers files as they are, and may declare how they look."""

    def __init__(self, world: World, name: TenantId = ACME) -> None:
        self.world, self.name = world, name

    def declare(self, text: str) -> None:
        self.world.stores.ledger.change_mapping(
            self.name, read_mapping(text).as_json(), by="test", why="a test", at=NOW
        )

    def deliver(self, **files: Path) -> dict[str, Checked]:
        report: ImportReport = import_files(
            self.world.stores,
            self.world.tenant(self.name),
            files,
            self.world.config.template.intake,
            by="test",
            now=NOW,
        )
        for table in report.tables:
            assert len(table.accepted) + len(table.quarantined) == table.read
        return {table.table: table for table in report.tables}

    def refused(self, **files: Path) -> str:
        """The code of the answer."""
        with pytest.raises(FactoryError) as told:
            self.deliver(**files)
        return told.value.problem.code


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    world = open_world(tmp_path)
    world.add(ACME)
    world.add(BETA)
    yield Client(world)
    world.stores.engine.dispose()


def common(folder: str) -> dict[str, Path]:
    """A folder's three files in their common form."""
    names = ("customers", "products", "interactions")
    return {name: DATA / folder / f"{name}.parquet" for name in names}


def taken(delivery: Mapping[str, Checked]) -> tuple[int, int, int]:
    """Accepted customers, products, interactions."""
    found = (len(delivery[name].accepted) for name in ("customers", "products", "interactions"))
    return next(found), next(found), next(found)


def faults(table: Checked) -> dict[str, int]:
    """Rows by code, as they lie in quarantine."""
    counts = pc.value_counts(table.quarantined["_code"]).to_pylist()
    return {count["values"]: count["counts"] for count in counts}


FOLDERS = {
    "online_retail": ("customers: {columns: {region: country}}", (4372, 4070, 406_829)),
    "movielens_100k": ("customers: {columns: {segment: occupation}}", (943, 1682, 100_000)),
    "groceries_members": ("", (3898, 167, 38_765)),
    "adventureworks_reseller": (
        """
        currency: USD
        customers: {columns: {segment: business_type, region: country}}
        products: {columns: {cost: unit_cost}}
        """,
        (701, 397, 57_851),
    ),
    "adventureworks_internet": (
        "customers: {columns: {segment: occupation, region: sales_territory_key}}",
        (18_484, 397, 60_398),
    ),
    "northwind": (
        """
        customers: {columns: {segment: contact_title, region: country}}
        products:
          columns:
            status: {from: discontinued, words: {true: discontinued, false: sellable}}
        """,
        (91, 77, 2155),
    ),
    "classicmodels": (
        """
        customers: {columns: {region: {from: country, trim: true}}}
        products: {columns: {cost: buy_price}}
        """,
        (122, 110, 2996),
    ),
    "chinook": ("customers: {columns: {region: country}}", (59, 3503, 2240)),
    "bikestores": ("customers: {columns: {region: state}}", (1445, 321, 4722)),
    "superstore": ("customers: {columns: {region: main_region}}", (793, 1862, 9994)),
    "crm_opportunities": (
        """
        customers: {columns: {segment: sector, region: office_location}}
        interactions: {leave_out: {occurred_at: [""]}}
        """,
        (85, 8, 7375 - 163),
    ),
    "telco_holdings": (
        """
        customers: {columns: {segment: contract}}
        interactions: {how: replace, columns: {occurred_at: {delivered: true}}}
        """,
        (7043, 10, 29_202),
    ),
}
"""Of each folder in the common form: what had to be declared, and what comes in."""


class TestEveryFolder:
    def test_is_in_this_list(self) -> None:
        there = {path.name for path in DATA.iterdir() if path.is_dir()}
        assert there == {*FOLDERS, "dirty_samples"}

    @pytest.mark.parametrize("folder", FOLDERS)
    def test_comes_in_through_mapping_alone(self, folder: str, client: Client) -> None:
        text, expected = FOLDERS[folder]
        client.declare(text or "{}")

        delivery = client.deliver(**common(folder))

        assert taken(delivery) == expected
        assert {code for table in delivery.values() for code in faults(table)} <= {LEFT_OUT}
