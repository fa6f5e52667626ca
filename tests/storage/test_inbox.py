import hashlib
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from storage.inbox import Whole, read_file

PLENTY = 2**20
ROWS = [{"customer_id": "007", "name": "Ada"}, {"customer_id": "8", "name": ""}]


def delivered(folder: Path, body: bytes | str, name: str = "customers.csv") -> Path:
    path = folder / name
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return path


def read(folder: Path, body: bytes | str, name: str = "customers.csv") -> Whole:
    return read_file(delivered(folder, body, name), PLENTY)


def refusal(path: Path, most: int = PLENTY) -> Refused:
    with pytest.raises(Refused) as told:
        read_file(path, most)
    return told.value


def parquet(folder: Path, name: str = "customers.parquet") -> Path:
    path = folder / name
    pq.write_table(pa.table({"customer_id": ["007", "8"], "name": ["Ada", ""]}), path)
    return path


class TestACsvFile:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
    @pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
    @pytest.mark.parametrize("quote", ["", '"'], ids=["", "quoted"])
    def test_is_read_however_it_is_written(
        self, delimiter: str, bom: bytes, end: str, quote: str, tmp_path: Path
    ) -> None:
        lines = [["customer_id", "name"], ["007", "Ada"], ["8", ""]]
        text = "".join(
            delimiter.join(f"{quote}{cell}{quote}" for cell in line) + end for line in lines
        )

        found = read(tmp_path, bom + text.encode())

        assert found.rows.to_pylist() == ROWS
        assert found.ragged == []

    @pytest.mark.parametrize(
        "text",
        [
            "customer_id,name\r007,1\r",
            "\ncustomer_id,name\n007,1\n",
            '"customer_id","na,me"\n007,1\n',
            '"customer_id","na\nme"\n007,1\n',
            '"customer_id","na""me"\n007,1\n',
            '"customer_id";"a,b,c"\n007;1\n',
        ],
        ids=["cr", "blank-line-first", "comma", "line-end", "quote", "other-delimiter"],
    )
    def test_has_text_in_every_column_so_that_007_stays_007(
        self, text: str, tmp_path: Path
    ) -> None:
        rows = read(tmp_path, text).rows

        assert set(rows.schema.types) == {pa.string()}
        assert rows["customer_id"].to_pylist() == ["007"]

    def test_has_no_words_that_mean_nothing(self, tmp_path: Path) -> None:
        rows = read(tmp_path, "customer_id,name\nNA,null\nNULL,NaN\n").rows

        assert rows["customer_id"].to_pylist() == ["NA", "NULL"]
        assert rows["name"].to_pylist() == ["null", "NaN"]

    def test_may_have_the_delimiter_and_line_ends_inside_quotes(self, tmp_path: Path) -> None:
        found = read(tmp_path, 'customer_id,name\n1,"Ada, Countess\nof Lovelace"\n')

        assert found.rows["name"].to_pylist() == ["Ada, Countess\nof Lovelace"]

    def test_has_one_column_where_it_has_no_delimiter(self, tmp_path: Path) -> None:
        assert read(tmp_path, "customer_id\n1\n2\n").rows["customer_id"].to_pylist() == ["1", "2"]

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_of_a_header_only_has_no_rows(self, end: str, tmp_path: Path) -> None:
        rows = read(tmp_path, f"customer_id,name{end}").rows

        assert rows.column_names == ["customer_id", "name"]
        assert len(rows) == 0

    def test_may_have_its_ending_in_capitals(self, tmp_path: Path) -> None:
        assert len(read(tmp_path, "customer_id\n1\n", "CUSTOMERS.CSV").rows) == 1

    def test_is_known_by_its_bytes(self, tmp_path: Path) -> None:
        body = b"customer_id\n1\n"

        assert read(tmp_path, body).sha256 == hashlib.sha256(body).hexdigest()

    @given(cells=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"))))
    def test_gives_back_any_text_that_was_quoted(
        self, cells: list[str], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("csv")
        lines = [f'{n},"{cell.replace(chr(34), chr(34) * 2)}"' for n, cell in enumerate(cells)]

        found = read(folder, "\n".join(["customer_id,name", *lines]) + "\n")

        assert found.rows["name"].to_pylist() == cells


class TestALineOfAnotherShape:
    def test_is_left_out_and_told_with_the_number_an_editor_shows(self, tmp_path: Path) -> None:
        found = read(tmp_path, "customer_id,name\n1,a\n2\n3,c\n4,d,x\n")

        assert found.rows["customer_id"].to_pylist() == ["1", "3"]
        assert found.ragged == [(3, "2"), (5, "4,d,x")]

    def test_far_down_still_has_its_number(self, tmp_path: Path) -> None:
        lines = ["1,a"] * 30_000 + ["2"] + ["3,c"] * 10

        found = read(tmp_path, "\n".join(["customer_id,name", *lines]) + "\n")

        assert found.ragged == [(30_002, "2")]
        assert len(found.rows) == 30_010

    def test_is_kept_whole_so_that_it_can_be_mended(self, tmp_path: Path) -> None:
        line = f"1,2,{'x' * 9999}"

        [(_, text)] = read(tmp_path, f"customer_id,name\n{line}\n").ragged

        assert text == line

    def test_may_be_every_line(self, tmp_path: Path) -> None:
        found = read(tmp_path, "customer_id,name\n1\n2\n")

        assert len(found.rows) == 0
        assert len(found.ragged) == 2


class TestAParquetFile:
    def test_is_read_with_its_own_types(self, tmp_path: Path) -> None:
        found = read_file(parquet(tmp_path), PLENTY)

        assert found.rows.to_pylist() == ROWS
        assert found.ragged == []

    def test_is_known_by_its_bytes(self, tmp_path: Path) -> None:
        path = parquet(tmp_path)

        assert read_file(path, PLENTY).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_that_is_cut_short_is_refused_at_every_length(self, tmp_path: Path) -> None:
        path = parquet(tmp_path)
        whole = path.read_bytes()

        for length in range(4, len(whole), 37):
            path.write_bytes(whole[:length])
            assert refusal(path).code == "DATA_TRUNCATED"

    def test_with_a_damaged_end_is_refused(self, tmp_path: Path) -> None:
        path = parquet(tmp_path)
        body = bytearray(path.read_bytes())
        body[-40:-8] = b"\xff" * 32
        path.write_bytes(body)

        assert refusal(path).code == "DATA_TRUNCATED"


class TestAFileThatCannotBeUsed:
    def test_is_not_there(self, tmp_path: Path) -> None:
        refused = refusal(tmp_path / "customers.csv")

        assert refused.code == "DATA_MISSING"
        assert "customers.csv" in refused.what

    def test_is_a_folder(self, tmp_path: Path) -> None:
        assert refusal(tmp_path).code == "DATA_MISSING"

    @pytest.mark.parametrize("name", ["customers.csv", "customers.parquet"])
    def test_has_no_bytes(self, name: str, tmp_path: Path) -> None:
        refused = refusal(delivered(tmp_path, b"", name))

        assert refused.code == "DATA_EMPTY"
        assert name in refused.what

    def test_is_too_large_and_one_byte_less_is_not(self, tmp_path: Path) -> None:
        path = delivered(tmp_path, "customer_id\n1\n")
        size = path.stat().st_size

        refused = refusal(path, size - 1)

        assert refused.code == "DATA_TOO_LARGE"
        assert "intake.max_file_bytes" in refused.next_step
        assert len(read_file(path, size).rows) == 1

    def test_is_parquet_under_the_name_of_a_csv(self, tmp_path: Path) -> None:
        refused = refusal(parquet(tmp_path, "customers.csv"))

        assert refused.code == "DATA_WRONG_FORMAT"
        assert "customers.csv" in refused.what

    def test_is_a_csv_under_the_name_of_parquet(self, tmp_path: Path) -> None:
        path = delivered(tmp_path, "customer_id\n1\n", "customers.parquet")

        assert refusal(path).code == "DATA_WRONG_FORMAT"

    @pytest.mark.parametrize("name", ["customers.xlsx", "customers", "customers.csv.gz"])
    def test_is_of_another_kind(self, name: str, tmp_path: Path) -> None:
        assert refusal(delivered(tmp_path, "customer_id\n1\n", name)).code == "DATA_WRONG_FORMAT"

    @pytest.mark.parametrize(
        "body",
        [
            b"customer_id,name\n1,Z\xfcrich\n",
            b"customer_id,Z\xfcrich\n1,a\n",
            "customer_id,name\n1,a\n".encode("utf-16"),
            b"customer_id,name\n1,Z\xfcrich,3\n2,b\n",
        ],
        ids=["row", "header", "utf-16", "ragged"],
    )
    def test_is_not_utf_8(self, body: bytes, tmp_path: Path) -> None:
        refused = refusal(delivered(tmp_path, body))

        assert refused.code == "TEXT_ENCODING"
        assert "UTF-8" in refused.next_step

    @pytest.mark.parametrize("body", [b"\n", b"\n\n", b"\xef\xbb\xbf"])
    def test_has_nothing_in_it(self, body: bytes, tmp_path: Path) -> None:
        assert refusal(delivered(tmp_path, body)).code in ("DATA_TRUNCATED", "DATA_EMPTY")

    @given(body=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.parquet"]))
    def test_is_refused_and_nothing_else_happens_whatever_it_holds(
        self, body: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = delivered(tmp_path_factory.mktemp("any"), body, name)

        with suppress(Refused):
            assert set(read_file(path, PLENTY).rows.schema.types) <= {pa.string()}
