"""A file that was cut short is refused as a whole, wherever the cut is (promise B13).

One cut cannot be known by anybody: that of a plain text file right after a line end, which leaves a
shorter file that is whole. Packed files and Parquet have no such place.
"""

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schema.errors import Refused
from tests.storage.delivered import chunks

ROWS = [(f"C-{n}", f'a "quoted"\nname, {n}', n * 1.5) for n in range(2_000)]
CSV = "".join(f'{key},"{name.replace(chr(34), chr(34) * 2)}",{x}\n' for key, name, x in ROWS)
JSON = "".join(json.dumps({"id": key, "name": name, "x": x}) + "\n" for key, name, x in ROWS)


def parquet(folder: Path) -> bytes:
    path = folder / "whole.parquet"
    pq.write_table(pa.table(dict(zip("abc", zip(*ROWS, strict=True), strict=True))), path)
    return path.read_bytes()


def bodies(folder: Path) -> dict[str, bytes]:
    text = ("id,name,x\n" + CSV).encode()
    return {
        "a.csv": text,
        "a.csv.gz": gzip.compress(text),
        "a.csv.zst": pa.Codec("zstd").compress(text, asbytes=True),
        "a.jsonl": JSON.encode(),
        "a.jsonl.gz": gzip.compress(JSON.encode()),
        "a.parquet": parquet(folder),
    }


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.jsonl.gz", "a.parquet"]
)
def test_of_200_cuts_none_is_taken(name: str, tmp_path: Path) -> None:
    body, path = bodies(tmp_path)[name], tmp_path / name
    path.write_bytes(body)
    assert sum(chunk.read for chunk in chunks(path)) == len(ROWS)
    told = set()
    for cut in random.Random(13).sample(range(len(body)), 200):
        path.write_bytes(body[:cut])
        try:
            found = chunks(path)
        except Refused as refused:
            told.add(refused.code)
        else:
            # Nobody can know: the file ends where a row does, and is in itself whole.
            assert name in ("a.csv", "a.jsonl")
            assert body[cut - 1 : cut] == b"\n" or body[cut : cut + 1] == b"\n"
            assert not any(chunk.ragged for chunk in found)
    assert told <= {"DATA_TRUNCATED", "CSV_QUOTE", "DATA_EMPTY", "DATA_WRONG_FORMAT"}


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet"])
def test_of_200_changed_bytes_none_is_taken_for_the_file_that_was_sent(
    name: str, tmp_path: Path
) -> None:
    body, path = bodies(tmp_path)[name], tmp_path / name
    path.write_bytes(body)
    true = pa.concat_tables([chunk.rows for chunk in chunks(path)])
    dice = random.Random(7)
    for _ in range(200):
        changed = bytearray(body)
        changed[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
        path.write_bytes(changed)
        try:
            found = pa.concat_tables([chunk.rows for chunk in chunks(path)])
        except Refused:
            continue
        # Parquet without page checksums cannot tell a changed number: only a crash is a fault.
        assert name == "a.parquet" or found.equals(true)
