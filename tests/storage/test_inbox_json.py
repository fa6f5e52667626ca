"""JSON lines: a row a line, its numbers as they were written; what can be read in two ways is none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.formats import Format
from tests.storage.delivered import chunks, opened, put, ragged, refusal, rows


class TestADelivery:
    @pytest.mark.parametrize(
        "name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.ndjson.zst", "A.JSONL"]
    )
    def test_is_a_row_a_line_all_text(self, name: str, tmp_path: Path) -> None:
        body = '{"id": "007", "price": 12.50, "sold": true}\n{"id": 17733.0, "price": null}\n'
        path = put(tmp_path, body, name)

        assert opened(path).format is Format.JSON_LINES
        assert opened(path).columns == ("id", "price", "sold")
        assert rows(path) == [(1, "007", "12.50", "true"), (2, "17733.0", None, None)]

    def test_has_the_same_columns_in_every_chunk_however_late_a_name_comes(
        self, tmp_path: Path
    ) -> None:
        body = '{"id": 1}\n' * 460_000 + '{"note": "x"}\n'

        found = chunks(put(tmp_path, body, "a.jsonl"))

        assert len(found) > 1
        assert {tuple(chunk.rows.column_names) for chunk in found} == {("id", "note")}
        assert found[-1].rows["note"].to_pylist()[-1] == "x"

    def test_may_have_blank_lines_a_mark_and_crlf(self, tmp_path: Path) -> None:
        body = '\ufeff{"id": 1}\r\n\r\n  \n {"id": 2} \r\n'

        assert rows(put(tmp_path, body, "a.jsonl")) == [(1, "1"), (4, "2")]

    def test_may_end_without_a_line_end_because_an_object_tells_its_own(
        self, tmp_path: Path
    ) -> None:
        assert rows(put(tmp_path, '{"id": 1}\n{"id": 2}', "a.jsonl")) == [(1, "1"), (2, "2")]

    @given(values=st.lists(st.text(max_size=9) | st.integers(-(2**63), 2**64 - 1), min_size=1))
    def test_gives_back_whatever_was_written(
        self, values: list[str | int], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        body = "".join(json.dumps({"v": value}) + "\n" for value in values)
        path = put(tmp_path_factory.mktemp("json"), body, "a.jsonl")
        texts = [str(value) for value in values]
        assert [row[1] for row in rows(path)] == texts


class TestALineThatIsNoRow:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ('{"id": 1, "id": 2}', "a name comes twice in one object"),
            ('{"id": NaN}', "NaN is not a number"),
            ('{"id": -Infinity}', "-Infinity is not a number"),
            ('{"id": 18446744073709551616}', "a whole number of more than 64 bits"),
            ('{"id": -9223372036854775809}', "a whole number of more than 64 bits"),
            ('{"id": ' + "9" * 5000 + "}", "a whole number of more than 64 bits"),
            ('{"id": {"a": 1}}', "a value is a list or an object"),
            ('{"id": [1]}', "a value is a list or an object"),
            ('{"id": ' + "[" * 100_000, "nested too deeply"),
            ('{"id": "\\ud800"}', "a value holds half a character"),
            ('{"id": 1} {"id": 2}', "more than one object"),
            ('{"id": 01}', "no JSON"),
            ('{"id": "tab\tinside"}', "no JSON"),
            ("id,name", "no JSON"),
            ("[1]", "not an object"),
            ("7", "not an object"),
            ("{}", "an object without a value"),
        ],
    )
    def test_is_told_with_its_line_and_the_reason_and_costs_no_other(
        self, line: str, why: str, tmp_path: Path
    ) -> None:
        path = put(tmp_path, '{"id": "a"}\n' + line + '\n{"id": "b"}\n', "a.jsonl")

        assert [row[:2] for row in rows(path)] == [(1, "a"), (3, "b")]
        [told] = ragged(path)
        assert told == (2, line, "JSON_INVALID", why)


class TestAFile:
    @pytest.mark.parametrize("body", ["id,name\n1,2\n", '[{"id": 1}]\n', "\n\n"])
    def test_that_does_not_begin_with_an_object_is_no_json_lines(
        self, body: str, tmp_path: Path
    ) -> None:
        assert refusal(put(tmp_path, body, "a.jsonl")).code == "DATA_WRONG_FORMAT"

    def test_that_is_json_lines_is_no_csv(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, '{"id": 1}\n', "a.csv"))

        assert (refused.code, "JSON lines" in refused.what) == ("DATA_WRONG_FORMAT", True)

    def test_of_too_many_names_is_refused(self, tmp_path: Path) -> None:
        body = "".join(f'{{"n{n}": 1}}\n' for n in range(1_001))

        assert refusal(put(tmp_path, body, "a.jsonl")).code == "DATA_LIMIT"

    def test_with_a_line_that_does_not_end_is_refused(self, tmp_path: Path) -> None:
        body = '{"id": 1}\n{"id": "' + "x" * 10_000_000

        assert refusal(put(tmp_path, body, "a.jsonl")).code in {"JSON_INVALID", "DATA_TRUNCATED"}

    def test_with_a_text_longer_than_any_field_is_refused(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, '{"id": "' + "x" * 65_537 + '"}\n', "a.jsonl"))

        assert (refused.code, "line 1" in refused.what) == ("JSON_INVALID", True)

    def test_that_is_not_utf_8_is_refused_with_the_place(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, b'{"id": "a"}\n{"id": "\xe9"}\n', "a.jsonl"))

        assert refused.code == "TEXT_ENCODING"
        assert "byte 0xE9 on line 2, column 9" in refused.what
