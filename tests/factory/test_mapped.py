"""Rows of a tenant's file, under the names and in the texts that its mapping declares."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.mapped import LEFT_OUT, OF, OTHER_CURRENCY, OUT, mapped
from factory.validate import Checked, check
from schema.errors import Refused
from schema.mapping import TableMapping, declared
from schema.tables import CUSTOMERS, INTERACTIONS, PRODUCTS, Table

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
KNOWN = {"customers": ["C-1", "C-2"], "products": ["P-1", "P-2"]}


def how(table: Table, body: Mapping[str, Any]) -> TableMapping:
    return declared({"currency": "CHF", table.name: body}).of(table.name)


def made(table: Table, body: Mapping[str, Any], **columns: Any) -> dict[str, list[Any]]:
    """What becomes of these columns."""
    rows = pa.table(columns)
    found = mapped(rows, how(table, body), table, delivered=NOW, currency="CHF")
    return {name: found[name].to_pylist() for name in found.column_names}


def column(table: Table, name: str, source: Any, values: Any) -> list[Any]:
    """What becomes of one column of the file, called x."""
    found: list[Any] = made(table, {"columns": {name: source}}, x=values)[name]
    return found


def checked(table: Table, body: Mapping[str, Any], **columns: Any) -> Checked:
    rows = pa.table(columns)
    return check(
        rows,
        table,
        zone=ZoneInfo("UTC"),
        now=NOW,
        known=KNOWN,
        how=how(table, body),
        currency="CHF",
    )


LINE = {"customer_id": ["C-1", "C-2"], "product_id": ["P-1", "P-2"]}
TIMES = ["2026-03-01", "2026-03-02"]


class TestColumns:
    def test_take_the_name_that_is_declared_for_them(self) -> None:
        assert column(CUSTOMERS, "name", "x", ["Ann"]) == ["Ann"]

    def test_of_the_same_name_need_not_be_declared(self) -> None:
        found = made(CUSTOMERS, {"columns": {"name": "x"}}, customer_id=["C-1"], x=["Ann"])
        assert found["customer_id"] == ["C-1"]

    def test_may_be_the_same_in_every_row(self) -> None:
        found = made(CUSTOMERS, {"columns": {"region": {"constant": "CH"}}}, customer_id=["1", "2"])
        assert found["region"] == ["CH", "CH"]

    def test_may_be_the_moment_of_the_delivery(self) -> None:
        found = made(INTERACTIONS, {"columns": {"occurred_at": {"delivered": True}}}, **LINE)
        assert found["occurred_at"] == [NOW, NOW]

    def test_may_be_a_product_of_two(self) -> None:
        source = {"product_of": ["q", "p"], "decimal": ","}
        found = made(
            INTERACTIONS, {"columns": {"value": source}}, q=["2", "3", "", "x"], p=["1,5"] * 4
        )
        assert found["value"][:2] == ["3", "4.5"]
        assert found["value"][2] is None
        assert "x (not as the mapping says) x 1.5" in found["value"][3]

    def test_of_numbers_multiply_as_numbers(self) -> None:
        source = {"product_of": ["q", "p"]}
        found = made(INTERACTIONS, {"columns": {"value": source}}, q=[2, None], p=[1.5, 1.0])
        assert found["value"] == [3.0, None]

    def test_may_depend_on_the_event(self) -> None:
        body = {
            "columns": {
                "event": {"from": "stage", "words": {"Won": "purchase", "Lost": "view"}},
                "occurred_at": {"by_event": {"purchase": "closed", "view": "opened"}},
            }
        }
        found = made(
            INTERACTIONS, body, stage=["Won", "Lost", "?"], opened=["a"] * 3, closed=["b"] * 3
        )
        assert found["occurred_at"] == ["b", "a", None]

    def test_that_the_file_lacks_are_told_with_both_names_and_what_was_found(self) -> None:
        with pytest.raises(Refused) as told:
            made(CUSTOMERS, {"columns": {"name": "Firma"}}, Nr=["1"], Ort=["x"])
        assert told.value.code == "SCHEMA_MISSING"
        assert told.value.what == (
            "column 'Firma', of which the mapping makes 'name', is not in the file; found: Nr, Ort"
        )

    @pytest.mark.parametrize(
        "body", [{"leave_out": {"y": ["a"]}}, {"currency": "y"}, {"holdings": {"y": {"a": "b"}}}]
    )
    def test_are_missed_wherever_the_mapping_needs_them(self, body: Mapping[str, Any]) -> None:
        with pytest.raises(Refused, match="column 'y'"):
            made(INTERACTIONS, body, x=["1"])

    def test_stay_what_they_are_where_nothing_is_declared(self) -> None:
        rows = pa.table(LINE)
        assert mapped(rows, how(CUSTOMERS, {}), CUSTOMERS, delivered=NOW) is rows


class TestIds:
    def test_lose_an_ending_once_and_only_at_the_end(self) -> None:
        ids = column(CUSTOMERS, "customer_id", {"from": "x", "ending": ".0"}, ["17.0", "1.05", "8"])
        assert ids == ["17", "1.05", "8"]

    def test_keep_their_zeros_and_blanks_unless_it_is_declared(self) -> None:
        assert column(CUSTOMERS, "customer_id", "x", [" 007 "]) == [" 007 "]
        assert column(CUSTOMERS, "customer_id", {"from": "x", "trim": True}, [" 007\u00a0"]) == [
            "007"
        ]

    def test_lose_what_is_to_be_removed_wherever_it_stands(self) -> None:
        source = {"from": "x", "remove": ['"', "-"]}
        assert column(CUSTOMERS, "customer_id", source, ['"03-4"']) == ["034"]

    def test_that_came_as_decimal_numbers_are_whole_again(self) -> None:
        source = {"from": "x", "ending": ".0"}
        assert column(CUSTOMERS, "customer_id", source, [17733.0, None]) == ["17733", None]


class TestNumbers:
    @pytest.mark.parametrize(
        ("source", "text", "plain"),
        [
            ({"decimal": ","}, "12,5", "12.5"),
            ({"decimal": ",", "thousands": "."}, "-1.234.567,8", "-1234567.8"),
            ({"thousands": ","}, "1,234.5", "1234.5"),
            ({"thousands": "'"}, "1’234.5", "1234.5"),
            ({"thousands": " ", "decimal": ","}, "1\u202f234,5", "1234.5"),
            ({"remove": ["$"], "thousands": ","}, "$90,000 ", "90000"),
            ({"decimal": ","}, " ,5", ".5"),
            ({"decimal": ","}, "", ""),
            ({"decimal": ","}, "NaN", "NaN"),
        ],
    )
    def test_of_the_declared_form_are_plain(
        self, source: Mapping[str, Any], text: str, plain: str
    ) -> None:
        assert column(PRODUCTS, "price", {"from": "x", **source}, [text]) == [plain]

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ({"decimal": ","}, "1.234"),
            ({"decimal": ","}, "1,2,3"),
            ({"decimal": ",", "thousands": "."}, "1.23"),
            ({"decimal": ",", "thousands": "."}, "1234.567"),
            ({"thousands": ","}, "12,5"),
            ({"thousands": ","}, ",123"),
        ],
    )
    def test_of_another_form_are_never_read_as_another_number(
        self, source: Mapping[str, Any], text: str
    ) -> None:
        body = {"columns": {"price": {"from": "x", **source}}}
        found = checked(PRODUCTS, body, product_id=["P-1", "P-2"], x=[text, "1"])
        assert [(f.code, f.samples) for f in found.faults] == [
            ("VALUE_TYPE", ((1, f"{text} (not as the mapping says)"),))
        ]

    def test_of_a_parquet_file_are_numbers_already(self) -> None:
        assert column(PRODUCTS, "price", {"from": "x", "decimal": ","}, [1.5, None]) == [1.5, None]

    @given(st.integers(-(10**12), 10**12), st.integers(0, 999))
    def test_written_in_any_declared_form_are_the_same_number(self, whole: int, part: int) -> None:
        text = f"{whole:,}.{part:03}"
        swiss, german = text.replace(",", "'"), text.translate(str.maketrans(",.", ".,"))
        wanted = [f"{whole}.{part:03}"]
        assert column(PRODUCTS, "price", {"from": "x", "thousands": ","}, [text]) == wanted
        assert column(PRODUCTS, "price", {"from": "x", "thousands": "'"}, [swiss]) == wanted
        source = {"from": "x", "decimal": ",", "thousands": "."}
        assert column(PRODUCTS, "price", source, [german]) == wanted


class TestTimes:
    @pytest.mark.parametrize(
        ("form", "text", "time"),
        [
            ("%d/%m/%Y %H:%M", "02/03/2026 17:05", datetime(2026, 3, 2, 17, 5)),
            ("%m/%d/%Y", "02/03/2026", datetime(2026, 2, 3)),
            ("%d-%m-%y", "20-10-16", datetime(2016, 10, 20)),
            ("unix", "1772900000", datetime(2026, 3, 7, 16, 13, 20, tzinfo=UTC)),
            ("unix", "1772900000.0", datetime(2026, 3, 7, 16, 13, 20, tzinfo=UTC)),
            ("unix_ms", "1772900000000", datetime(2026, 3, 7, 16, 13, 20, tzinfo=UTC)),
            ("%Y-%m-%d %H:%M %z", "2026-03-01 10:00 +0200", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ],
    )
    def test_of_the_declared_form_are_read(self, form: str, text: str, time: datetime) -> None:
        source = {"from": "x", "time": form}
        assert column(INTERACTIONS, "occurred_at", source, [text, " "]) == [time, None]

    @pytest.mark.parametrize("text", ["31/02/2026", "2026-03-01", "1/2", "01/02/2026x"])
    def test_of_another_form_are_left_to_the_check_even_if_it_could_read_them(
        self, text: str
    ) -> None:
        body = {"columns": {"occurred_at": {"from": "x", "time": "%d/%m/%Y"}}}
        found = checked(INTERACTIONS, body, x=[text, "01/02/2026"], **LINE)
        assert [(f.code, f.count) for f in found.faults] == [("TIME_FORMAT", 1)]
        assert found.accepted["occurred_at"].to_pylist() == [datetime(2026, 2, 1, tzinfo=UTC)]

    def test_with_offsets_of_their_own_are_instants(self) -> None:
        source = {"from": "x", "time": "%d.%m.%Y %H:%M %z"}
        found = column(
            INTERACTIONS,
            "occurred_at",
            source,
            ["01.03.2026 10:00 +0200", "01.07.2026 10:00 +0100"],
        )
        assert found == [
            datetime(2026, 3, 1, 8, tzinfo=UTC),
            datetime(2026, 7, 1, 9, tzinfo=UTC),
        ]

    def test_that_are_numbers_need_no_text(self) -> None:
        source = {"from": "x", "time": "unix"}
        found = column(INTERACTIONS, "occurred_at", source, [1772900000, None])
        assert found == [datetime(2026, 3, 7, 16, 13, 20, tzinfo=UTC), None]

    def test_in_milliseconds_where_seconds_are_declared_are_out_of_range(self) -> None:
        body = {"columns": {"occurred_at": {"from": "x", "time": "unix"}}}
        found = checked(INTERACTIONS, body, x=["1772900000000", "1772900000"], **LINE)
        assert [fault.code for fault in found.faults] == ["TIME_RANGE"]


class TestWords:
    SOURCE: Mapping[str, Any] = {
        "from": "x",
        "words": {"Won": "purchase", "": "view", "Gone": "leave_out"},
    }

    def test_become_ours_and_others_stay_as_they_came(self) -> None:
        found = column(
            INTERACTIONS, "event", self.SOURCE, ["Won", " Won ", None, "", "open", "click"]
        )
        assert found == ["purchase", "purchase", "view", "view", "open", "click"]

    def test_may_leave_their_row_out(self) -> None:
        found = made(INTERACTIONS, {"columns": {"event": self.SOURCE}}, x=["Won", "Gone"])
        assert found[OUT] == [None, LEFT_OUT]

    def test_that_nobody_knows_are_told_by_the_check(self) -> None:
        body = {"columns": {"event": self.SOURCE}}
        found = checked(INTERACTIONS, body, x=["open", "Won"], occurred_at=TIMES, **LINE)
        assert [(f.code, f.samples) for f in found.faults] == [("VALUE_CHOICE", ((1, "open"),))]

    def test_of_truth_are_words_too(self) -> None:
        source = {"from": "x", "words": {"true": "discontinued", "false": "sellable"}}
        assert column(PRODUCTS, "status", source, [True, False]) == ["discontinued", "sellable"]


class TestANegativeQuantity:
    BODY: Mapping[str, Any] = {
        "columns": {"quantity": {"from": "x", "decimal": ","}},
        "negative_quantity": "return",
    }

    def test_is_a_return_if_that_is_declared(self) -> None:
        found = checked(INTERACTIONS, self.BODY, x=["-2,5", "1"], occurred_at=TIMES, **LINE)
        assert found.accepted["event"].to_pylist() == ["return", "purchase"]
        assert found.accepted["quantity"].to_pylist() == [-2.5, 1.0]

    def test_is_below_zero_and_not_nothing(self) -> None:
        found = checked(INTERACTIONS, self.BODY, x=["0", "1"], occurred_at=TIMES, **LINE)
        assert [fault.code for fault in found.faults] == ["VALUE_RANGE"]

    def test_is_a_fault_if_not(self) -> None:
        body = {"columns": {"quantity": "x"}}
        found = checked(INTERACTIONS, body, x=["-2", "1"], occurred_at=TIMES, **LINE)
        assert [fault.code for fault in found.faults] == ["VALUE_RANGE"]


class TestRowsThatAreNotForUs:
    def test_are_counted_and_kept_as_they_came(self) -> None:
        body = {"columns": {"customer_id": "Nr"}, "leave_out": {"Nr": ["", "Nr"]}}
        found = checked(CUSTOMERS, body, Nr=["C-1", "", "Nr", None], Ort=["a", "b", "c", "d"])

        assert found.read == 4
        assert found.accepted["customer_id"].to_pylist() == ["C-1"]
        assert found.quarantined.to_pylist() == [
            {"Nr": "", "Ort": "b", "_line": 2, "_code": LEFT_OUT},
            {"Nr": "Nr", "Ort": "c", "_line": 3, "_code": LEFT_OUT},
            {"Nr": None, "Ort": "d", "_line": 4, "_code": LEFT_OUT},
        ]

    def test_are_not_judged_any_more(self) -> None:
        body = {"columns": {"price": "x"}, "leave_out": {"product_id": [""]}}
        found = checked(PRODUCTS, body, product_id=["P-1", ""], x=["1", "junk"])
        [fault] = found.faults
        assert (fault.code, fault.count, fault.samples) == (LEFT_OUT, 1, ((2, ",junk"),))

    def test_of_a_repeated_key_leave_the_first_in(self) -> None:
        body = {"columns": {"name": "x"}, "repeated_keys": "first"}
        found = checked(CUSTOMERS, body, customer_id=["C-1", "C-2", "C-1"], x=["a", "b", "c"])
        assert found.accepted["name"].to_pylist() == ["a", "b"]
        assert found.quarantined["_code"].to_pylist() == [LEFT_OUT]

    def test_do_not_take_a_key_from_the_row_that_counts(self) -> None:
        body = {"leave_out": {"x": ["old"]}}
        found = checked(CUSTOMERS, body, customer_id=["C-1", "C-1"], x=["old", "new"])
        assert len(found.accepted) == 1


class TestAnotherCurrency:
    BODY: Mapping[str, Any] = {"currency": "x"}

    def test_has_a_code_of_its_own(self) -> None:
        found = checked(INTERACTIONS, self.BODY, x=["EUR", "CHF"], occurred_at=TIMES, **LINE)
        assert [(f.code, f.count) for f in found.faults] == [(OTHER_CURRENCY, 1)]
        assert found.accepted["customer_id"].to_pylist() == ["C-2"]

    def test_is_not_said_by_an_empty_field(self) -> None:
        assert made(INTERACTIONS, self.BODY, x=["", None, " CHF"])[OUT] == [None, None, None]


class TestHoldings:
    BODY: Mapping[str, Any] = {
        "columns": {"customer_id": "x", "occurred_at": {"delivered": True}},
        "holdings": {"phone": {"Yes": "P-1"}, "net": {"DSL": "P-2", "Fibre": "P-3"}},
    }

    def test_are_a_line_for_each_product_that_a_row_has(self) -> None:
        found = made(
            INTERACTIONS, self.BODY, x=["a", "b", "c"], phone=["Yes", "No", "Yes"],
            net=["Fibre", "DSL", "No"],
        )  # fmt: skip
        assert found["customer_id"] == ["a", "a", "b", "c"]
        assert found["product_id"] == ["P-1", "P-3", "P-2", "P-1"]
        assert found[OF] == [0, 0, 1, 2]
        assert found[OUT] == [None] * 4

    def test_of_none_leave_the_row_out_and_counted(self) -> None:
        found = checked(
            INTERACTIONS, self.BODY, x=["C-1", "C-2"], phone=["No", "Yes"], net=["No", "No"]
        )
        assert (found.read, len(found.accepted)) == (2, 1)
        assert found.quarantined.to_pylist() == [
            {"x": "C-1", "phone": "No", "net": "No", "_line": 1, "_code": LEFT_OUT}
        ]

    def test_that_do_not_fit_are_quarantined_with_the_row_they_came_in(self) -> None:
        found = checked(
            INTERACTIONS, self.BODY, x=["C-1", "C-9"], phone=["Yes", "Yes"], net=["DSL", "DSL"]
        )
        assert found.read == 4
        assert found.quarantined["_line"].to_pylist() == [2, 2]
        assert found.quarantined["x"].to_pylist() == ["C-9", "C-9"]


class TestTheReport:
    def test_names_the_columns_that_nothing_is_made_of(self) -> None:
        body = {"columns": {"name": "x"}, "leave_out": {"y": ["a"]}}
        found = checked(CUSTOMERS, body, customer_id=["C-1"], x=["a"], y=["b"], z=["c"])
        assert found.ignored == ("z",)

    def test_says_what_was_found_where_a_required_column_comes_from_nowhere(self) -> None:
        with pytest.raises(Refused, match="column 'customer_id' not found; found: Nr, Ort"):
            checked(CUSTOMERS, {"columns": {"name": "Ort"}}, Nr=["1"], Ort=["a"])


TEXT = st.one_of(
    st.none(), st.text(max_size=6), st.sampled_from(["1.234,5", "Yes", "x", "-1", "€ 5"])
)
EVERYTHING: Mapping[str, Any] = {
    "columns": {
        "customer_id": {"from": "x", "trim": True, "ending": ".0"},
        "event": {"from": "y", "words": {"Yes": "view", "x": "leave_out"}},
        "quantity": {"from": "z", "decimal": ",", "thousands": ".", "remove": ["€"]},
        "value": {"product_of": ["x", "z"]},
        "occurred_at": {"by_event": {"view": "x", "purchase": "z"}, "time": "%d.%m.%Y"},
    },
    "holdings": {"y": {"Yes": "P-1", "No": "P-2"}, "z": {"x": "P-1"}},
    "leave_out": {"x": ["", "x"]},
    "negative_quantity": "return",
    "currency": "y",
}


class TestWhateverIsDelivered:
    @settings(max_examples=50)
    @given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=6))
    def test_every_row_is_in_the_result_once_or_once_for_each_holding(
        self, rows: list[tuple[str | None, str | None, str | None]]
    ) -> None:
        columns = {
            name: pa.array([row[place] for row in rows], pa.string())
            for place, name in enumerate("xyz")
        }
        found = made(INTERACTIONS, EVERYTHING, **columns)
        assert found[OF] == sorted(found[OF])
        assert set(found[OF]) == set(range(len(rows)))

    @settings(max_examples=50)
    @given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6))
    def test_what_is_accepted_and_what_is_quarantined_are_together_what_was_read(
        self, rows: list[tuple[str | None, str | None, str | None]]
    ) -> None:
        columns = {
            name: pa.array([row[place] for row in rows], pa.string())
            for place, name in enumerate("xyz")
        }
        found = checked(INTERACTIONS, EVERYTHING, **columns)
        assert len(found.accepted) + len(found.quarantined) == found.read >= len(rows)

    @settings(max_examples=30)
    @given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=2, max_size=4))
    def test_a_row_becomes_the_same_in_whichever_part_of_the_file_it_is(
        self, rows: list[tuple[str | None, str | None, str | None]]
    ) -> None:
        table = pa.table(
            {
                name: pa.array([row[place] for row in rows], pa.string())
                for place, name in enumerate("xyz")
            }
        )
        body = how(INTERACTIONS, EVERYTHING)
        whole = mapped(table, body, INTERACTIONS, delivered=NOW, currency="CHF")
        parts = [
            mapped(table.slice(at, 1), body, INTERACTIONS, delivered=NOW, currency="CHF")
            for at in range(len(table))
        ]
        for name in ("customer_id", "product_id", "event", "quantity", OUT):
            assert whole[name].to_pylist() == [v for part in parts for v in part[name].to_pylist()]
