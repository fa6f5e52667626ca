"""What a Parquet file would unpack to, told by its pages before any of them is unpacked.

The sizes in a file's footer are claims. A page's own header is not: PyArrow makes room for as many
bytes as it says and fails where the content has another length. So the headers are read first, from
page to page, and a bomb is seen without being lit.

Source: the Parquet format, `PageHeader` in parquet.thrift, in Thrift's compact protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq

from schema.errors import Refused
from storage.unpacked import bomb

_HEADER_MOST = 1 << 16
_MOST_PAGES = 1 << 20
_MOST_AT_ONCE = 1 << 29
"""Bytes that the largest pages of a row group's columns may have together: they are held at once."""
_DELTA_BYTE_ARRAY = 7
"""Texts that share their beginnings: a few bytes become any number, whatever the page says."""
_STRUCT = 12


@dataclass(frozen=True, slots=True)
class Page:
    unpacked: int
    packed: int
    encoding: int


def check_pages(path: Path, metadata: pq.FileMetaData, most: int) -> None:
    """Refuse a file whose pages unpack to too much, or are not where its footer says.

    Args:
        most: bytes that all pages may have together.

    Raises:
        Refused: ``DATA_BOMB``, or ``PARQUET_UNSUPPORTED`` with the column's name.
    """
    size = path.stat().st_size
    done = pages = 0
    with path.open("rb") as file:
        for group in range(metadata.num_row_groups):
            at_once = 0
            row_group = metadata.row_group(group)
            if not row_group.num_rows:
                continue  # it has no pages, or none that are read
            for number in range(row_group.num_columns):
                column = row_group.column(number)
                begin = column.data_page_offset
                if column.has_dictionary_page and 0 < column.dictionary_page_offset < begin:
                    begin = column.dictionary_page_offset
                end = begin + column.total_compressed_size
                if not 4 <= begin <= end <= size:
                    raise unsupported(path.name, column.path_in_schema, "lies outside the file")
                largest = 0
                for page in _pages(file, begin, end, path.name, column.path_in_schema):
                    done, pages, largest = (
                        done + page.unpacked,
                        pages + 1,
                        max(largest, page.unpacked),
                    )
                    if done > most:
                        raise bomb(path.name, most, size)
                    if pages > _MOST_PAGES:
                        raise unsupported(path.name, column.path_in_schema, "has too many pages")
                    if page.encoding == _DELTA_BYTE_ARRAY:
                        raise unsupported(
                            path.name, column.path_in_schema, "is encoded as DELTA_BYTE_ARRAY"
                        )
                at_once += largest
            if at_once > _MOST_AT_ONCE:
                raise unsupported(
                    path.name, column.path_in_schema, f"makes pages of {at_once:,} bytes"
                )


def unsupported(file: str, column: str, why: str) -> Refused:
    """The refusal of a Parquet file for one of its columns."""
    return Refused(
        f"{file}: column {column[:80]!r} {why}",
        "write the file anew with plain columns of text, numbers and times, or send CSV",
        code="PARQUET_UNSUPPORTED",
    )


def _pages(file: BinaryIO, place: int, end: int, name: str, column: str) -> Iterator[Page]:
    while place < end:
        file.seek(place)
        head = file.read(min(_HEADER_MOST, end - place))
        try:
            fields, length = _struct(head, 0, 0)
            page = Page(
                fields[2], fields[3], next((fields[n] for n in (5, 7, 8) if n in fields), 0)
            )
        except (IndexError, KeyError, ValueError) as error:
            raise unsupported(name, column, "has a damaged page") from error
        if page.unpacked < 0 or not 0 <= page.packed <= end - place - length:
            raise unsupported(name, column, "has a page whose size is not true")
        yield page
        place += length + page.packed


def _struct(data: bytes, place: int, depth: int) -> tuple[dict[int, int], int]:
    """Whole numbers by field, and the place after the struct; of a struct inside, its encoding.

    The encoding of a page is the second field of DataPageHeader and DictionaryPageHeader, and the
    fourth of DataPageHeaderV2.
    """
    fields: dict[int, int] = {}
    number = 0
    while head := data[place]:
        place, kind = place + 1, head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, place = _zigzag(data, place)
        if kind in (4, 5, 6):
            fields[number], place = _zigzag(data, place)
        elif kind == _STRUCT and depth < 4:
            inner, place = _struct(data, place, depth + 1)
            fields[number] = inner.get(4 if number == 8 else 2, 0)
        else:
            place = _skip(data, place, kind)
    return fields, place + 1


def _skip(data: bytes, place: int, kind: int) -> int:
    if kind in (1, 2):  # a boolean is in the field's head
        return place
    if kind == 3:
        return place + 1
    if kind == 7:
        return place + 8
    if kind == 8:
        length, place = _varint(data, place)
        return place + length
    raise ValueError(kind)  # page headers hold no list, set or map


def _zigzag(data: bytes, place: int) -> tuple[int, int]:
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
