"""What may be wrong with a delivery: every code, what it does to the file or row, what to do.

A code is stable: programs may depend on it. Sentences with figures are made where the fact is
known; this is the meaning of each, for the documentation and `recfactory data codes`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What becomes of what bears a code."""

    REFUSE = "refuse"
    """Nothing of the delivery is taken; what was there stays."""
    QUARANTINE = "quarantine"
    """The row is kept apart, the others are taken; too many of them refuse the delivery."""
    HOLD = "hold"
    """Kept aside whole until a person releases or discards it."""
    ACCEPT = "accept"
    """Taken, and told."""


_SEVERITY = {
    Effect.REFUSE: "error",
    Effect.QUARANTINE: "error",
    Effect.HOLD: "warning",
    Effect.ACCEPT: "warning",
}


@dataclass(frozen=True, slots=True)
class Code:
    """One code.

    Attributes:
        means: one sentence.
        fix: what whoever sends the file should do, as an imperative.
        beyond: what happens where there are many of it.
        alert: it may mean harm: the log tells it to ``recfactory.security``.
    """

    name: str
    effect: Effect
    means: str
    fix: str
    beyond: str = ""
    alert: bool = False

    @property
    def severity(self) -> str:
        return _SEVERITY[self.effect]


_R, _Q, _H, _A = Effect.REFUSE, Effect.QUARANTINE, Effect.HOLD, Effect.ACCEPT

CODES = (
    # The file.
    Code("DATA_MISSING", _R, "the file is not there, or did not come in time", "send it"),
    Code("DATA_EMPTY", _R, "the file has no content", "export it again"),
    Code(
        "DATA_NO_ROWS",
        _R,
        "there is a header and no row",
        "send the rows, or do not send the file",
    ),
    Code("DATA_UNCHANGED", _A, "the same files as before: nothing to do", "nothing"),
    Code(
        "DATA_OLDER",
        _H,
        "its newest row is older than what was accepted before",
        "release it if it is meant to fill a gap",
    ),
    Code(
        "DATA_NOT_SETTLED",
        _R,
        "it changed while it was read, or its .done marker is missing",
        "deliver it when it is written to its end, then its marker",
    ),
    Code("DATA_TRUNCATED", _R, "the file is cut short or damaged", "export it again"),
    Code(
        "DATA_WRONG_FORMAT",
        _R,
        "the content is not what the name says, or nothing that is read here",
        "name the file after its content; send CSV, JSON lines or Parquet",
    ),
    Code(
        "DATA_WRONG_NAME",
        _R,
        "a file in the inbox is named after no table",
        "name it customers-….csv, products-….csv or interactions-….csv",
    ),
    Code(
        "DATA_BOMB",
        _R,
        "it unpacks to more than may be, stopped on the way",
        "split it, or raise intake.max_unpacked_bytes",
        alert=True,
    ),
    Code(
        "DATA_TOO_LARGE",
        _R,
        "the file has more bytes than may be",
        "split it, or raise intake.max_file_bytes",
    ),
    Code(
        "DATA_LIMIT",
        _R,
        "more rows, columns, customers or products than may be",
        "split it, or raise the limit",
    ),
    Code("DATA_UNREADABLE", _R, "the file may not be read by this program", "give it the right to"),
    Code(
        "DATA_IMPORT_DIED",
        _R,
        "its import was begun several times and never came to an end",
        "send it in smaller parts",
    ),
    Code(
        "ARCHIVE_UNSAFE",
        _R,
        "it is an archive; these are not opened",
        "send the file inside, packed with gzip or zstd at most",
        alert=True,
    ),
    Code(
        "FORMAT_FORBIDDEN",
        _R,
        "it holds Python objects",
        "send CSV, JSON lines or Parquet",
        alert=True,
    ),
    Code(
        "TENANT_MISMATCH",
        _R,
        "it says that it belongs to another tenant",
        "look where it comes from",
        alert=True,
    ),
    Code(
        "PARQUET_UNSUPPORTED",
        _R,
        "a column has a type that cannot be read, or the file is encrypted or forged",
        "send plain text, numbers and times, without encryption",
    ),
    Code(
        "TEXT_ENCODING",
        _R,
        "the bytes are not UTF-8",
        "export it as UTF-8, or declare its encoding in the tenant's mapping",
    ),
    Code(
        "CSV_QUOTE",
        _R,
        "a quote never closes, or a field is over 64 KiB",
        "close it, or export the file again",
    ),
    Code(
        "SCHEMA_MISSING",
        _R,
        "a required column is not there",
        "rename it as the schema has it, or map it",
    ),
    Code("SCHEMA_DUPLICATE", _R, "a column is there twice", "name every column once"),
    Code("SCHEMA_EXTRA", _A, "a column the schema does not know was ignored", "nothing"),
    Code(
        "SCHEMA_CHANGED",
        _H,
        "a column that was always filled is gone, empty or of another type",
        "send it again as before, or release the delivery",
    ),
    Code(
        "ID_NUMERIC_DAMAGE",
        _R,
        "all ids went through a spreadsheet's numbers (17733.0, 1E5)",
        "export ids as text, or declare their ending in the mapping",
    ),
    # The row.
    Code(
        "CSV_SHAPE",
        _Q,
        "a line has another number of fields than the header",
        "give every line as many fields as the header has",
    ),
    Code(
        "JSON_INVALID",
        _Q,
        "a line is not one plain JSON object, or can be read in two ways",
        "send one object a line, every name once",
    ),
    Code("ID_EMPTY", _Q, "an id is empty", "send an id, or leave the row out"),
    Code("ID_TOO_LONG", _Q, "an id is over 128 bytes", "shorten the id"),
    Code("ID_CONTROL_CHAR", _Q, "an id holds a control character", "remove it from the id"),
    Code(
        "KEY_DUPLICATE",
        _Q,
        "a customer or product comes twice with different values; the first row was kept",
        "send each id once; the first row was kept",
    ),
    Code(
        "REF_UNKNOWN",
        _Q,
        "a row names a customer or product that nobody knows",
        "send the missing customers or products first, then this file again",
        beyond="over 20 % of the rows: the delivery is held",
    ),
    Code("VALUE_TYPE", _Q, "a number is no number", "send a plain number with a decimal point"),
    Code(
        "VALUE_NOT_FINITE", _Q, "a number is not finite", "send a finite number, or leave it empty"
    ),
    Code("VALUE_RANGE", _Q, "a number is outside its range", "correct the value"),
    Code("VALUE_CHOICE", _Q, "a word is none of those that may be", "use one of the listed words"),
    Code("VALUE_MISSING", _Q, "a value that has to be there is empty", "fill the column in"),
    Code(
        "VALUE_CURRENCY",
        _Q,
        "an amount is in another currency than the tenant's",
        "send it converted, or to the tenant whose currency it is",
    ),
    Code(
        "TIME_FORMAT",
        _Q,
        "a time cannot be read, or can be read in two ways",
        "use ISO 8601, like 2026-03-08T10:00:00Z, or declare its form in the mapping",
    ),
    Code(
        "TIME_RANGE",
        _Q,
        "a time is before 1990 or more than a day in the future",
        "correct it, or declare its unit in the mapping",
    ),
    Code(
        "ROW_LEFT_OUT",
        _A,
        "the tenant's mapping leaves this row out",
        "nothing, if the mapping is right",
    ),
    Code(
        "TIME_ZONE",
        _A,
        "a local time that comes twice or never: the first one, or the next there is, was taken",
        "send UTC, or times with their offset",
    ),
    Code(
        "ROW_DUPLICATE",
        _A,
        "rows are the same in every column; one of them was taken",
        "nothing; or set intake.duplicates to keep, if every line counts by itself",
        beyond="over 30 % of the rows: the delivery is held",
    ),
    Code(
        "CUSTOMER_ERASED",
        _A,
        "the row's customer was erased; the row is kept nowhere",
        "nothing, unless the customer came back on purpose: `recfactory data unerase`",
    ),
    Code(
        "ROW_CONFLICT",
        _A,
        "the same customer, product and time with two ratings; the later line counts",
        "send one rating each; the later line counts",
    ),
    # The delivery, against the tenant's own ones before.
    Code(
        "ID_LOOKALIKE",
        _H,
        "ids are equal but for case, blanks or the form of their letters",
        "set intake.ids to folded if they are one, to exact if they are not",
    ),
    Code(
        "DATA_DOMINATED",
        _H,
        "one customer or product makes far more of the rows than usual",
        "take out what no person ordered, or release it",
    ),
    Code(
        "DRIFT_SHRINK",
        _H,
        "over 30 % of the customers or products are gone",
        "send all of them, or release it",
    ),
    Code(
        "DRIFT_VOLUME",
        _H,
        "three times the usual rows, or a third of them",
        "send what is missing or take out what is double, or release it",
    ),
    Code(
        "DRIFT_REKEY",
        _H,
        "less than half of the ids are known from before, or mean the same",
        "send the ids as before, or release it",
    ),
    Code(
        "DRIFT_VARIANCE",
        _H,
        "quantities, values or ratings are all alike, or of another size than ever",
        "send the true values, or release it",
    ),
    Code(
        "DATA_HELD",
        _H,
        "what was pulled waits for a person; nothing newer is pulled until then",
        "release or discard it",
    ),
)
"""In the order of their sections: file, row, delivery."""

BY_NAME = {code.name: code for code in CODES}


def sections() -> tuple[tuple[str, tuple[Code, ...]], ...]:
    """CODES by what they are about."""
    starts = [CODES.index(code) for code in CODES if code.name in ("CSV_SHAPE", "ID_LOOKALIKE")]
    parts = CODES[: starts[0]], CODES[starts[0] : starts[1]], CODES[starts[1] :]
    return tuple(
        zip(
            (
                "Of the file",
                "Of a row",
                "Of the delivery, against the tenant's own ones before",
            ),
            parts,
            strict=True,
        )
    )
