"""What happens after the first night, day by day: a world that goes on, or turns overnight."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.intake import import_files
from schema.names import TenantId
from tests.world import ACME, BETA, FIRST_DAY, NIGHT, Tables, World, open_world, tables, write_files

END = date(2026, 6, 1)
WEEK = timedelta(days=7)
"""The tenants of these tests are judged over a week."""


@cache
def told(name: TenantId) -> Tables:
    """Everything that ever happens to a tenant: five months of the same taste."""
    return tables(name, last=END)


def between(name: TenantId, start: date, end: date) -> pa.Table:
    """The interactions of [start, end)."""
    return between_days(told(name)["interactions"], start, end)


def between_days(lines: pa.Table, start: date, end: date) -> pa.Table:
    """Those of [start, end)."""
    at = lines["occurred_at"]
    return lines.filter(pc.and_(pc.greater_equal(at, _instant(start)), pc.less(at, _instant(end))))


def turned(lines: pa.Table) -> pa.Table:
    """The same customers on the same days, with other products than they ever liked."""
    ids = [
        f"{product[:-2]}{(int(product[-2:]) + 1 + 2 * (int(customer[-2:]) % 12)) % 24:02}"
        for product, customer in zip(
            lines["product_id"].to_pylist(), lines["customer_id"].to_pylist(), strict=True
        )
    ]
    return lines.set_column(lines.schema.get_field_index("product_id"), "product_id", pa.array(ids))


def _instant(day: date) -> pa.Scalar:
    return pa.scalar(datetime(day.year, day.month, day.day, tzinfo=UTC), pa.timestamp("us", "UTC"))


def deliver(world: World, name: TenantId, lines: pa.Table) -> None:
    """Import interactions, long after they occurred."""
    files = write_files(world.folder / "later" / name, {"interactions": lines})
    now = datetime(END.year, END.month, END.day, tzinfo=UTC)
    import_files(
        world.stores, world.tenant(name), files, world.config.template.intake, by="test", now=now
    )


def first_night(folder: Path, **config: Any) -> World:
    """acme and beta with all that happened before the first night, and that night done."""
    world = open_world(folder, **config)
    for name in (ACME, BETA):
        world.add(name)
        world.import_(name, {**told(name), "interactions": between(name, FIRST_DAY, NIGHT)})
        assert world.night(name).published
    return world
