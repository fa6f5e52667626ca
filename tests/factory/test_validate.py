from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.faults import SAMPLES, Fault
from factory.validate import Checked, check
from schema.errors import Refused
from schema.names import Event, Status
from schema.tables import (
    CUSTOMERS,
    ID_MAX_BYTES,
    IMPORTED,
    INTERACTIONS,
    PRODUCTS,
    Kind,
    Table,
)

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
UTC_ZONE, ZURICH = ZoneInfo("UTC"), ZoneInfo("Europe/Zurich")
KNOWN: Mapping[str, Collection[str]] = {"customers": ["C-1", "C-2"], "products": ["P-1"]}


def checked(table: Table, rows: Mapping[str, Any], zone: ZoneInfo = UTC_ZONE) -> Checked:
    return check(pa.table(dict(rows)), table, zone=zone, now=NOW, known=KNOWN)


def refusal(table: Table, rows: Mapping[str, Any] | pa.Table) -> Refused:
    given_rows = rows if isinstance(rows, pa.Table) else pa.table(dict(rows))
    with pytest.raises(Refused) as told:
        check(given_rows, table, zone=UTC_ZONE, now=NOW, known=KNOWN)
    return told.value


def test_a_message_shows_80_characters_of_what_a_tenant_called_its_columns() -> None:
    for names in (
        ["y" * 900],
        ["é" * 70, "x" * 70],
        ["y\x1b[2J"],
        [f"column {n}" for n in range(900)],
    ):
        refused = refusal(CUSTOMERS, {name: ["1"] for name in names})
        shown = refused.what.partition("found: ")[2]
        assert len(shown) <= 82
        assert shown.isprintable()


def only_fault(found: Checked) -> Fault:
    [fault] = found.faults
    return fault


def bought(**columns: Any) -> dict[str, Any]:
    """Three good interactions, with columns of one's own over them."""
    good = {
        "customer_id": ["C-1", "C-2", "C-1"],
        "product_id": ["P-1"] * 3,
        "occurred_at": ["2026-03-01T10:00:00Z"] * 3,
    }
    return {**good, **columns}


def products(**columns: Any) -> dict[str, Any]:
    return {"product_id": ["P-1", "P-2", "P-3"], **columns}


def happened(*times: Any, zone: ZoneInfo = UTC_ZONE) -> list[datetime | None]:
    """What the times of accepted rows became."""
    rows = {"customer_id": ["C-1"] * len(times), "product_id": ["P-1"] * len(times)}
    found = checked(INTERACTIONS, {**rows, "occurred_at": list(times)}, zone)
    instants: list[datetime | None] = found.accepted["occurred_at"].to_pylist()
    return instants


BAD_ROWS = [
    ("ID_EMPTY", PRODUCTS, products(product_id=["P-1", "", "P-3"]), ""),
    ("ID_EMPTY", PRODUCTS, products(product_id=["P-1", "  ", "P-3"]), "  "),
    ("ID_EMPTY", PRODUCTS, products(product_id=["P-1", None, "P-3"]), ""),
    (
        "ID_TOO_LONG",
        PRODUCTS,
        products(product_id=["P-1", "é" * 65, "P-3"]),
        ascii("é" * 65)[1:-1][:80],
    ),
    ("ID_CONTROL_CHAR", PRODUCTS, products(product_id=["P-1", "P\x002", "P-3"]), r"P\x002"),
    ("ID_CONTROL_CHAR", PRODUCTS, products(product_id=["P-1", "P\n2", "P-3"]), r"P\n2"),
    ("KEY_DUPLICATE", PRODUCTS, products(product_id=["P-1", "P-1", "P-3"]), "P-1"),
    ("REF_UNKNOWN", INTERACTIONS, bought(customer_id=["C-1", "C-9", "C-1"]), "C-9"),
    ("REF_UNKNOWN", INTERACTIONS, bought(product_id=["P-1", "p-1", "P-1"]), "p-1"),
    ("VALUE_TYPE", PRODUCTS, products(price=["1", "1,50", "2"]), "1,50"),
    ("VALUE_TYPE", PRODUCTS, products(price=["1", "0x10", "2"]), "0x10"),
    ("VALUE_NOT_FINITE", PRODUCTS, products(price=["1", "NaN", "2"]), "nan"),
    ("VALUE_NOT_FINITE", PRODUCTS, products(price=["1", "-Infinity", "2"]), "-inf"),
    ("VALUE_NOT_FINITE", PRODUCTS, products(price=["1", "1e999", "2"]), "inf"),
    ("VALUE_NOT_FINITE", PRODUCTS, products(price=[1.0, float("nan"), 2.0]), "nan"),
    ("VALUE_RANGE", PRODUCTS, products(price=["1", "-0.01", "2"]), "-0.01"),
    ("VALUE_RANGE", PRODUCTS, products(price=["1", "1000000001", "2"]), "1000000001"),
    ("VALUE_RANGE", PRODUCTS, products(price=[1, 2**60, 2]), "1152921504606846976"),
    ("VALUE_RANGE", INTERACTIONS, bought(quantity=["1", "0", "1"]), "0"),
    ("VALUE_RANGE", INTERACTIONS, bought(quantity=["1", "-2", "1"]), "-2"),
    ("VALUE_CHOICE", PRODUCTS, products(status=["sellable", "sold out", ""]), "sold out"),
    ("VALUE_CHOICE", INTERACTIONS, bought(event=["view", "VIEW", "purchase"]), "VIEW"),
    ("VALUE_MISSING", INTERACTIONS, bought(occurred_at=["2026-01-01", "", "2026-01-01"]), ""),
    ("TIME_FORMAT", INTERACTIONS, bought(occurred_at=["2026-01-01", "1.2.26", "2026-01-01"]), "1.2.26"),
    ("TIME_FORMAT", INTERACTIONS, bought(occurred_at=["2026-01-01", "2026-02-30", "2026-01-01"]), "2026-02-30"),
    ("TIME_FORMAT", INTERACTIONS, bought(occurred_at=["2026-01-01", "1767225600", "2026-01-01"]), "1767225600"),
    ("TIME_RANGE", INTERACTIONS, bought(occurred_at=["2026-01-01", "1970-01-01", "2026-01-01"]), "1970-01-01"),
    ("TIME_RANGE", INTERACTIONS, bought(occurred_at=["2026-01-01", "2026-04-03", "2026-01-01"]), "2026-04-03"),
]  # fmt: skip


def _alike(shown: str, sample: str) -> bool:
    """The same text; of numbers, the same number."""
    try:
        return shown == sample or float(shown) == float(sample)
    except ValueError:
        return False


class TestARowThatDoesNotFit:
    @pytest.mark.parametrize(
        ("code", "table", "rows", "sample"), BAD_ROWS, ids=[f"{c[0]}-{c[3][:9]}" for c in BAD_ROWS]
    )
    def test_is_quarantined_with_the_reason_and_the_others_are_taken(
        self, code: str, table: Table, rows: Mapping[str, Any], sample: str
    ) -> None:
        found = checked(table, rows)

        fault = only_fault(found)
        assert (fault.code, fault.count) == (code, 1)
        assert fault.samples[0][0] == 2
        assert _alike(fault.samples[0][1], sample)
        assert found.quarantined["_line"].to_pylist() == [2]
        assert found.quarantined["_code"].to_pylist() == [code]
        assert len(found.accepted) == 2

    @pytest.mark.parametrize(("code", "table", "rows", "sample"), BAD_ROWS)
    def test_is_told_what_to_do(
        self, code: str, table: Table, rows: Mapping[str, Any], sample: str
    ) -> None:
        fault = only_fault(checked(table, rows))

        assert len(fault.fix) > 10
        assert fault.column in fault.what or fault.column == "quantity"

    def test_is_kept_as_it_came_with_the_columns_nobody_knows(self) -> None:
        rows = products(price=["1", "cheap", "2"], colour=["red", "blue", "green"])

        [kept] = checked(PRODUCTS, rows).quarantined.to_pylist()

        assert kept == {
            "product_id": "P-2",
            "price": "cheap",
            "colour": "blue",
            "_line": 2,
            "_code": "VALUE_TYPE",
        }

    @pytest.mark.parametrize(
        "extra",
        [
            pa.array([[1], [2], [3]]),
            pa.array([{"a": 1}] * 3),
            pa.array([b"\xff"] * 3, pa.large_binary()),
            pa.array(["a"] * 3, pa.string_view()),
        ],
        ids=["list", "struct", "bytes", "view"],
    )
    def test_is_kept_whatever_type_a_column_has_that_nobody_knows(self, extra: pa.Array) -> None:
        found = checked(PRODUCTS, products(price=["1", "cheap", "2"], extra=extra))

        assert found.quarantined["_code"].to_pylist() == ["VALUE_TYPE"]

    def test_counts_once_though_several_things_are_wrong_with_it(self) -> None:
        rows = bought(
            customer_id=["C-1", "", "C-1"],
            quantity=["1", "many", "1"],
            occurred_at=["2026-01-01", "yesterday", "2026-01-01"],
        )

        found = checked(INTERACTIONS, rows)

        assert found.quarantined["_code"].to_pylist() == ["ID_EMPTY"]
        assert {fault.code for fault in found.faults} == {"ID_EMPTY", "VALUE_TYPE", "TIME_FORMAT"}
        assert len(found.accepted) == 2

    def test_does_not_show_more_than_a_few_samples(self) -> None:
        ids = [f"P-{n}" for n in range(50)]

        fault = only_fault(checked(PRODUCTS, {"product_id": ids, "price": ["?"] * 50}))

        assert fault.count == 50
        assert fault.samples == tuple((n, "?") for n in range(1, SAMPLES + 1))

    def test_does_not_write_control_characters_or_long_values_to_anybodys_screen(self) -> None:
        nasty = "\x1b[31m" + "x" * 5000

        [(_, shown)] = only_fault(checked(PRODUCTS, products(price=["1", nasty, "2"]))).samples

        assert shown.isprintable()
        assert len(shown) <= 80


class TestAKeyThatComesTwice:
    def test_leaves_the_first_row(self) -> None:
        rows = {"customer_id": ["C-1", "C-1", "C-1"], "name": ["first", "second", "third"]}

        found = checked(CUSTOMERS, rows)

        assert found.accepted["name"].to_pylist() == ["first"]
        assert only_fault(found).count == 2

    def test_leaves_the_first_row_that_fits(self) -> None:
        rows = {"product_id": ["P-1", "P-1"], "price": ["cheap", "5"]}

        found = checked(PRODUCTS, rows)

        assert found.accepted["price"].to_pylist() == [5.0]

    def test_is_the_same_to_the_letter(self) -> None:
        found = checked(PRODUCTS, {"product_id": ["p-1", "P-1"]})

        assert found.faults == ()


class TestATableThatCannotBeUsed:
    def test_lacks_a_required_column(self) -> None:
        refused = refusal(INTERACTIONS, {"customer_id": ["C-1"], "article": ["P-1"]})

        assert refused.code == "SCHEMA_MISSING"
        assert "'product_id'" in refused.what
        assert "customer_id, article" in refused.what

    def test_names_a_column_twice(self) -> None:
        rows = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["product_id", "product_id"])

        refused = refusal(PRODUCTS, rows)

        assert refused.code == "SCHEMA_DUPLICATE"
        assert "'product_id'" in refused.what

    @pytest.mark.parametrize("table", IMPORTED, ids=lambda table: table.name)
    def test_has_a_header_and_no_rows(self, table: Table) -> None:
        empty = {c.name: pa.array([], pa.string()) for c in table.columns}

        assert refusal(table, empty).code == "DATA_NO_ROWS"

    @pytest.mark.parametrize(
        "ids",
        [[17733.0, 17734.0, None], pa.array([1.0, 2.0, 3.0], pa.float32())],
        ids=["float64", "float32"],
    )
    def test_has_ids_that_became_decimal_numbers(self, ids: Any) -> None:
        refused = refusal(PRODUCTS, products(product_id=ids))

        assert refused.code == "ID_NUMERIC_DAMAGE"
        assert "product_id" in refused.what

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([[1.0]] * 3),
            pa.array([{"amount": 1}] * 3),
            pa.array([b"1"] * 3),
            pa.array([b"1"] * 3, pa.large_binary()),
            pa.array([b"1"] * 3, pa.binary(1)),
            pa.array([b"\xff"] * 3, pa.large_binary()),
            pa.array([date(2026, 1, 1)] * 3),
            pa.array([NOW] * 3),
            pa.array([timedelta(1)] * 3),
        ],
        ids=lambda values: str(values.type),
    )
    def test_has_numbers_of_a_type_that_is_none(self, values: pa.Array) -> None:
        refused = refusal(PRODUCTS, products(price=values))

        assert refused.code == "PARQUET_UNSUPPORTED"
        assert "'price'" in refused.what

    @pytest.mark.parametrize(
        "values",
        [pa.array([["a"]] * 3), pa.array([b"a"] * 3), pa.array([b"\xff"] * 3, pa.large_binary())],
        ids=lambda values: str(values.type),
    )
    @pytest.mark.parametrize("column", ["product_id", "name", "status"])
    def test_has_text_of_a_type_that_is_none(self, column: str, values: pa.Array) -> None:
        assert refusal(PRODUCTS, products(**{column: values})).code == "PARQUET_UNSUPPORTED"


class TestATableThatFits:
    def test_is_accepted_whole_in_its_order(self) -> None:
        rows = {"customer_id": [f"C-{n}" for n in range(300, 0, -1)]}

        found = checked(CUSTOMERS, rows)

        assert found.accepted["customer_id"].to_pylist() == rows["customer_id"]
        assert found.faults == ()
        assert len(found.quarantined) == 0

    def test_gets_the_columns_and_types_of_the_schema(self) -> None:
        found = checked(INTERACTIONS, bought())

        assert found.accepted.schema.equals(
            pa.schema(
                [
                    ("customer_id", pa.string()),
                    ("product_id", pa.string()),
                    ("event", pa.string()),
                    ("quantity", pa.float64()),
                    ("value", pa.float64()),
                    ("occurred_at", pa.timestamp("us", "UTC")),
                ]
            )
        )

    def test_has_its_defaults_where_a_column_or_a_value_is_left_out(self) -> None:
        absent = checked(INTERACTIONS, bought())
        blank = checked(INTERACTIONS, bought(event=["", " ", None], quantity=["", None, " "]))

        for found in (absent, blank):
            assert found.accepted["event"].to_pylist() == ["purchase"] * 3
            assert found.accepted["quantity"].to_pylist() == [1.0] * 3
            assert found.accepted["value"].to_pylist() == [None] * 3

    def test_names_the_columns_it_does_not_use(self) -> None:
        found = checked(PRODUCTS, products(colour=["red"] * 3, size=["S"] * 3))

        assert found.ignored == ("colour", "size")

    @pytest.mark.parametrize(
        ("text", "number"),
        [("5", 5), (" 5 ", 5), ("+5", 5), (".5", 0.5), ("5.", 5), ("1e3", 1000), ("0", 0)],
    )
    def test_has_numbers_in_plain_notation(self, text: str, number: float) -> None:
        found = checked(PRODUCTS, {"product_id": ["P-1"], "price": [text]})

        assert found.accepted["price"].to_pylist() == [number]

    @pytest.mark.parametrize(
        "numbers",
        [
            pa.array([5], pa.int8()),
            pa.array([5], pa.uint64()),
            pa.array([5.0], pa.float32()),
            pa.array([Decimal("5.00")]),
            pa.array(["5"], pa.large_string()),
            pa.array(["5"]).dictionary_encode(),
        ],
        ids=lambda numbers: str(numbers.type),
    )
    def test_has_numbers_of_any_type_that_is_one(self, numbers: pa.Array) -> None:
        found = checked(PRODUCTS, {"product_id": ["P-1"], "price": numbers})

        assert found.accepted["price"].to_pylist() == [5.0]

    def test_has_whole_numbers_for_ids_as_text(self) -> None:
        found = checked(PRODUCTS, {"product_id": pa.array([2**60 + 1])})

        assert found.accepted["product_id"].to_pylist() == ["1152921504606846977"]

    def test_has_ids_of_up_to_128_bytes(self) -> None:
        longest = "é" * (ID_MAX_BYTES // 2)

        assert len(checked(PRODUCTS, {"product_id": [longest]}).accepted) == 1

    def test_may_return_what_was_bought(self) -> None:
        found = checked(
            INTERACTIONS,
            bought(event=["return", "return", "purchase"], quantity=["-1", "1", "2"]),
        )

        assert found.faults == ()

    def test_has_the_same_rows_as_text_or_as_parquet(self) -> None:
        typed = bought(
            quantity=[1.0, 2.5, 3.0], occurred_at=[NOW - timedelta(days=n) for n in (1, 2, 3)]
        )
        text = bought(
            quantity=["1", "2.5", "3.0"],
            occurred_at=[(NOW - timedelta(days=n)).isoformat() for n in (1, 2, 3)],
        )

        assert checked(INTERACTIONS, typed).accepted.equals(checked(INTERACTIONS, text).accepted)


class TestATime:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-10T09:00:00Z",
            "2026-01-10 09:00:00Z",
            "2026-01-10T09:00Z",
            "2026-01-10T10:00:00+01:00",
            "2026-01-10T10:00:00+0100",
            "2026-01-10T04:00:00.000-05:00",
        ],
    )
    def test_with_a_zone_is_that_instant_wherever_the_tenant_is(self, text: str) -> None:
        for zone in (UTC_ZONE, ZURICH):
            assert happened(text, zone=zone) == [datetime(2026, 1, 10, 9, tzinfo=UTC)]

    @pytest.mark.parametrize(
        "local",
        ["2026-01-10T10:00:00", "2026-01-10 10:00", datetime(2026, 1, 10, 10)],
    )
    def test_without_a_zone_is_the_tenants(self, local: Any) -> None:
        assert happened(local, zone=ZURICH) == [datetime(2026, 1, 10, 9, tzinfo=UTC)]

    @pytest.mark.parametrize("day", ["2026-01-10", date(2026, 1, 10)])
    def test_that_is_only_a_day_is_its_local_midnight(self, day: Any) -> None:
        assert happened(day, zone=ZURICH) == [datetime(2026, 1, 9, 23, tzinfo=UTC)]

    @pytest.mark.parametrize("local", ["2025-10-26T02:30:00", datetime(2025, 10, 26, 2, 30)])
    def test_that_occurs_twice_is_the_first(self, local: Any) -> None:
        assert happened(local, zone=ZURICH) == [datetime(2025, 10, 26, 0, 30, tzinfo=UTC)]

    def test_that_does_not_exist_is_the_first_instant_after_the_gap(self) -> None:
        assert happened("2025-03-30T02:30:00", zone=ZURICH) == [
            datetime(2025, 3, 30, 1, tzinfo=UTC)
        ]

    def test_may_be_mixed_with_others_in_one_column(self) -> None:
        assert happened("2026-01-10", "2026-01-10T00:00:00Z", "2026-01-10T00:00", zone=ZURICH) == [
            datetime(2026, 1, 9, 23, tzinfo=UTC),
            datetime(2026, 1, 10, tzinfo=UTC),
            datetime(2026, 1, 9, 23, tzinfo=UTC),
        ]

    def test_may_be_a_day_ahead_but_no_more(self) -> None:
        limit = NOW + timedelta(days=1)

        assert happened(limit.isoformat()) == [limit]
        assert happened((limit + timedelta(seconds=1)).isoformat(), NOW.isoformat()) == [NOW]

    @given(
        when=st.datetimes(datetime(1990, 1, 3), datetime(2026, 3, 30)),
        zone=st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo),
    )
    def test_without_a_zone_that_exists_there_is_the_first_instant_it_was_so(
        self, when: datetime, zone: ZoneInfo
    ) -> None:
        local = when.replace(tzinfo=zone, fold=0)
        instant = local.astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == when:
            assert happened(when.isoformat(), zone=zone) == [instant]


ANY_TEXT = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "P-1", "C-1", "1", "-1", "1e999", "+.5", "nan", "0001-01-01", "9999-12-31",
         "2026-03-01", "2026-02-30", "2026-03-29T02:30", "2026-03-01T10:00:00Z",
         "2026-03-01T24:00:00", "2026-03-01 10:00 +02:00", "0000-00-00", "2026-03-01T10:00:00+99:99",
         "9999-12-31T23:59:59.999999999-14:00", "purchase", "return", "sellable"]
    ),
)  # fmt: skip


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Table, dict[str, list[str | None]]]:
    """A table whose columns all exist and hold any text at all."""
    table = draw(st.sampled_from(IMPORTED))
    size = draw(st.integers(1, 8))
    column = st.lists(ANY_TEXT, min_size=size, max_size=size)
    return table, {c.name: draw(column) for c in table.columns}


@st.composite
def clean(draw: st.DrawFn) -> dict[str, list[str]]:
    """Interactions that fit."""
    size = draw(st.integers(1, 20))

    def column(values: st.SearchStrategy[str]) -> list[str]:
        return draw(st.lists(values, min_size=size, max_size=size))

    moments = st.datetimes(datetime(1990, 1, 2), datetime(2026, 4, 1))
    return {
        "customer_id": column(st.sampled_from(["C-1", "C-2"])),
        "product_id": column(st.just("P-1")),
        "event": column(st.sampled_from([e.value for e in Event])),
        "quantity": column(st.floats(1e-3, 1e7).map(repr)),
        "value": column(st.floats(-1e12, 1e12).map(repr)),
        "occurred_at": column(moments.map(datetime.isoformat)),
    }


class TestWhateverIsDelivered:
    @settings(max_examples=50)
    @given(delivery=deliveries(), zone=st.sampled_from([UTC_ZONE, ZURICH, ZoneInfo("Asia/Tokyo")]))
    def test_every_row_is_accepted_or_quarantined_and_none_is_both(
        self, delivery: tuple[Table, dict[str, list[str | None]]], zone: ZoneInfo
    ) -> None:
        table, columns = delivery
        rows = {name: pa.array(values, pa.string()) for name, values in columns.items()}

        found = checked(table, rows, zone)

        assert found.read == len(next(iter(columns.values())))
        assert len(found.accepted) + len(found.quarantined) == found.read
        assert all(found.quarantined["_code"].to_pylist())
        assert len(set(found.quarantined["_line"].to_pylist())) == len(found.quarantined)

    @settings(max_examples=50)
    @given(delivery=deliveries())
    def test_what_was_accepted_is_accepted_again(
        self, delivery: tuple[Table, dict[str, list[str | None]]]
    ) -> None:
        table, columns = delivery
        rows = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        accepted = checked(table, rows).accepted

        if len(accepted):
            again = check(accepted, table, zone=UTC_ZONE, now=NOW, known=KNOWN)
            assert again.faults == ()
            assert again.accepted.equals(accepted)

    @settings(max_examples=50)
    @given(rows=clean())
    def test_what_fits_is_accepted_whole(self, rows: dict[str, list[str]]) -> None:
        found = checked(INTERACTIONS, rows)

        assert found.faults == ()
        assert len(found.accepted) == len(rows["event"])

    @given(
        values=st.sampled_from(
            [
                pa.array([2**63 - 1, None]),
                pa.array([2**64 - 1, None], pa.uint64()),
                pa.array([True, None]),
                pa.array([timedelta(1), None]),
                pa.array([date(1, 1, 1), None]),
                pa.array([datetime(1, 1, 1), None]),
                pa.array([2**63 - 1, None], pa.timestamp("ns")),
                pa.array([-(2**62), None], pa.timestamp("s")),
                pa.array([2**62, None], pa.timestamp("s", "UTC")),
                pa.array([Decimal(10) ** 30, None]),
                pa.array(["", None], pa.string_view()),
                pa.array([b"\xff", None], pa.large_binary()),
                pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
                pa.nulls(2),
            ]
        ),
        kind=st.sampled_from(["product_id", "name", "price", "status"]),
    )
    def test_a_column_of_any_type_is_read_or_refused(self, values: pa.Array, kind: str) -> None:
        with suppress(Refused):
            found = checked(PRODUCTS, {"product_id": ["P-1", "P-2"], kind: values})
            assert len(found.accepted) + len(found.quarantined) == 2

    @pytest.mark.parametrize(
        "times",
        [
            pa.array([2**63 - 1], pa.timestamp("ns")),
            pa.array([2**62], pa.timestamp("s")),
            pa.array([-(2**62)], pa.timestamp("s", "UTC")),
            pa.array([date(1, 1, 1)]),
            pa.array([2**31 - 1], pa.date32()),
        ],
        ids=str,
    )
    def test_a_time_beyond_all_calendars_is_quarantined(self, times: pa.Array) -> None:
        rows = {"customer_id": ["C-1"], "product_id": ["P-1"], "occurred_at": times}

        found = checked(INTERACTIONS, rows, ZURICH)

        assert found.quarantined["_code"].to_pylist() in (["TIME_RANGE"], ["TIME_FORMAT"])


def test_every_status_and_event_of_the_schema_is_a_word_that_is_accepted() -> None:
    words = [status.value for status in Status]
    rows = {"product_id": words, "status": words}

    assert checked(PRODUCTS, rows).faults == ()
    assert PRODUCTS.column("status").kind is Kind.CHOICE
