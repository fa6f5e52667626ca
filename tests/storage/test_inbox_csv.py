"""CSV: every row with the line an editor shows, whatever stands between the rows."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cases import SHARED
from schema.mapping import Reading
from storage.chunks import Ragged
from storage.delimited import records
from storage.formats import Format
from tests.storage.delivered import chunks, opened, put, ragged, refusal, rows

PACKED = ["", ".gz", ".zst"]


class TestADelivery:
    @pytest.mark.parametrize("packed", PACKED)
    def test_is_read_the_same_packed_or_not(self, packed: str, tmp_path: Path) -> None:
        path = put(tmp_path, "customer_id,name\n007,Ada\n8,\n", f"customers.csv{packed}")

        found = opened(path)

        assert (found.format, found.columns) == (Format.CSV, ("customer_id", "name"))
        assert rows(path) == [(2, "007", "Ada"), (3, "8", "")]

    def test_can_be_read_again(self, tmp_path: Path) -> None:
        found = opened(put(tmp_path, "customer_id\n1\n", "customers.csv.gz"))

        assert [len(c.rows) for c in found.chunks()] == [len(c.rows) for c in found.chunks()] == [1]

    def test_comes_in_chunks_that_go_on_where_the_last_one_stopped(self, tmp_path: Path) -> None:
        count = 700_000
        path = put(tmp_path, "n,x\n" + "".join(f"{n},{'y' * 9}\n" for n in range(count)))

        found = chunks(path)

        assert len(found) > 1
        numbers = [int(n) for chunk in found for n in chunk.rows["n"].to_pylist()]
        assert numbers == list(range(count))
        assert [int(n) for c in found for n in c.lines] == list(range(2, count + 2))

    def test_leaves_no_file_behind(self, tmp_path: Path) -> None:
        path = put(tmp_path, "customer_id\n1\n", "customers.csv.gz")

        next(opened(path).chunks())

        assert list(tmp_path.iterdir()) == [path]


class TestTheLineOfARow:
    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ("a,b\n1,2\n\n3,4\n", [(2, "1", "2"), (4, "3", "4")]),
            ("a,b\r\n1,2\r\n\r\n\r\n3,4\r\n", [(2, "1", "2"), (5, "3", "4")]),
            ("a,b\r1,2\r\r3,4\r", [(2, "1", "2"), (4, "3", "4")]),
            ('a,b\n1,"x\ny\n"\n3,4\n', [(2, "1", "x\ny\n"), (5, "3", "4")]),
            ('a,b\n1,"x\r\ny"\n3,4\n', [(2, "1", "x\r\ny"), (4, "3", "4")]),
            ('"a\nb",c\n1,2\n', [(3, "1", "2")]),
            ('a,b\n1,5" pipe\n2,"6"" x\n"\n3,7" y\n', [(2, "1", '5" pipe'), (3, "2", '6" x\n'), (5, "3", '7" y')]),
            ('a,b\n1,"x"y\n\n2,z\n', [(2, "1", "xy"), (4, "2", "z")]),
        ],
        ids=["blank", "blank-crlf", "cr", "quoted", "quoted-crlf", "header", "inches", "glued"],
    )  # fmt: skip
    def test_is_the_one_an_editor_shows(
        self, body: str, found: list[tuple[int, str, str]], tmp_path: Path
    ) -> None:
        assert rows(put(tmp_path, body)) == found

    def test_is_right_after_ten_thousand_rows_with_line_breaks_inside(self, tmp_path: Path) -> None:
        body = "a,b\n" + "".join(f'{n},"x\ny"\n' for n in range(10_000)) + "last,z\n"

        assert rows(put(tmp_path, body))[-1] == (20_002, "last", "z")

    @given(
        lines=st.lists(
            st.one_of(
                st.just(""),
                st.tuples(
                    *[st.sampled_from(["", "x", '"', 'x"', '"x"', '"x\ny"', '""', '"a""\n"', "ä"])] * 2
                ).map(",".join),
                st.sampled_from(["1", "1,2,3"]),
            ),
            max_size=12,
        ),
        end=st.sampled_from(["\n", "\r\n", "\r"]),
    )  # fmt: skip
    def test_is_true_for_any_mixture(
        self, lines: list[str], end: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Reading line by line, the oracle, is the slow way: a row begins where its text stands."""
        body = "a,b" + end + "".join(line + end for line in lines)
        path = put(tmp_path_factory.mktemp("csv"), body)
        try:
            found = chunks(path)
        except Exception as error:
            assert getattr(error, "code", "") == "CSV_QUOTE"
            return
        block = body.encode()
        known = records(block, b",", last=True)
        starts = [0, *known.ends[:-1].tolist()]
        true = [
            block[:start].decode().replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
            for start in starts
            if block[start : start + 1] not in (b"\n", b"\r")
        ]
        told = sorted(
            [int(n) for c in found for n in c.lines] + [r.line for c in found for r in c.ragged]
        )
        assert told == true[1:]

    @given(body=st.text(st.sampled_from('a",;\n\r\x00é'), max_size=60))
    def test_never_stops_the_reader_whatever_the_file_holds(
        self, body: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = put(tmp_path_factory.mktemp("csv"), "a,b\n" + body)
        try:
            found = chunks(path)
        except Exception as error:
            assert getattr(error, "code", "") in {"CSV_QUOTE", "DATA_TRUNCATED", "TEXT_ENCODING"}
            return
        lines = [int(n) for chunk in found for n in chunk.lines]
        assert lines == sorted(set(lines))


class TestALineOfAnotherShape:
    def test_is_told_with_its_line_its_text_and_the_delimiter(self, tmp_path: Path) -> None:
        told = ragged(put(tmp_path, "a;b\n1;2\n\n1;2;3\n4\n"))

        what = "more fields than the header, which has 2; delimiter ';' guessed"
        assert told[0] == Ragged(4, "1;2;3", "CSV_SHAPE", what)
        assert (told[1].line, told[1].text) == (5, "4")

    def test_says_when_its_delimiter_was_declared(self, tmp_path: Path) -> None:
        [told] = ragged(put(tmp_path, "a\tb\n1\n"), Reading(delimiter="\t"))

        assert told.what == "fewer fields than the header, which has 2; delimiter tab declared"

    def test_after_rows_of_several_lines_still_has_its_own(self, tmp_path: Path) -> None:
        [told] = ragged(put(tmp_path, 'a,b\n1,"x\ny"\n2\n3,z\n'))

        assert told.line == 4

    def test_is_counted_however_many_there_are(self, tmp_path: Path) -> None:
        body = "a,b\n" + "1\n" * 300_000
        found = chunks(put(tmp_path, body))

        assert sum(chunk.read for chunk in found) == 300_000
        assert max(len(chunk.ragged) for chunk in found) < 300_000  # never all of them at once


class TestAHeader:
    def test_may_stand_below_other_lines(self, tmp_path: Path) -> None:
        path = put(tmp_path, 'Report "of\n;;;\n\nid;name\n1;Ada\n')

        assert opened(path, Reading(header_line=3)).columns == ("id", "name")
        assert rows(path, Reading(header_line=3)) == [(5, "1", "Ada")]

    @pytest.mark.parametrize("name", ["a", '""', " "])
    def test_with_a_blank_or_repeated_name_is_left_to_the_checker(
        self, name: str, tmp_path: Path
    ) -> None:
        found = opened(put(tmp_path, f"a,{name},\n1,2,3\n"))

        assert found.columns == ("a", name.strip('"'), "")
        assert [chunk.rows.num_columns for chunk in found.chunks()] == [3]

    def test_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        assert refusal(put(tmp_path, "a\n1\n"), Reading(header_line=9)).code == "DATA_EMPTY"

    def test_of_too_many_columns_is_refused(self, tmp_path: Path) -> None:
        assert refusal(put(tmp_path, "," * 1_000 + "\n1\n")).code == "DATA_LIMIT"


class TestAQuote:
    @pytest.mark.parametrize("end", ["\n", ""])
    @pytest.mark.parametrize("packed", PACKED)
    def test_that_never_closes_is_told_with_the_line_it_was_opened_on(
        self, packed: str, end: str, tmp_path: Path
    ) -> None:
        body = "a,b\n" + "1,2\n" * 88 + '3,"open\n' + "4,5\n" * 9 + f"6,7{end}"

        refused = refusal(put(tmp_path, body, f"customers.csv{packed}"))

        assert refused.code == "CSV_QUOTE"
        assert "line 90 " in refused.what

    def test_that_holds_more_than_any_field_is_refused_before_the_file_is_read(
        self, tmp_path: Path
    ) -> None:
        refused = refusal(put(tmp_path, 'a,b\n1,2\n3,"' + "line\n" * 4_000_000 + '"\n'))

        assert (refused.code, "line 3 " in refused.what) == ("CSV_QUOTE", True)

    @pytest.mark.parametrize(("size", "fits"), [(65_536, True), (65_537, False)])
    def test_ends_after_64_kib_at_the_latest(self, size: int, fits: bool, tmp_path: Path) -> None:
        path = put(tmp_path, f"a,b\n1,2\n3,{'x' * size}\n")

        if fits:
            assert len(rows(path)) == 2
        else:
            refused = refusal(path)
            assert (refused.code, "line 3" in refused.what) == ("CSV_QUOTE", True)

    def test_in_the_header_that_never_closes_is_refused(self, tmp_path: Path) -> None:
        assert refusal(put(tmp_path, 'a,"b\n1,2\n')).code == "CSV_QUOTE"


class TestTheLastLine:
    def test_without_an_end_may_be_cut_short_and_is_refused(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, "a,b\n1,2\n3,4"))

        assert refused.code == "DATA_TRUNCATED"
        assert "last line, 3," in refused.what

    def test_without_an_end_is_whole_where_the_packing_proves_it(self, tmp_path: Path) -> None:
        assert rows(put(tmp_path, "a,b\n1,2\n3,4", "customers.csv.gz"))[-1] == (3, "3", "4")


class TestALineWithoutEnd:
    def test_is_refused_after_a_block_of_it(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, "a,b\n1,2\n" + "x," * 6_000_000 + "\n"))

        assert (refused.code, "line 3 " in refused.what) == ("CSV_SHAPE", True)


class TestTheSharedRawFiles:
    """Counted with the csv module; lines above the header are not rows."""

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        if not (SHARED / "data").exists():
            assert os.environ.get("CI") != "true"
            pytest.skip("../shared/data is not there")

    @pytest.mark.parametrize(
        ("file", "reading", "expected"),
        [
            ("dirty_samples/bookcrossing_ratings_cr_only.csv", Reading(), (40_000, 0)),
            ("online_retail/raw/online_retail_2011-11.csv", Reading(), (84_711, 0)),
            ("superstore/raw/superstore.csv", Reading(), (9_994, 0)),
            ("telco_holdings/raw/Telco-Customer-Churn.csv", Reading(), (7_043, 0)),
            ("crm_opportunities/raw/sales_pipeline.csv", Reading(), (8_800, 0)),
        ],
    )
    def test_come_in_whole(self, file: str, reading: Reading, expected: tuple[int, int]) -> None:
        found = chunks(SHARED / "data" / file, reading)

        told = sum(len(c.rows) for c in found), sum(len(c.ragged) for c in found)
        assert told == expected

    def test_of_cr_alone_have_an_editors_lines(self) -> None:
        path = SHARED / "data/dirty_samples/bookcrossing_ratings_cr_only.csv"
        text = path.read_bytes().decode().split("\r")

        for chunk in chunks(path):
            for line, row in list(zip(chunk.lines, chunk.rows.to_pylist(), strict=True))[::997]:
                assert text[line - 1].startswith(row["User-ID"])

    def test_in_windows_1252_are_read_when_it_is_declared(self) -> None:
        path = SHARED / "data/adventureworks_internet/raw/messy_customers.csv"
        declared = Reading(encoding="windows-1252", header_line=2)

        assert refusal(path, Reading(header_line=2)).code == "TEXT_ENCODING"
        [found] = chunks(path, declared)
        assert found.rows.column_names[:2] == ["CustomerKey", "Prefix"]
        assert any("É" in (name or "") for name in found.rows["FirstName"].to_pylist())
