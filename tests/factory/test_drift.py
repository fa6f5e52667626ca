"""What is held for a person: every poison, and no honest change. B14 of the promises."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.drift import Hold, reasons
from factory.profile import Profile, Profiler
from schema.settings import HoldSettings
from schema.tables import IMPORTED, TABLES, Kind, Table
from tests.poison import HONEST, POISON, WEEK, Delivery, history, shop, week
from tests.weeks import between_days

UTC, RULES = ZoneInfo("UTC"), HoldSettings()
KINDS = {Kind.NUMBER: pa.float64(), Kind.TIME: pa.timestamp("us", "UTC")}


def in_form(rows: pa.Table, table: Table) -> pa.Table:
    """As the check hands rows over: every column of the schema, defaults filled in."""
    columns = {}
    for column in table.columns:
        kind = KINDS.get(column.kind, pa.string())
        there = column.name in rows.column_names
        values = rows[column.name].cast(kind) if there else pa.nulls(len(rows), kind)
        columns[column.name] = (
            values if column.default is None else values.fill_null(column.default)
        )
    return pa.table(columns)


def profile(name: str, rows: pa.Table, in_force: pa.Table | None = None, **faults: int) -> Profile:
    table = TABLES[name]
    profiler = Profiler(table, UTC, None if in_force is None else in_form(in_force, table))
    for chunk in in_form(rows, table).to_batches(100):
        profiler.add(pa.table(chunk))
    return profiler.done(len(rows), rows.column_names, faults)


@cache
def past() -> tuple[Delivery, Mapping[str, Profile]]:
    made = shop()
    return made, {name: profile(name, rows) for name, rows in history(made).items()}


def held(delivered: Delivery, **faults: int) -> list[Hold]:
    """What speaks against a delivery after three ordinary months."""
    made, before = past()
    return [
        hold
        for table in IMPORTED
        if table.name in delivered
        for hold in reasons(
            profile(
                table.name,
                delivered[table.name],
                made[table.name] if table.key else None,
                **(faults if table.name == "interactions" else {}),
            ),
            [before[table.name]],
            RULES,
            replaces=bool(table.key),
        )
    ]


def codes(delivered: Delivery, **faults: int) -> list[str]:
    return [hold.code for hold in held(delivered, **faults)]


class TestPoison:
    @pytest.mark.parametrize(
        "shape", [name for name, (code, _) in POISON.items() if code != "REF_UNKNOWN"]
    )
    def test_is_held_for_what_is_wrong_with_it_and_nothing_else(self, shape: str) -> None:
        code, made_so = POISON[shape]
        assert set(codes(made_so(past()[0]))) == {code}

    def test_there_are_fourteen_shapes_of_it_at_least(self) -> None:
        assert len(POISON) >= 14

    @pytest.mark.parametrize(("code", "most"), [("ROW_DUPLICATE", 0.3), ("REF_UNKNOWN", 0.2)])
    def test_may_also_be_what_the_check_counted(self, code: str, most: float) -> None:
        rows = week(past()[0])
        at_most = int(most * len(rows))
        assert codes({"interactions": rows}, **{code: at_most}) == []
        assert codes({"interactions": rows}, **{code: at_most + 1}) == [code]

    def test_is_any_id_that_looks_like_another_until_somebody_says_what_they_are(self) -> None:
        assert codes({"interactions": week(past()[0])}, ID_LOOKALIKE=1) == ["ID_LOOKALIKE"]


class TestAnHonestChange:
    @pytest.mark.parametrize("change", HONEST)
    def test_passes(self, change: str) -> None:
        assert held(HONEST[change](past()[0])) == []

    def test_passes_on_the_first_delivery_of_all(self) -> None:
        for name, rows in past()[0].items():
            first = profile(name, rows)
            assert reasons(first, [], RULES, replaces=bool(TABLES[name].key)) == ()

    @given(share=st.floats(0.75, 1.25), seed=st.integers(0, 99))
    def test_of_a_quarter_passes_whichever_rows_it_is_about(self, share: float, seed: int) -> None:
        rows = week(past()[0])
        places = [(seed * 7919 + n * 104_729) % len(rows) for n in range(int(share * len(rows)))]
        assert codes({"interactions": rows.take(pa.array(places))}) == []


class TestASmallTenant:
    def test_is_not_held_for_figures_that_jump_by_themselves(self) -> None:
        """Fourteen rows a week: half of the shapes of poison are an ordinary Tuesday."""
        made, _ = past()
        rows = history(made)["interactions"]
        small = pc.is_in(rows["customer_id"], pa.array([f"C-{n:04}" for n in range(6)]))
        before = profile("interactions", rows.filter(small))
        week_of = week(made)
        for count in (1, 40, 150):
            now = profile("interactions", week_of.slice(0, count))
            assert reasons(now, [before], RULES, replaces=False) == ()

    def test_may_lose_a_few_of_its_few_products(self) -> None:
        products = past()[0]["products"].slice(0, 12)
        now = profile("products", products.slice(0, 3), products)
        assert reasons(now, [profile("products", products)], RULES, replaces=True) == ()


class TestDays:
    def test_that_were_delivered_before_may_be_added_to(self) -> None:
        """A late line of a known day is no repetition, whatever else is in the file."""
        made, _ = past()
        late = between_days(made["interactions"], WEEK - timedelta(days=7), WEEK).slice(0, 30)
        assert codes({"interactions": pa.concat_tables([week(made), late])}) == []

    def test_count_in_the_tenants_own_zone(self) -> None:
        rows = in_form(week(past()[0]).slice(0, 1), TABLES["interactions"])
        profiler = Profiler(TABLES["interactions"], ZoneInfo("Asia/Tokyo"))
        profiler.add(rows.set_column(5, "occurred_at", pa.array([_LATE], rows["occurred_at"].type)))
        assert list(profiler.done(1, [], {}).days) == ["2026-03-02"]

    def test_a_delivery_may_end_a_day_before_the_newest_there_is_and_no_more(self) -> None:
        made, before = past()
        for days, expected in ((1, []), (2, ["DATA_OLDER"])):
            end = WEEK - timedelta(days=days)
            rows = between_days(made["interactions"], end - timedelta(days=1), end).slice(0, 5)
            now = profile("interactions", rows)
            found = reasons(now, [before["interactions"]], RULES, replaces=False)
            assert [hold.code for hold in found] == expected


_LATE = 1_772_377_200_000_000
"""2026-03-01T15:00Z: midnight in Tokyo."""


class TestASentence:
    def test_names_the_figures_it_rests_on(self) -> None:
        [hold] = held(POISON["a tenth of the catalogue"][1](past()[0]))
        assert hold.sentence == "products 60 -> 6 (-90%)"
        assert hold.figures == {"before": 60, "now": 6}
        [hold] = held(POISON["one rating for everything"][1](past()[0]))
        assert hold.sentence.startswith("value of ")
        assert "is 1 nearly everywhere" in hold.sentence


class TestAProfile:
    def test_is_the_same_in_whatever_chunks_the_rows_come(self) -> None:
        rows = in_form(week(past()[0]), TABLES["interactions"])

        def made(size: int) -> dict[str, Any]:
            profiler = Profiler(TABLES["interactions"], UTC)
            for chunk in rows.to_batches(size):
                profiler.add(pa.table(chunk))
            return profiler.done(len(rows), rows.column_names, {}).as_json()

        whole, parts = made(1_000_000), made(17)
        for body in (whole, parts):
            body["spread"] = {k: [round(x, 9) for x in v] for k, v in body["spread"].items()}
        assert whole == parts

    def test_tells_how_many_ids_there_are_within_ten_percent(self) -> None:
        rows = in_form(week(past()[0]).slice(0, 1), TABLES["interactions"])
        many = pa.table({**{n: rows[n].take(pa.array([0] * 50_000)) for n in rows.column_names}})
        ids = pa.array([f"C-{n}" for n in range(50_000)])
        found = profile("interactions", many.set_column(0, "customer_id", ids))
        assert found.customers == pytest.approx(50_000, rel=0.1)
        assert found.products == 1

    def test_finds_the_largest_customer_among_more_than_it_counts_at_once(self) -> None:
        table = TABLES["interactions"]
        row = in_form(week(past()[0]).slice(0, 1), table)
        profiler = Profiler(table, UTC)
        for n in range(10):
            ids = [f"C-{n}-{m}" for m in range(2_000)] + ["C-bot"] * 100
            rows = row.take(pa.array([0] * len(ids))).set_column(0, "customer_id", pa.array(ids))
            profiler.add(rows)
        found = profiler.done(21_000, row.column_names, {})
        assert found.largest == "C-bot"
        assert 1_000 - 21_000 / 4_096 <= found.largest_rows <= 1_000

    def test_keeps_nobodys_id(self) -> None:
        found = profile("interactions", week(past()[0]))
        assert found.largest
        assert "C-0" not in str(found.as_json())
        assert Profile(**found.as_json()) == replace(found, largest="")
