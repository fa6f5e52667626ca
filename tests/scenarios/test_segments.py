"""Customers of a kind: the reason names their segment, at every door, and it is true."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.evidence import SEASON
from factory.reasons import LEAST_BUYERS, LEAST_LIFT
from jobs.export import export, opened
from schema.names import Bought, Reason, Role, TenantId
from schema.settings import BlendSettings
from tests.scenarios.test_rules import recs
from tests.scenarios.tree import contents
from tests.serving.morning import SOON, Keys, serving
from tests.world import ACME, BETA, NIGHT, NOW, TEMPLATE, Tables, World, open_world, tables

CUSTOMERS = [f"C-{n:04}" for n in range(60)]
AFFINITIES = TEMPLATE.model_copy(update={"blend": BlendSettings(sample=5_000, without=("als",))})
"""With the affinities and without ALS, whose likeness would be the reason for most new products."""


def segment_of(name: TenantId, customer: str) -> str | None:
    """Taste goes by it; the last ten customers were never sorted."""
    n = int(customer[2:])
    return None if n >= 50 else f"{name} {'schools' if n % 2 else 'farms'}"


def sorted_customers(name: TenantId) -> Tables:
    made = tables(name)
    segments = [segment_of(name, customer) for customer in CUSTOMERS]
    column = pa.array(segments, pa.string())
    return {**made, "customers": made["customers"].append_column("segment", column)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """acme and beta after a night; the same customers, other names for their segments."""
    world = a_night(tmp_path_factory.mktemp("segments"))
    yield world
    world.stores.engine.dispose()


def a_night(folder: Path) -> World:
    world = open_world(folder, template=AFFINITIES, serving=SOON)
    for name in (ACME, BETA):
        world.add(name)
        world.import_(name, sorted_customers(name))
        assert world.night(name).published
    return world


def lists(world: World, name: TenantId) -> dict[str, list[dict[str, Any]]]:
    """What a lookup shows every customer."""
    return {
        customer: recs(world, customer, name, "--limit", 50)["recommendations"]
        for customer in (*CUSTOMERS, "stranger")
    }


def told_by_segment(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["reason"]["kind"] == Reason.SEGMENT]


@pytest.mark.parametrize("name", [ACME, BETA])
class TestTheReason:
    def test_names_the_customers_own_segment_of_its_own_tenant(
        self, name: TenantId, made: World
    ) -> None:
        told = 0
        for customer, lines in lists(made, name).items():
            for line in told_by_segment(lines):
                told += 1
                assert line["reason"] == {
                    "kind": "segment",
                    "because": [],
                    "text": f"Popular with customers in {segment_of(name, customer)}",
                }
                assert not line["bought_before"]
        assert told > 0

    def test_is_true(self, name: TenantId, made: World) -> None:
        """Enough of the segment bought it this season, and clearly more of them than of all."""
        counts = buyers(name, NIGHT - timedelta(days=SEASON * 7))
        sizes = Counter(segment_of(name, customer) for customer in CUSTOMERS)
        for customer, lines in lists(made, name).items():
            for line in told_by_segment(lines):
                segment, product = segment_of(name, customer), line["product_id"]
                theirs = counts[product, segment]
                everybody = sum(counts[product, other] for other in sizes)
                assert theirs >= LEAST_BUYERS
                assert theirs / sizes[segment] >= LEAST_LIFT * everybody / len(CUSTOMERS) - 1e-9

    def test_is_never_said_to_whom_nobody_sorted(self, name: TenantId, made: World) -> None:
        for customer, lines in lists(made, name).items():
            if customer == "stranger" or segment_of(name, customer) is None:
                assert not told_by_segment(lines)


def buyers(name: TenantId, since: date) -> Counter[tuple[str, str | None]]:
    """Customers by product and segment who bought it from a day on."""
    start = datetime(since.year, since.month, since.day, tzinfo=UTC)
    rows = tables(name)["interactions"].to_pylist()
    pairs = {(r["customer_id"], r["product_id"]) for r in rows if r["occurred_at"] >= start}
    return Counter((product, segment_of(name, customer)) for customer, product in pairs)


class TestEveryDoor:
    def test_says_the_same(self, made: World) -> None:
        with opened(made.stores, made.tenant(ACME), None, NOW) as source:
            path = made.folder / "lists.parquet"
            export(source, path, Bought.INCLUDE, lambda done, total: None)
        written: dict[str, list[str]] = {}
        for row in pq.read_table(path).to_pylist():
            written.setdefault(row["customer_id"], []).append(row["reason"])
        from_cli = lists(made, ACME)
        keys: Keys = {(ACME, Role.SELLER): made.key(ACME)}
        with serving(made, keys) as served:
            for customer in CUSTOMERS:
                lines = served.recs(customer, ACME, limit=50)["recommendations"]
                assert lines == from_cli[customer]
                assert [line["reason"]["text"] for line in lines] == written[customer]


def test_the_same_data_gives_the_same_bytes_with_affinities_too(
    made: World, tmp_path: Path
) -> None:
    twin = a_night(tmp_path)
    assert contents(twin.config.home / "tenants") == contents(made.config.home / "tenants")
    twin.stores.engine.dispose()
