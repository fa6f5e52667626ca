"""Whatever a table holds: every row of it is accepted or in quarantine, or all of it is refused."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.intake import import_files
from schema.errors import FactoryError, Refused
from schema.settings import IntakeSettings
from schema.tables import IMPORTED, Column, Kind, Table
from tests.world import ACME, BETA, NOW, World, open_world

LENIENT = IntakeSettings(refuse_above_share=1.0)
"""Rows that do not fit are the matter here, not how many of them are too many."""

GOOD = {
    Kind.ID: st.sampled_from([f"X-{n}" for n in range(9)]),
    Kind.TEXT: st.text(max_size=6),
    Kind.NUMBER: st.sampled_from(["", "1", "2.5", " 7 ", "1e3"]),
    Kind.TIME: st.dates().map(str) | st.sampled_from(["2026-03-01", "2026-03-01T10:00:00Z"]),
}
BAD = st.sampled_from(
    [
        "",
        " ",
        "NaN",
        "-inf",
        "1e999",
        "soon",
        "03/04/05",
        "x" * 200,
        "C\x02",
        "é",
        "1,5",
        "purchase",
    ]
)


def cells(column: Column) -> st.SearchStrategy[str]:
    good = st.sampled_from(column.choices) if column.kind is Kind.CHOICE else GOOD[column.kind]
    return good | good | good | BAD


@st.composite
def files(draw: st.DrawFn) -> tuple[Table, bytes, int]:
    """A table, a CSV file for it, and how many rows it has; some lines have another shape."""
    table = draw(st.sampled_from(IMPORTED))
    columns = [c for c in table.columns if c.required or draw(st.booleans())]
    rows = draw(st.lists(st.tuples(*map(cells, columns)), min_size=1, max_size=12))
    rows += draw(st.lists(st.sampled_from(rows), max_size=4))
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow([column.name for column in columns])
    writer.writerows(rows)
    ragged = draw(st.integers(0, 2))
    for _ in range(ragged):
        writer.writerow(["X-1"] * (len(columns) + 1))
    return table, text.getvalue().encode(), len(rows) + ragged


def installed(folder: Path) -> World:
    """acme and beta, who know the ids X-0 … X-4."""
    made = open_world(folder)
    for name in (ACME, BETA):
        made.add(name)
        paths = {}
        for table in ("customers", "products"):
            paths[table] = made.folder / f"{table}.csv"
            key = f"{table.removesuffix('s')}_id"
            paths[table].write_text("\n".join([key, *(f"X-{n}" for n in range(5))]) + "\n")
        import_files(made.stores, made.tenant(name), paths, LENIENT, by="test", now=NOW)
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all examples: what was delivered before is part of the trial."""
    made = installed(tmp_path_factory.mktemp("world"))
    yield made
    made.stores.engine.dispose()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """One in which nothing else was delivered."""
    made = installed(tmp_path)
    yield made
    made.stores.engine.dispose()


def deliver(
    world: World, table: Table, body: bytes, limits: IntakeSettings = LENIENT
) -> dict[str, int] | None:
    """What became of the rows; None where the file was refused."""
    path = world.folder / "delivered.csv"
    path.write_bytes(body)
    files = {table.name: path}
    try:
        report = import_files(world.stores, world.tenant(ACME), files, limits, by="test", now=NOW)
    except FactoryError as error:
        assert isinstance(error.problem, Refused)
        return None
    body_of = report.as_json()
    [told] = body_of["tables"] or [{"read": 0, "accepted": 0, "quarantined": 0}]
    counts = ("read", "accepted", "quarantined")
    return {name: told[name] for name in counts} | {"tables": len(body_of["tables"])}


def kept(world: World, part: str) -> dict[Path, int]:
    """Rows of every Parquet file under a part of acme's data."""
    folder = world.config.home / "tenants" / world.tenant(ACME).uid / "data" / part
    return {path: pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet")}


class TestOfAnyTable:
    @settings(max_examples=60)
    @given(files())
    def test_accepted_and_quarantined_are_what_was_read(
        self, world: World, made: tuple[Table, bytes, int]
    ) -> None:
        table, body, rows = made

        told = deliver(world, table, body)

        if told is not None and told["tables"]:
            assert told["read"] == rows
            assert told["accepted"] + told["quarantined"] == told["read"]

    @settings(max_examples=30)
    @given(files())
    def test_what_is_quarantined_is_in_the_files_that_are_kept_and_of_a_refusal_nothing_is(
        self, world: World, made: tuple[Table, bytes, int]
    ) -> None:
        table, body, _ = made
        before = kept(world, "interactions"), kept(world, "quarantine")

        told = deliver(world, table, body)

        after = kept(world, "interactions"), kept(world, "quarantine")
        if told is not None and after[1].keys() - before[1].keys():
            new = after[1].keys() - before[1].keys()
            assert sum(after[1][path] for path in new) == told["quarantined"]
        if told is None:
            assert after == before


INTERACTIONS = IMPORTED[2]


def with_bad(rows: int, bad: int) -> bytes:
    lines = [
        f"X-1,X-2,{n if n >= bad else 'cheap'},2026-03-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z"
        for n in range(rows)
    ]
    return "\n".join(["customer_id,product_id,value,occurred_at", *lines]).encode() + b"\n"


class TestOfTenThousandRows:
    """The rule as it is shipped: over 1 % is a broken export, not a few slips."""

    def test_90_that_do_not_fit_are_quarantined(self, fresh: World) -> None:
        told = deliver(fresh, INTERACTIONS, with_bad(10_000, 90), IntakeSettings())

        assert told == {"read": 10_000, "accepted": 9_910, "quarantined": 90, "tables": 1}

    def test_110_refuse_the_file_and_nothing_of_it_is_kept(self, fresh: World) -> None:
        before = kept(fresh, "interactions"), kept(fresh, "quarantine")

        assert deliver(fresh, INTERACTIONS, with_bad(10_000, 110), IntakeSettings()) is None

        assert (kept(fresh, "interactions"), kept(fresh, "quarantine")) == before
