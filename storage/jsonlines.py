"""JSON lines: one flat object a line becomes one row of text, exactly as it was written."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import orjson
import pyarrow as pa

from schema.errors import Refused
from storage.chunks import Chunk, Ragged, check_fields, check_width
from storage.unpacked import check_utf8

_BLOCK = 1 << 22
_CELLS = 1 << 21
"""Of one chunk: a line of a few bytes may stand for a row of many empty cells."""


@dataclass(frozen=True, slots=True)
class JsonLines:
    """A JSON lines file's name, columns and how its end is known.

    Attributes:
        names: every name that any line bears, in the order they come.
        whole: its packing proves that nothing is cut off.
    """

    name: str
    names: tuple[str, ...]
    whole: bool

    def chunks(self, flow: Iterator[bytes]) -> Iterator[Chunk]:
        """All rows, in order; one chunk at least. A line that is no flat object is ragged.

        Raises:
            Refused: it is cut short, or not UTF-8.
        """
        most = max(1, _CELLS // max(1, len(self.names)))
        number, seen = 1, False
        for block in blocks(self.name, flow):
            check_utf8(self.name, block, number)
            lines = block.decode().split("\n")
            if lines[-1] == "":
                lines.pop()
            elif not self.whole and _row(lines[-1])[1]:
                raise Refused(
                    f"{self.name}: the last line, {number + len(lines) - 1:,}, is cut short",
                    "export it again",
                    code="DATA_TRUNCATED",
                )
            for first in range(0, len(lines), most):
                yield self._chunk(lines[first : first + most], number + first)
                seen = True
            number += len(lines)
        if not seen:
            yield self._chunk([], number)

    def _chunk(self, lines: list[str], number: int) -> Chunk:
        rows: list[dict[str, Any]] = []
        places: list[int] = []
        ragged = []
        for place, line in enumerate(lines, number):
            row, why = _row(line)
            if why:
                ragged.append(Ragged(place, line.removesuffix("\r"), "JSON_INVALID", why))
            elif row:
                rows.append(row)
                places.append(place)
        columns = [pa.array([row.get(name) for row in rows], pa.string()) for name in self.names]
        chunk = Chunk(
            pa.table(columns, names=list(self.names)), np.array(places, np.int64), tuple(ragged)
        )
        check_fields(chunk, self.name, "JSON_INVALID")
        return chunk


def names(flow: Iterator[bytes], file: str) -> tuple[str, ...]:
    """Every name that any object of the file bears, in the order they come.

    A pass of its own, by a faster reader: a name may come late, and all chunks have the same columns.
    """
    found: dict[str, None] = {}
    for block in blocks(file, flow):
        for line in block.split(b"\n"):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # blank, or told as ragged when the rows are read
            if isinstance(row, dict) and not row.keys() <= found.keys():
                found.update(dict.fromkeys(row))
                check_width(tuple(found), file)
    return tuple(found)


def blocks(file: str, flow: Iterator[bytes]) -> Iterator[bytes]:
    """The text in blocks of whole lines; the last may lack its end."""
    rest = b""
    for piece in flow:
        rest += piece
        if len(rest) < _BLOCK:
            continue
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > 2 * _BLOCK:
            raise Refused(
                f"{file}: a line goes on for over {len(rest):,} bytes",
                "send one object a line",
                code="JSON_INVALID",
            )
    if rest:
        yield rest


def _row(line: str) -> tuple[dict[str, Any], str]:
    """The texts of one object, or why it is no row; neither for a blank line."""
    try:
        row, end = _DECODER.raw_decode(line)
    except RecursionError:
        return {}, "nested too deeply"
    except json.JSONDecodeError:
        begun = line.lstrip(_BLANKS)
        return _row(begun) if begun and begun != line else ({}, "no JSON" if begun else "")
    except ValueError as error:
        return {}, str(error)
    if line[end:].strip(_BLANKS):
        return {}, "more than one object"
    if not isinstance(row, dict):
        return {}, "not an object"
    if not row:
        return {}, "an object without a value"
    for name, value in row.items():
        if type(value) is not str or not value.isascii():
            why = _made_text(row, name, value)
            if why:
                return {}, why
    return row, ""


def _made_text(row: dict[str, Any], name: str, value: Any) -> str:
    """See to a value that is no plain text; why it is none, if it cannot be made one."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "a value holds half a character"
    elif isinstance(value, bool):
        row[name] = "true" if value else "false"
    elif value is not None:
        return "a value is a list or an object"
    return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return made


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _whole(text: str) -> str:
    if len(text) > 18 and (len(text) > 20 or not -(2**63) <= int(text) < 2**64):
        raise ValueError("a whole number of more than 64 bits")
    return text


_AS_WRITTEN: Callable[[str], Any] = str
"""Numbers stay as they were written: 12.50 is not made 12.5, nor the id 17733.0 something else."""
_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_constant, parse_float=_AS_WRITTEN, parse_int=_whole
)
_BLANKS = " \t\r"
