"""What a file is, how far it may unpack, and in which letters it is written."""

import gzip
import io
import logging
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from schema.mapping import Reading
from schema.settings import IntakeSettings
from storage.inbox import delivery
from tests.storage.delivered import PLAIN, chunks, opened, put, refusal, rows

CSV = b"customer_id,name\n1,a\n"
LONG = ("x" * 999 + "\n") * 70_000
"""70 MB that pack into less than one."""


def zipped(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, CSV)
    return target.getvalue()


def tarred() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("../../x")
        member.size = len(CSV)
        archive.addfile(member, io.BytesIO(CSV))
    return target.getvalue()


def saved() -> bytes:
    target = io.BytesIO()
    np.save(target, np.zeros(3))
    return target.getvalue()


ARCHIVES = {"zip": zipped("../../x.csv"), "tar": tarred(), "7z": b"7z\xbc\xaf\x27\x1c" + bytes(90)}
OBJECTS = {
    "npy": saved(),
    **{f"pickle {n}": pickle.dumps([1], protocol=n) for n in (2, 3, 4, 5)},
}


class TestAnArchive:
    @pytest.mark.parametrize("name", ["a.csv", "a.zip", "a.jsonl", "a.parquet"])
    @pytest.mark.parametrize("body", ARCHIVES.values(), ids=ARCHIVES)
    def test_is_not_opened_whatever_it_is_called(
        self, body: bytes, name: str, tmp_path: Path
    ) -> None:
        refused = refusal(put(tmp_path, body, name))

        assert refused.code == "ARCHIVE_UNSAFE"
        assert "send one CSV" in refused.next_step

    @pytest.mark.parametrize("packed", [".gz", ".zst"])
    @pytest.mark.parametrize(
        "body", [*ARCHIVES.values(), gzip.compress(CSV)], ids=[*ARCHIVES, "gzip"]
    )
    def test_is_not_opened_inside_a_packed_file(
        self, body: bytes, packed: str, tmp_path: Path
    ) -> None:
        assert refusal(put(tmp_path, body, f"a.csv{packed}")).code == "ARCHIVE_UNSAFE"

    def test_that_is_a_workbook_is_told_as_one(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, zipped("[Content_Types].xml"), "a.csv"))

        assert (refused.code, "Excel" in refused.what) == ("DATA_WRONG_FORMAT", True)


class TestPythonObjects:
    @pytest.mark.parametrize("packed", ["", ".gz"])
    @pytest.mark.parametrize("body", OBJECTS.values(), ids=OBJECTS)
    def test_are_forbidden_whatever_the_file_is_called(
        self, body: bytes, packed: str, tmp_path: Path
    ) -> None:
        assert refusal(put(tmp_path, body, f"a.csv{packed}")).code == "FORMAT_FORBIDDEN"


class TestAName:
    @pytest.mark.parametrize(
        ("body", "name", "holds"),
        [
            (gzip.compress(CSV), "a.csv", "gzip"),
            (pa.Codec("zstd").compress(CSV, asbytes=True), "a.jsonl", "zstd"),
            (CSV, "a.parquet", "something else"),
            (b"<!DOCTYPE html>\n<p>Not found</p>\n", "a.csv", "HTML"),
            (b"\n<?xml version='1.0'?>\n", "a.csv", "XML"),
            (b"%PDF-1.7\n", "a.csv", "PDF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "a.csv", "Excel"),
        ],
        ids=["gzip", "zstd", "text", "html", "xml", "pdf", "excel"],
    )
    def test_has_to_agree_with_the_content(
        self, body: bytes, name: str, holds: str, tmp_path: Path
    ) -> None:
        path = tmp_path / name
        path.write_bytes(body)

        refused = refusal(path)

        assert refused.code == "DATA_WRONG_FORMAT"
        assert holds in refused.what

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.zst"])
    def test_that_says_packed_wants_it_packed(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / name
        path.write_bytes(CSV)

        assert refusal(path).code == "DATA_WRONG_FORMAT"

    def test_with_two_compressions_is_none(self, tmp_path: Path) -> None:
        assert refusal(put(tmp_path, CSV, "a.csv.gz.gz")).code == "DATA_WRONG_FORMAT"


class TestABomb:
    @pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.jsonl.gz"])
    def test_is_stopped_at_the_ratio(self, name: str, tmp_path: Path) -> None:
        first = '{"a": 1}\n' if "json" in name else "a\n"
        path = put(tmp_path, first + LONG, name)

        refused = refusal(path)

        assert (refused.code, "times its size" in refused.what) == ("DATA_BOMB", True)

    @pytest.mark.parametrize(("most", "fits"), [(20_002, True), (20_001, False)])
    def test_is_stopped_at_the_size(self, most: int, fits: bool, tmp_path: Path) -> None:
        path = put(tmp_path, "a\n" + "1\n" * 10_000, "a.csv.gz")

        if fits:
            assert len(rows(path, max_unpacked_bytes=most)) == 10_000
        else:
            assert refusal(path, max_unpacked_bytes=most).code == "DATA_BOMB"

    def test_is_not_a_small_file_of_one_word(self, tmp_path: Path) -> None:
        path = put(tmp_path, "a\n" + "1\n" * 1_000_000, "a.csv.gz")

        assert sum(len(chunk.rows) for chunk in chunks(path)) == 1_000_000

    @pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.jsonl.zst", "quote.csv.gz"])
    def test_never_takes_more_memory_than_a_few_blocks(self, name: str, tmp_path: Path) -> None:
        """A gigabyte unpacked, in a process that may have 400 MB more than its imports take."""
        first = b'{"a": 1}\n' if "json" in name else b'a\n"' if "quote" in name else b"a\n"
        path = tmp_path / name
        codec = "gzip" if name.endswith("gz") else "zstd"
        with pa.output_stream(str(path), compression=codec) as packed:
            packed.write(first)
            for _ in range(1024 if codec == "zstd" else 256):
                packed.write(b"x" * (1 << 20))

        told = subprocess.run(
            [sys.executable, "-c", _BOUNDED, str(path)], capture_output=True, text=True, check=False
        )

        assert (told.stdout.strip(), told.returncode) in (
            [("DATA_BOMB", 0), ("CSV_SHAPE", 0), ("JSON_INVALID", 0), ("CSV_QUOTE", 0)]
        ), told.stderr[-800:]


_BOUNDED = """
import resource, sys
from pathlib import Path
from schema.errors import Refused
from schema.mapping import Reading
from schema.settings import IntakeSettings
from storage.inbox import delivery

used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)
try:
    for _ in delivery(Path(sys.argv[1]), Reading(), IntakeSettings(), tenant="acme").chunks():
        pass
except Refused as refused:
    print(refused.code)
"""


class TestLetters:
    def test_that_are_not_utf_8_are_told_with_byte_line_column_and_likeness(
        self, tmp_path: Path
    ) -> None:
        body = "id,name\n" + "1,ü\n" * 15 + "17,"
        refused = refusal(put(tmp_path, body.encode() + b"\xe9t\xe9\n"))

        assert refused.code == "TEXT_ENCODING"
        assert (
            "byte 0xE9 on line 17, column 4 is not UTF-8; the file looks like Windows-1252"
        ) in refused.what

    def test_that_are_none_are_said_to_be_none(self, tmp_path: Path) -> None:
        assert "no text at all" in refusal(put(tmp_path, b"id\n\x81\x8d\n")).what

    @pytest.mark.parametrize("encoding", ["windows-1252", "iso-8859-1"])
    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
    def test_are_decoded_where_their_encoding_is_declared(
        self, name: str, encoding: str, tmp_path: Path
    ) -> None:
        text = '{"id": "Zürich"}\n' if "json" in name else "id\nZürich\n"
        path = put(tmp_path, text.encode(encoding), name)

        assert rows(path, Reading.model_validate({"encoding": encoding}))[0][1] == "Zürich"

    def test_that_the_declared_encoding_does_not_have_are_refused(self, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, b"id\na\nb\x81\n"), Reading(encoding="windows-1252"))

        assert refused.code == "TEXT_ENCODING"
        assert "byte 0x81 on line 3, column 2" in refused.what

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_in_utf_8_are_not_garbled_because_something_else_is_declared(
        self, mark: str, tmp_path: Path
    ) -> None:
        path = put(tmp_path, f"{mark}id\nZürich\n")

        assert refusal(path, Reading(encoding="windows-1252")).code == "TEXT_ENCODING"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_of_several_bytes_each_are_refused(self, encoding: str, tmp_path: Path) -> None:
        refused = refusal(put(tmp_path, "id,name\n1,a\n".encode(encoding)))

        assert (refused.code, "UTF-16" in refused.what) == ("TEXT_ENCODING", True)

    def test_may_be_parted_between_two_pieces_of_the_file(self, tmp_path: Path) -> None:
        body = "id\n" + "é\n" * 700_000

        assert {row for chunk in chunks(put(tmp_path, body)) for row in chunk.rows["id"].unique().to_pylist()} == {"é"}  # fmt: skip


class TestLimits:
    @pytest.mark.parametrize(("most", "fits"), [(4, True), (3, False)])
    def test_of_rows_count_those_of_another_shape_too(
        self, most: int, fits: bool, tmp_path: Path
    ) -> None:
        path = put(tmp_path, "a\n1\n2\n3\n4,4\n")

        if fits:
            assert sum(chunk.read for chunk in chunks(path, max_rows=most)) == 4
        else:
            refused = refusal(path, max_rows=most)
            assert (refused.code, "intake.max_rows" in refused.next_step) == ("DATA_LIMIT", True)

    def test_of_rows_stop_the_reader_at_the_limit_not_at_the_end(self, tmp_path: Path) -> None:
        read = opened(put(tmp_path, "a\n" + "1\n" * 600_000), max_rows=300_000).chunks()

        assert next(read).read < 300_000
        with pytest.raises(Refused, match="over 300,000 rows"):
            next(read)


class TestAFileStillBeingWritten:
    def test_is_told_as_such_when_it_grew_under_the_reader(self, tmp_path: Path) -> None:
        path = put(tmp_path, "a\n1\n")
        found = opened(path).chunks()
        next(found)
        with path.open("a") as more:
            more.write("2\n")

        with pytest.raises(Refused) as told:
            list(found)

        assert told.value.code == "DATA_NOT_SETTLED"

    def test_is_told_as_such_when_another_took_its_place(self, tmp_path: Path) -> None:
        path = put(tmp_path, "a\n1\n")
        found = opened(path)
        put(tmp_path, "a\n2\n", "b.csv").rename(path)

        with pytest.raises(Refused) as told:
            list(found.chunks())

        assert told.value.code == "DATA_NOT_SETTLED"

    def test_is_told_as_such_even_if_it_looks_broken_meanwhile(self, tmp_path: Path) -> None:
        path = put(tmp_path, "a\n1\n")
        found = opened(path)
        path.write_text('a\n1\n"')

        with pytest.raises(Refused) as told:
            list(found.chunks())

        assert told.value.code == "DATA_NOT_SETTLED"


class TestTheSecurityLog:
    @pytest.mark.parametrize(
        ("body", "name", "code"),
        [
            (ARCHIVES["zip"], "secret-name.csv", "ARCHIVE_UNSAFE"),
            (OBJECTS["npy"], "secret-name.csv", "FORMAT_FORBIDDEN"),
            (b"a\n" + LONG.encode(), "secret-name.csv.gz", "DATA_BOMB"),
        ],
        ids=["archive", "array", "bomb"],
    )
    def test_names_tenant_and_code_and_nothing_of_the_file(
        self,
        body: bytes,
        name: str,
        code: str,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        refusal(put(tmp_path, body, name))

        [record] = [r for r in caplog.records if r.name == "recfactory.security"]
        assert (record.levelno, record.getMessage()) == (logging.WARNING, f"acme: {code}")

    def test_is_silent_about_a_slip(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        refusal(put(tmp_path, "a\n1"))

        assert caplog.records == []


class TestAnyBytes:
    @given(
        body=st.binary(max_size=300),
        name=st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.zst"]),
        reading=st.sampled_from([PLAIN, Reading(encoding="windows-1252", header_line=2)]),
        packed=st.booleans(),
    )
    def test_give_rows_or_a_refusal_and_nothing_else(
        self,
        body: bytes,
        name: str,
        reading: Reading,
        packed: bool,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        folder = tmp_path_factory.mktemp("any")
        path = put(folder, body, name) if packed else folder / name
        path.write_bytes(path.read_bytes() if packed else body)
        try:
            for chunk in delivery(path, reading, IntakeSettings(), tenant="acme").chunks():
                assert len(chunk.rows) == len(chunk.lines)
        except Refused as refused:
            assert refused.code
