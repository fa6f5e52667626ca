"""A file checked chunk by chunk is the file checked whole; and what only a whole file can show."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.duplicates import Seen, folded
from factory.faults import Fault
from factory.validate import Checker, Report
from schema.errors import Refused
from schema.mapping import AS_IT_COMES, TableMapping, declared
from schema.rowhash import row_hashes
from schema.settings import Duplicates, Matching
from schema.tables import CUSTOMERS, INTERACTIONS, PRODUCTS, Table

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
ZURICH = ZoneInfo("Europe/Zurich")
KNOWN: Mapping[str, Sequence[str]] = {"customers": ["C-1", "C-2"], "products": ["P-1", "P-2"]}
TIME = "2026-03-01T10:00:00Z"

Line = tuple[str, str, str, str, str, str]
"""Customer, product, event, quantity, value, time."""


def lines(*rows: Line) -> pa.Table:
    names = [column.name for column in INTERACTIONS.columns]
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)})


def bought(customer: str = "C-1", product: str = "P-1", time: str = TIME) -> Line:
    return customer, product, "purchase", "1", "", time


def rated(stars: str, customer: str = "C-1") -> Line:
    return customer, "P-1", "rating", "1", stars, TIME


def checker(
    table: Table,
    ids: Matching = "exact",
    duplicates: Duplicates = "drop",
    known: Mapping[str, Sequence[str]] = KNOWN,
    how: TableMapping = AS_IT_COMES,
) -> Checker:
    return Checker(
        table, zone=ZURICH, now=NOW, known=known, ids=ids, duplicates=duplicates, how=how
    )


def run(
    check: Checker, rows: pa.Table, cuts: Sequence[int] = (), first: int = 2
) -> tuple[pa.Table, pa.Table, Report]:
    """Rows in chunks; the file's first row stands on line 2."""
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    pairs = list(pairwise(edges)) or [(0, 0)]
    done = [
        check.add(rows.slice(start, stop - start), np.arange(start + first, stop + first))
        for start, stop in pairs
    ]
    accepted, quarantined = (pa.concat_tables([each[part] for each in done]) for part in (0, 1))
    return accepted, quarantined, check.report()


def fault(report: Report, code: str) -> Fault:
    [found] = [fault for fault in report.faults if fault.code == code]
    return found


WORD = st.sampled_from(["C-1", "C-2", "C-9", "", "P-1", "c-1"])
ANY_LINE = st.tuples(
    WORD,
    st.sampled_from(["P-1", "P-2", "p-1", "P-9"]),
    st.sampled_from(["purchase", "return", "rating", "sale", ""]),
    st.sampled_from(["1", "2", "-1", "many", "", "0"]),
    st.sampled_from(["", "5", "4", "nan"]),
    st.sampled_from([TIME, "2026-03-02", "2025-10-26T02:30:00", "never", "1970-01-01", ""]),
)


class TestInChunks:
    @settings(max_examples=60)
    @given(
        rows=st.lists(ANY_LINE, min_size=1, max_size=14),
        cuts=st.lists(st.integers(1, 13), max_size=4),
        ids=st.sampled_from(["exact", "folded", "ask"]),
        duplicates=st.sampled_from(["drop", "keep"]),
    )
    def test_a_file_is_what_it_is_whole(
        self, rows: list[Line], cuts: list[int], ids: Matching, duplicates: Duplicates
    ) -> None:
        whole = run(checker(INTERACTIONS, ids, duplicates), lines(*rows))
        chunks = run(checker(INTERACTIONS, ids, duplicates), lines(*rows), cuts)

        assert chunks[0].equals(whole[0])
        assert chunks[1].equals(whole[1])
        assert chunks[2].rows == whole[2].rows
        assert {(f.code, f.column, f.what): (f.count, f.samples) for f in chunks[2].faults} == {
            (f.code, f.column, f.what): (f.count, f.samples) for f in whole[2].faults
        }

    @settings(max_examples=40)
    @given(rows=st.lists(ANY_LINE, min_size=1, max_size=14), cut=st.integers(1, 13))
    def test_accepted_and_quarantined_rows_are_those_that_were_read(
        self, rows: list[Line], cut: int
    ) -> None:
        accepted, quarantined, report = run(checker(INTERACTIONS), lines(*rows), [cut])

        assert len(accepted) + len(quarantined) == report.read == len(rows)
        assert (report.accepted, report.quarantined) == (len(accepted), len(quarantined))
        assert sum(report.rows.values()) == report.quarantined

    def test_counts_share_and_samples_are_of_the_whole_file(self) -> None:
        rows = lines(*[bought("C-9", time=f"2026-03-{day:02}") for day in range(1, 11)])

        _, _, report = run(checker(INTERACTIONS), rows, [3, 6])

        found = fault(report, "REF_UNKNOWN")
        assert (found.count, found.share, found.severity) == (10, 1.0, "error")
        assert found.samples == tuple((line, "C-9") for line in range(2, 7))

    def test_a_line_that_is_no_row_is_read_and_quarantined(self) -> None:
        check = checker(INTERACTIONS)
        check.add(lines(bought()), np.array([2]))
        kept = check.add_ragged([(3, "C-1;P-1", "CSV_SHAPE", "another number of fields")])

        report = check.report()
        assert (report.read, report.accepted, report.quarantined) == (2, 1, 1)
        assert kept.to_pylist() == [{"_line": 3, "_code": "CSV_SHAPE", "_text": "C-1;P-1"}]
        assert fault(report, "CSV_SHAPE").samples == ((3, "C-1;P-1"),)

    def test_a_key_that_comes_twice_is_found_across_chunks(self) -> None:
        rows = pa.table({"product_id": ["P-1", "P-2", "P-3", "P-1"], "name": list("abcd")})

        accepted, _, report = run(checker(PRODUCTS), rows, [2])

        assert accepted["name"].to_pylist() == ["a", "b", "c"]
        assert fault(report, "KEY_DUPLICATE").samples == ((5, "P-1"),)

    def test_the_keys_so_far_are_those_that_were_accepted(self) -> None:
        check = checker(PRODUCTS)
        run(check, pa.table({"product_id": ["P-1", "", "P-1", "P-2"]}), [2])

        assert check.keys.to_pylist() == ["P-1", "P-2"]

    def test_rows_that_a_mapping_made_are_shown_as_they_came(self) -> None:
        came = pa.table({"who": ["C-1", "C-9", "C-2"], "P-1": ["Yes"] * 3, "P-2": ["No"] * 3})
        how = declared(
            {
                "interactions": {
                    "columns": {"customer_id": "who", "occurred_at": {"constant": TIME}},
                    "holdings": {"P-1": {"Yes": "P-1"}, "P-2": {"Yes": "P-2"}},
                    "leave_out": {"who": ["C-2"]},
                }
            }
        ).interactions
        check = checker(INTERACTIONS, how=how)

        accepted, quarantined = check.add(came, np.array([2, 5, 6]))

        assert accepted["customer_id"].to_pylist() == ["C-1"]
        assert quarantined.to_pylist() == [
            {"who": "C-9", "P-1": "Yes", "P-2": "No", "_line": 5, "_code": "REF_UNKNOWN"},
            {"who": "C-2", "P-1": "Yes", "P-2": "No", "_line": 6, "_code": "ROW_LEFT_OUT"},
        ]
        report = check.report()
        assert (report.read, report.unfit) == (3, 1)


class TestTheSameLineAgain:
    def test_is_set_aside_as_a_warning_wherever_it_stands_in_the_file(self) -> None:
        rows = lines(bought(), bought("C-2"), bought(), bought())

        accepted, quarantined, report = run(checker(INTERACTIONS), rows, [1, 3])

        assert accepted["customer_id"].to_pylist() == ["C-1", "C-2"]
        assert quarantined["_line"].to_pylist() == [4, 5]
        found = fault(report, "ROW_DUPLICATE")
        assert (found.count, found.severity, found.samples[0]) == (2, "warning", (4, "C-1 P-1"))

    def test_says_nothing_against_the_file(self) -> None:
        _, _, report = run(checker(INTERACTIONS), lines(bought(), bought()))

        assert (report.quarantined, report.unfit) == (1, 0)

    def test_is_the_same_in_every_column_of_the_schema(self) -> None:
        rows = lines(
            bought(), bought(time="2026-03-01T11:00:00+01:00"), ("C-1", "P-1", "", "1.0", "", TIME)
        )

        assert len(run(checker(INTERACTIONS), rows)[0]) == 1

    @pytest.mark.parametrize(
        "other",
        [
            ("C-2", "P-1", "purchase", "1", "", TIME),
            ("C-1", "P-2", "purchase", "1", "", TIME),
            ("C-1", "P-1", "view", "1", "", TIME),
            ("C-1", "P-1", "purchase", "2", "", TIME),
            ("C-1", "P-1", "purchase", "1", "0", TIME),
            ("C-1", "P-1", "purchase", "1", "", "2026-03-01T10:00:01Z"),
        ],
        ids=["customer", "product", "event", "quantity", "value", "time"],
    )
    def test_is_another_line_where_any_column_differs(self, other: Line) -> None:
        accepted, _, report = run(checker(INTERACTIONS), lines(bought(), other))

        assert len(accepted) == 2
        assert report.faults == ()

    def test_counts_where_the_tenants_lines_are_quantities(self) -> None:
        check = checker(INTERACTIONS, duplicates="keep")

        accepted, _, report = run(check, lines(bought(), bought()))

        assert len(accepted) == 2
        assert report.faults == ()

    def test_that_does_not_fit_keeps_the_code_of_what_is_wrong(self) -> None:
        _, quarantined, report = run(checker(INTERACTIONS), lines(bought("C-9"), bought("C-9")))

        assert quarantined["_code"].to_pylist() == ["REF_UNKNOWN"] * 2
        assert report.unfit == 2

    @given(values=st.lists(st.integers(0, 6), max_size=40), cut=st.integers(0, 40))
    def test_is_found_among_any_others(self, values: list[int], cut: int) -> None:
        hashes = row_hashes(pa.table({"x": pa.array(values, pa.int64())}))
        seen = Seen()

        again = [*seen.again(hashes[:, :cut]), *seen.again(hashes[:, cut:])]

        assert again == [value in values[:place] for place, value in enumerate(values)]


class TestTwoRatingsOfTheSameThing:
    def test_are_both_accepted_in_their_order_and_counted(self) -> None:
        accepted, _, report = run(checker(INTERACTIONS), lines(rated("2"), rated("5")), [1])

        assert accepted["value"].to_pylist() == [2.0, 5.0]
        found = fault(report, "ROW_CONFLICT")
        assert (found.count, found.severity, found.samples) == (1, "warning", ((3, "C-1 P-1"),))

    @pytest.mark.parametrize("duplicates", ["drop", "keep"])
    def test_are_no_conflict_where_they_say_the_same(self, duplicates: Duplicates) -> None:
        check = checker(INTERACTIONS, duplicates=duplicates)

        _, _, report = run(check, lines(rated("2"), rated("2"), rated("2", "C-2")), [1])

        assert [f.code for f in report.faults if f.code == "ROW_CONFLICT"] == []

    def test_are_ratings_because_two_order_lines_are_two_purchases(self) -> None:
        one, other = bought(), ("C-1", "P-1", "purchase", "12", "6.50", TIME)

        accepted, _, report = run(checker(INTERACTIONS), lines(one, other))

        assert len(accepted) == 2
        assert report.faults == ()


class TestIdsThatLookAlike:
    PAIRS = pa.table({"product_id": ["ABC-1", "X", "abc-1", " X ", "\u00c5", "A\u030a", "other"]})

    def test_stay_apart_and_are_told_until_the_tenant_has_chosen(self) -> None:
        accepted, _, report = run(checker(PRODUCTS, "ask", known={}), self.PAIRS, [2])

        assert len(accepted) == 7
        found = fault(report, "ID_LOOKALIKE")
        assert (found.severity, found.count, found.column) == ("warning", 3, "product_id")
        assert found.samples[0] == (4, "abc-1 = ABC-1")

    def test_are_two_where_matching_is_exact(self) -> None:
        accepted, _, report = run(checker(PRODUCTS, "exact", known={}), self.PAIRS)

        assert len(accepted) == 7
        assert report.faults == ()

    def test_are_one_where_they_are_folded_and_the_first_stays(self) -> None:
        accepted, _, report = run(checker(PRODUCTS, "folded", known={}), self.PAIRS, [2])

        assert accepted["product_id"].to_pylist() == ["ABC-1", "X", "\u00c5", "other"]
        assert fault(report, "KEY_DUPLICATE").count == 3

    def test_are_written_as_those_in_force_where_they_are_folded(self) -> None:
        check = checker(PRODUCTS, "folded", known={"products": ["abc-1"]})

        assert run(check, self.PAIRS)[0]["product_id"].to_pylist()[0] == "abc-1"

    def test_point_to_the_one_that_is_known_where_they_are_folded(self) -> None:
        rows = lines(bought(" c-1"), bought("C-1", "p-2"))

        accepted, _, report = run(checker(INTERACTIONS, "folded"), rows)

        assert accepted["customer_id"].to_pylist() == ["C-1", "C-1"]
        assert accepted["product_id"].to_pylist() == ["P-1", "P-2"]
        assert report.faults == ()

    def test_are_told_of_an_interaction_that_names_nobody_known(self) -> None:
        rows = lines(bought("c-1"), bought("c-1", time="2026-03-02"), bought("C-9"))

        _, _, report = run(checker(INTERACTIONS, "ask"), rows, [1])

        assert fault(report, "REF_UNKNOWN").count == 3
        found = fault(report, "ID_LOOKALIKE")
        assert (found.column, found.count, found.samples) == (
            "customer_id",
            1,
            ((2, "c-1 = C-1"),),
        )

    def test_are_told_beside_those_that_stay_in_force(self) -> None:
        check = checker(PRODUCTS, "ask", known={"products": ["ABC-1", "b", "B"]})

        _, _, report = run(check, pa.table({"product_id": ["abc-1", "b"]}))

        assert fault(report, "ID_LOOKALIKE").count == 2

    @given(text=st.text(max_size=12))
    def test_fold_to_a_form_that_folding_does_not_change(self, text: str) -> None:
        once = folded(pa.array([text]))

        assert folded(once).equals(once)


class TestIdsThatASpreadsheetMadeNumbersOf:
    @pytest.mark.parametrize("ids", [["17733.0", "17734.0"], ["1E+05", "2.5e+06"], ["1.0", ""]])
    def test_refuse_the_table_where_all_of_them_look_so(self, ids: list[str]) -> None:
        check = checker(CUSTOMERS)

        with pytest.raises(Refused, match="customer_id is a column of decimal numbers") as told:
            run(check, pa.table({"customer_id": ids}), [1])

        assert told.value.code == "ID_NUMERIC_DAMAGE"

    @pytest.mark.parametrize(
        "ids", [["1.0", "A-7"], ["A-7", "1.0"], ["2E5", "3E5"], ["1.5", "2.5"]]
    )
    def test_are_ids_like_any_other_where_only_some_do(self, ids: list[str]) -> None:
        accepted, _, _ = run(checker(CUSTOMERS), pa.table({"customer_id": ids}), [1])

        assert accepted["customer_id"].to_pylist() == ids

    def test_are_the_cause_that_is_told_of_interactions_nobody_knows(self) -> None:
        with pytest.raises(Refused) as told:
            run(checker(INTERACTIONS), lines(bought("1.0"), bought("2.0")))

        assert told.value.code == "ID_NUMERIC_DAMAGE"


class TestTimes:
    @pytest.mark.parametrize(
        ("times", "code", "said"),
        [
            (["1772900000000"], "TIME_RANGE", "looks like milliseconds since 1970"),
            (["1772900000"], "TIME_FORMAT", "looks like seconds since 1970"),
            (pa.array([1772900000000]), "TIME_RANGE", "looks like milliseconds since 1970"),
            (
                pa.array([1772900000000], pa.timestamp("s")),
                "TIME_RANGE",
                "looks like milliseconds taken for seconds",
            ),
            (
                pa.array([1772900000], pa.timestamp("ms", "UTC")),
                "TIME_RANGE",
                "looks like seconds taken for milliseconds",
            ),
            (["1970-01-21T12:28:20Z"], "TIME_RANGE", "looks like seconds taken for milliseconds"),
            (["1970-01-01"], "TIME_RANGE", "is before 1990 or more than a day in the future"),
        ],
    )
    def test_in_the_wrong_unit_are_named_as_such(self, times: Any, code: str, said: str) -> None:
        rows = {"customer_id": ["C-1"], "product_id": ["P-1"], "occurred_at": times}

        _, _, report = run(checker(INTERACTIONS), pa.table(rows))

        [found] = report.faults
        assert (found.code, found.what) == (code, f"occurred_at {said}")

    @pytest.mark.parametrize(
        ("time", "said"),
        [
            ("2025-10-26T02:30:00", "occurs twice; the first was taken"),
            (datetime(2025, 10, 26, 2, 30), "occurs twice; the first was taken"),
            ("2025-03-30T02:30:00", "never occurs; the end of the gap was taken"),
        ],
    )
    def test_that_a_change_of_clocks_makes_doubtful_are_accepted_and_counted(
        self, time: Any, said: str
    ) -> None:
        rows = {"customer_id": ["C-1"], "product_id": ["P-1"], "occurred_at": [time]}

        accepted, _, report = run(checker(INTERACTIONS), pa.table(rows))

        [found] = report.faults
        assert (found.code, found.severity, found.count) == ("TIME_ZONE", "warning", 1)
        assert found.what == f"occurred_at is a local time that {said}"
        assert len(accepted) == 1

    def test_with_an_offset_are_never_doubtful(self) -> None:
        rows = lines(bought(time="2025-10-26T02:30:00+01:00"), bought(time="2025-10-26T02:30+02"))

        assert run(checker(INTERACTIONS), rows)[2].faults == ()

    @pytest.mark.parametrize("time", ["2026-03-01 10", "2026-03-01T10Z", "2026-03-01T10+01:00"])
    @pytest.mark.parametrize("beside", ["2026-03-01T10:00:00", TIME, "soon"])
    def test_are_read_alike_whatever_stands_beside_them(self, time: str, beside: str) -> None:
        _, quarantined, _ = run(
            checker(INTERACTIONS), lines(bought(time=time), bought(time=beside))
        )

        assert 2 in quarantined["_line"].to_pylist()
