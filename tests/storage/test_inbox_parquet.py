"""Parquet: what a file says of itself is a claim, and is held against its pages."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.formats import Format
from tests.storage.delivered import chunks, opened, refusal, rows


def written(folder: Path, columns: Any, **how: Any) -> Path:
    path = folder / "customers.parquet"
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **how)
    return path


def footer(path: Path) -> tuple[bytearray, int]:
    """The file's bytes, and where its footer begins."""
    body = bytearray(path.read_bytes())
    [length] = struct.unpack("<I", body[-8:-4])
    return body, len(body) - 8 - length


def forged(path: Path, true: int, false: int) -> Path:
    """The same file, saying another number wherever its footer says this one."""
    body, place = footer(path)
    [old, new] = [varint(2 * number) for number in (true, false)]
    assert len(old) == len(new), "the footer must keep its length"
    assert body[place:].count(old)
    body[place:] = body[place:].replace(old, new)
    path.write_bytes(body)
    return path


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


class TestADelivery:
    def test_keeps_its_own_types_and_counts_its_rows(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"id": ["a", "b"], "n": [1, 2]})

        assert opened(path).format is Format.PARQUET
        assert opened(path).columns == ("id", "n")
        assert rows(path) == [(1, "a", 1), (2, "b", 2)]

    def test_of_one_huge_row_group_still_comes_in_batches(self, tmp_path: Path) -> None:
        count = 400_000
        path = written(tmp_path, {"n": range(count)}, row_group_size=count)

        found = chunks(path)

        assert len(found) > 1
        assert np.concatenate([c.lines for c in found]).tolist() == list(range(1, count + 1))

    def test_of_several_row_groups_goes_on_counting(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"n": range(10)}, row_group_size=3)

        assert [row[0] for row in rows(path)] == list(range(1, 11))

    @pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
    @pytest.mark.parametrize("version", ["1.0", "2.0"])
    @pytest.mark.parametrize("dictionary", [True, False])
    def test_is_read_however_it_was_packed(
        self, compression: str, version: str, dictionary: bool, tmp_path: Path
    ) -> None:
        path = written(
            tmp_path,
            {"id": ["a", None, "c"] * 9_000, "x": [1.5, 2.5, None] * 9_000},
            compression=compression,
            data_page_version=version,
            use_dictionary=dictionary,
            write_page_checksum=True,
        )

        assert len(rows(path)) == 27_000

    def test_without_rows_still_has_its_columns(self, tmp_path: Path) -> None:
        [chunk] = chunks(written(tmp_path, {"id": pa.array([], pa.string())}))

        assert (chunk.rows.column_names, len(chunk.rows)) == (["id"], 0)


class TestAColumn:
    @pytest.mark.parametrize(
        ("kind", "value", "told"),
        [
            (pa.map_(pa.string(), pa.string()), [("a", "b")], "map"),
            (pa.list_(pa.string()), ["a"], "list or struct"),
            (pa.struct({"a": pa.string()}), {"a": "b"}, "list or struct"),
        ],
    )
    def test_that_is_nested_is_refused_by_name(
        self, kind: pa.DataType, value: Any, told: str, tmp_path: Path
    ) -> None:
        path = written(tmp_path, {"id": ["a"], "tags": pa.array([value], kind)})

        refused = refusal(path)

        assert refused.code == "PARQUET_UNSUPPORTED"
        assert f"column 'tags' is a {told}; flatten it" in refused.what

    def test_whose_texts_grow_out_of_each_other_is_refused(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            {"id": ["same beginning"] * 9},
            use_dictionary=False,
            column_encoding={"id": "DELTA_BYTE_ARRAY"},
        )

        refused = refusal(path)

        assert (refused.code, "'id'" in refused.what) == ("PARQUET_UNSUPPORTED", True)

    @pytest.mark.parametrize("dictionary", [True, False])
    def test_with_a_text_longer_than_any_field_is_refused(
        self, dictionary: bool, tmp_path: Path
    ) -> None:
        path = written(tmp_path, {"id": ["x" * 65_537] * 9}, use_dictionary=dictionary)

        refused = refusal(path)

        assert (refused.code, "'id'" in refused.what) == ("PARQUET_UNSUPPORTED", True)


class TestAFileThatIsNotWhatItSays:
    def test_is_refused_where_it_says_to_have_more_rows(self, tmp_path: Path) -> None:
        path = forged(written(tmp_path, {"id": [f"C-{n}" for n in range(5_000)]}), 5_000, 6_000)

        assert refusal(path).code in {"PARQUET_UNSUPPORTED", "DATA_TRUNCATED"}

    def test_is_refused_where_it_says_to_have_fewer_rows(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"id": [f"C-{n}" for n in range(5_000)]})
        body, place = footer(path)
        where = body.index(varint(10_000), place)  # the first is the file's own number of rows
        body[where : where + 2] = varint(8_200)
        path.write_bytes(body)

        assert refusal(path).code == "PARQUET_UNSUPPORTED"

    def test_is_a_bomb_by_its_pages_though_its_footer_says_little(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            {"id": pa.array(["\0" * 60_000] * 2_000)},
            compression="zstd",
            use_dictionary=False,
        )
        said = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
        forged(path, said, 2**26 + 1)  # as many digits, and half the size
        assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 2**26 + 1

        assert refusal(path, max_unpacked_ratio=1).code == "DATA_BOMB"

    def test_is_refused_where_its_columns_lie_outside_of_it(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"id": [f"C-{n}" for n in range(5_000)]})
        size = pq.read_metadata(path).row_group(0).column(0).total_compressed_size

        refused = refusal(forged(path, size, 2**20 - 1))

        assert (refused.code, "'id'" in refused.what) == ("PARQUET_UNSUPPORTED", True)

    def test_is_refused_where_a_page_says_that_it_is_larger(self, tmp_path: Path) -> None:
        path = written(tmp_path, {"id": ["a", "b"]}, use_dictionary=False, compression="none")
        body = bytearray(path.read_bytes())
        assert body[4:6] == b"\x15\x00"  # the page's kind; then its size unpacked and packed
        body[7:9], body[9:12] = varint(2 * 3_000), b"\x15" + varint(2 * 3_000)
        path.write_bytes(body)

        assert refusal(path).code == "PARQUET_UNSUPPORTED"

    def test_is_refused_where_it_is_encrypted(self, tmp_path: Path) -> None:
        path = tmp_path / "customers.parquet"
        path.write_bytes(b"PARE" + b"\x17" * 90 + b"PARE")

        refused = refusal(path)

        assert (refused.code, "encrypted" in refused.what) == ("PARQUET_UNSUPPORTED", True)


class TestARepeatedText:
    def test_takes_memory_for_a_batch_only_however_often_it_is_repeated(
        self, tmp_path: Path
    ) -> None:
        words = pa.DictionaryArray.from_arrays(
            pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 60_000])
        )
        path = written(tmp_path, pa.table({"id": words}))  # 12 GB of text in 61 KB
        assert path.stat().st_size < 200_000

        found = opened(path, max_unpacked_ratio=1e9).chunks()

        assert next(found).rows.nbytes < 2**27

    def test_is_a_bomb_where_all_of_it_is_too_much(self, tmp_path: Path) -> None:
        words = pa.DictionaryArray.from_arrays(
            pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 60_000])
        )

        assert refusal(written(tmp_path, pa.table({"id": words}))).code == "DATA_BOMB"


class TestAnOwner:
    def _owned(self, folder: Path, name: str) -> Path:
        table = pa.table({"id": ["C-1"]}).replace_schema_metadata({"recfactory.tenant": name})
        return written(folder, table)

    def test_may_be_the_one_who_delivers(self, tmp_path: Path) -> None:
        assert rows(self._owned(tmp_path, "acme")) == [(1, "C-1")]

    def test_who_is_another_is_refused_and_never_named(self, tmp_path: Path) -> None:
        refused = refusal(self._owned(tmp_path, "beta"))

        assert refused.code == "TENANT_MISMATCH"
        assert "beta" not in str(refused)
