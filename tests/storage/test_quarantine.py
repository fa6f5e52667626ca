"""Quarantined rows on their way through a spreadsheet and back."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from storage.quarantine import as_csv, as_delivered

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6) | st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "'", "''"]),
    st.sampled_from("=+-@\t\r"),
    st.text("1'=", max_size=3),
)


def exported(folder: Path, cells: list[str | None]) -> bytes:
    rows = pa.table(
        {
            "name": pa.array(cells, pa.string()),
            "_line": pa.array(range(1, len(cells) + 1), pa.int64()),
            "_code": ["VALUE_TYPE"] * len(cells),
        }
    )
    pq.write_table(rows, folder / "rows.parquet")
    return b"".join(as_csv(folder / "rows.parquet", "b1"))


def read_back(text: bytes) -> pa.Table:
    kinds = dict.fromkeys(["name", "_line", "_code", "_batch"], pa.string())
    return pc_csv.read_csv(
        io.BytesIO(text),
        parse_options=pc_csv.ParseOptions(newlines_in_values=True),
        convert_options=pc_csv.ConvertOptions(column_types=kinds),
    )


class TestTheFile:
    @given(cells=st.lists(CELLS, min_size=1, max_size=5))
    def test_holds_no_cell_that_a_spreadsheet_runs_and_gives_back_what_was_there(
        self, cells: list[str]
    ) -> None:
        with TemporaryDirectory() as folder:
            text = exported(Path(folder), list(cells))
        shown = [row[0] for row in csv.reader(io.StringIO(text.decode(), newline=""))][1:]
        assert not [cell for cell in shown if cell.startswith(tuple("=+-@\t\r"))]
        rows, lines = as_delivered(read_back(text), "b1")
        assert rows.column_names == ["name"]
        assert rows["name"].to_pylist() == cells
        assert lines.to_pylist() == [*range(1, len(cells) + 1)]

    def test_has_an_empty_cell_where_there_was_no_value(self, tmp_path: Path) -> None:
        assert exported(tmp_path, [None]) == b"name,_line,_code,_batch\r\n,1,VALUE_TYPE,b1\r\n"


class TestADeliveredFile:
    @pytest.mark.parametrize(
        ("batches", "numbers"),
        [(["a", "b"], ["1", "2"]), (["a", "a"], ["1", ""]), (["a", None], ["1", "2"])],
    )
    def test_whose_marks_were_damaged_is_refused(
        self, batches: list[str | None], numbers: list[str]
    ) -> None:
        rows = pa.table({"name": ["x", "y"], "_line": numbers, "_batch": batches})
        with pytest.raises(Refused) as told:
            as_delivered(rows, "a")
        assert told.value.code == "MENDED"
