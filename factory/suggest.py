"""What a tenant's mapping may look like, proposed from a file's header and its first rows.

A proposal, with the reason beside each line: what two readings would make different is asked, not
guessed, and the admin decides.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from factory.headings import CURRENCY, HEADINGS, SIGNS, WORDS, plain
from factory.mapped import mapped, plain_numbers
from schema.mapping import Reading, Source, TableMapping, TenantMapping
from schema.tables import INTERACTIONS, TABLES, Column, Kind, Table

SURE = 0.95
"""Share of a sample that a form has to read before it is proposed; the others are told."""

_DAYS = [
    *(f"%{a}{s}%{b}{s}%{c}" for s in "./-" for a, b, c in ("dmY", "mdY", "dmy", "mdy", "ymd")),
    "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
]  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S")
_NUMBERS = [
    (".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", "'"), (",", " "), (".", " ")
]  # fmt: skip
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_FEW = 20
"""More different words than this are no events."""


@dataclass(frozen=True, slots=True)
class Line:
    """One universal column of the proposal.

    Attributes:
        source: None where nothing in the file looks like it.
        ask: what the admin has to decide; "" where the sample leaves no doubt.
    """

    column: str
    source: Source | None
    why: str
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """How one table may come out of the file.

    Attributes:
        rest: what is declared beside the columns, like negative_quantity, each with its reason.
        asks: what the admin has to decide beside what the lines ask.
        money: the one currency that the sample names; "" for none.
        unused: columns of the file that nothing is made of.
    """

    table: str
    reading: Reading
    lines: tuple[Line, ...]
    rest: tuple[tuple[str, Any, str], ...]
    asks: tuple[str, ...]
    unused: tuple[str, ...]
    money: str = ""

    @property
    def questions(self) -> tuple[str, ...]:
        asked = (f"{line.column}: {line.ask}" for line in self.lines if line.ask)
        return (*asked, *self.asks)

    @property
    def mapping(self) -> TableMapping:
        columns = {line.column: line.source for line in self.lines if line.source}
        rest = {key: value for key, value, _ in self.rest}
        return TableMapping(reading=self.reading, columns=columns, **rest)


def proposed(proposals: Sequence[Proposal]) -> TenantMapping:
    """The mapping of a tenant that agrees to all of it."""
    money = next((proposal.money for proposal in proposals if proposal.money), "")
    return TenantMapping(
        currency=money, **{proposal.table: proposal.mapping for proposal in proposals}
    )


def as_yaml(proposals: Sequence[Proposal]) -> str:
    """The proposal as a file to correct: reasons as comments, questions marked with a ?."""
    body = proposed(proposals).as_json()
    lines = [f"currency: {body['currency']}"] if "currency" in body else []
    for proposal in proposals:
        mine = body.get(proposal.table, {})
        lines += [f"{proposal.table}:"] if mine else [f"{proposal.table}: {{}}"]
        if "reading" in mine:
            lines.append(f"  reading: {_flow(mine['reading'])}")
        lines += ["  columns:"] if "columns" in mine else []
        for line in proposal.lines:
            if line.source:
                made = _flow(mine["columns"][line.column])
                lines.append(f"    {line.column}: {made}  # {_comment(line.why)}")
            if line.ask:
                lines.append(f"    # ? {line.column}: {_comment(line.ask)}")
        lines += [
            f"  {key}: {_flow(value)}  # {_comment(why)}" for key, value, why in proposal.rest
        ]
        lines += [f"  # ? {_comment(ask)}" for ask in proposal.asks]
    unused = [
        name
        for name in proposals[0].unused
        if all(name in proposal.unused for proposal in proposals)
    ]
    if unused:
        lines.append(f"# nothing is made of: {_comment(', '.join(unused))}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """One line of YAML; JSON is such, and needs no knowledge of which words YAML takes for others."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*( [\w./-]+)*", value):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    """On one line, whatever a file's header holds."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:300]


def suggest(
    sample: pa.Table, tables: Sequence[Table], reading: Reading, *, now: datetime
) -> tuple[Proposal, ...]:
    """Propose a mapping for every one of these tables.

    Args:
        sample: the first rows of the file as they came.
        now: aware; a date after it speaks against a form.
    """
    return tuple(_Proposer(sample, table, now).proposal(reading) for table in tables)


def tables_in(names: Sequence[str]) -> tuple[Table, ...]:
    """The tables that a file of these columns can fill; interactions if nothing is known."""
    found = {
        table: {column for column in HEADINGS[table] if _match(names, table, column)}
        for table in HEADINGS
    }
    if {"customer_id", "product_id"} <= found["interactions"]:
        described = [t for t in ("customers", "products") if _describes(names, t, found[t])]
        return tuple(TABLES[name] for name in (*described, "interactions"))
    for table in ("products", "customers"):
        if f"{table[:-1]}_id" in found[table]:
            return (TABLES[table],)
    return (INTERACTIONS,)


def _describes(names: Sequence[str], table: str, found: set[str]) -> bool:
    """Whether a file of interactions also says what its customers or products are called."""
    name, key = _match(names, table, "name"), _match(names, table, f"{table[:-1]}_id")
    return "name" in found and name != key


def _match(names: Sequence[str], table: str, column: str) -> str:
    """The file's column that is called so; "" if none is."""
    by_plain = {plain(name): name for name in reversed(names)}
    for heading in (column, *HEADINGS[table].get(column, ())):
        if plain(heading) in by_plain:
            return by_plain[plain(heading)]
    return ""


class _Proposer:
    """Looks at a sample with one table in mind."""

    def __init__(self, sample: pa.Table, table: Table, now: datetime) -> None:
        self._sample, self._table, self._now = sample, table, now
        self._names = sample.column_names
        self._asks: list[str] = []
        self._money = ""

    def proposal(self, reading: Reading) -> Proposal:
        lines = tuple(line for column in self._table.columns for line in self._line(column))
        used = {name for line in lines if line.source for name in line.source.columns}
        rest = tuple(self._rest(lines))
        used |= {str(value) for key, value, _ in rest if key == "currency"}
        unused = tuple(name for name in self._names if name not in used)
        asks = tuple(self._asks)
        return Proposal(self._table.name, reading, lines, rest, asks, unused, self._money)

    def _line(self, column: Column) -> Iterator[Line]:
        name = _match(self._names, self._table.name, column.name)
        if column.name == "value" and not name:
            quantity = _match(self._names, self._table.name, "quantity")
            price = _match(self._names, "products", "price")
            if quantity and price:
                yield self._of_number(column, price, Source(product_of=(quantity, price)))
                return
        if name and not (column.kind is Kind.CHOICE and len(set(self._values(name))) > _FEW):
            yield self._look(column, name)
        elif column.name == "occurred_at":
            ask = "which column says when? For data without times write {delivered: true}"
            yield Line(column.name, None, "no column is called so", ask)
        elif column.required:
            yield Line(
                column.name, None, "no column is called so", f"which column is {column.meaning}?"
            )

    def _look(self, column: Column, name: str) -> Line:
        readers = {
            Kind.ID: self._id,
            Kind.TEXT: self._text,
            Kind.NUMBER: self._of_number,
            Kind.TIME: self._time,
            Kind.CHOICE: self._choice,
        }
        return readers[column.kind](column, name)

    def _values(self, name: str) -> list[str]:
        texts = self._sample[name].combine_chunks().cast(pa.string()).to_pylist()
        return [text for text in texts if text and text.strip()]

    def _id(self, column: Column, name: str) -> Line:
        values = self._values(name)
        repairs: dict[str, Any] = {}
        why = [f"called {name!r}"]
        if values and all(value.startswith('"') and value.endswith('"') for value in values):
            repairs["remove"] = ('"',)
            why.append("in quotes of its own")
            values = [value.strip('"') for value in values]
        if any(value != value.strip() for value in values):
            repairs["trim"] = True
            why.append("some have blanks around")
        damaged = sum(bool(re.fullmatch(r"\d+\.0", value.strip())) for value in values)
        ask = ""
        if damaged and damaged == len(values):
            repairs["ending"] = ".0"
            why.append("all end in .0, as whole numbers do that went through a spreadsheet")
        elif damaged:
            ask = f"{damaged} of {len(values)} end in .0: is that part of the id?"
        empty = len(self._sample) - len(values)
        if empty:
            self._asks.append(
                f"{empty} of {len(self._sample)} rows have no {name}: to leave such rows out write "
                f'leave_out: {{{_flow(name)}: [""]}}'
            )
        return Line(column.name, Source(column=name, **repairs), ", ".join(why), ask)

    def _text(self, column: Column, name: str) -> Line:
        blanks = any(value != value.strip() for value in self._values(name))
        why = f"called {name!r}" + (", some have blanks around" if blanks else "")
        return Line(column.name, Source(column=name, trim=blanks), why)

    def _of_number(self, column: Column, name: str, plain_source: Source | None = None) -> Line:
        base = plain_source or Source(column=name)
        why = f"called {name!r}"
        if base.product_of:
            why = f"{base.product_of[0]!r} times {base.product_of[1]!r}; no column holds the whole"
        values = self._values(name)
        signs = tuple(sign for sign in SIGNS if any(sign in value for value in values))
        base = base.model_copy(update={"remove": signs})
        forms = [
            base.model_copy(update={"decimal": decimal, "thousands": thousands})
            for decimal, thousands in _NUMBERS
        ]
        source, ask = self._decide(column, name, forms, "a number like")
        if signs:
            why += f", with {' '.join(signs)}"
        return Line(column.name, source or base, why, ask)

    def _time(self, column: Column, name: str) -> Line:
        forms = [
            Source(column=name, time=form)
            for form in ("", "unix", "unix_ms", *(f"{d}{c}" for d in _DAYS for c in _CLOCKS))
        ]
        source, ask = self._decide(column, name, forms, "a time like")
        why = f"called {name!r}"
        empty = len(self._sample) - len(self._values(name))
        if empty:
            ask = "; ".join(filter(None, (ask, f"{empty} of {len(self._sample)} rows have none")))
        also = [other for other in self._names if other != name and "date" in plain(other)]
        if also:
            why += f"; there are also {', '.join(also[:5])}"
        return Line(column.name, source or Source(column=name), why, ask)

    def _decide(
        self, column: Column, name: str, forms: Iterable[Source], what: str
    ) -> tuple[Source | None, str]:
        """The one form that reads the sample; the first of several, asked about, that differ."""
        values = self._values(name)
        sample = pa.table({name: pa.array(values, pa.string())})
        fits: list[tuple[Source, list[float | None], list[str]]] = []
        for form in forms:
            read = _read(
                sample, form.model_copy(update={"product_of": None, "column": name}), column
            )
            odd = [v for v, r in zip(values, read, strict=True) if not self._plausible(r, column)]
            if len(odd) <= (1 - SURE) * len(values):
                fits.append((form, read, odd))
        if not values:
            return None, ""
        if not fits:
            shown = ", ".join(sorted(set(values))[:3])
            return None, f"{what} {shown} cannot be read: correct this"
        source, read, odd = min(fits, key=lambda fit: len(fit[2]))
        others = [form for form, also, bad in fits if also != read and len(bad) == len(odd)]
        if others:
            told = " or ".join(dict.fromkeys(_form(form) for form in (source, *others)))
            return source, f"{what} {values[0]} can be read as {told}: which?"
        if odd:
            return source, f"{len(odd)} of {len(values)} cannot be read, like {odd[0]!r}"
        return source, ""

    def _plausible(self, read: float | None, column: Column) -> bool:
        if read is None or column.kind is not Kind.TIME:
            return read is not None
        return _EARLIEST <= read <= self._now.timestamp() + 86_400

    def _choice(self, column: Column, name: str) -> Line:
        said = list(dict.fromkeys(value.strip() for value in self._values(name)))
        known = WORDS.get(column.name, {})
        by_plain = {plain(word): ours for word, ours in known.items()}
        if column.name == "status" and plain(name) in ("discontinued", "active"):
            sold, gone = "sellable", "discontinued"
            yes, no = (gone, sold) if plain(name) == "discontinued" else (sold, gone)
            by_plain |= dict.fromkeys(("true", "yes", "1", "y"), yes)
            by_plain |= dict.fromkeys(("false", "no", "0", "n"), no)
        words = {word: by_plain[plain(word)] for word in said if plain(word) in by_plain}
        unknown = [word for word in said if word not in words and word not in column.choices]
        words = {word: ours for word, ours in words.items() if word != ours}
        ask = ""
        if unknown:
            choices = ", ".join((*column.choices, "leave_out"))
            ask = f"what are {', '.join(unknown)}? One of {choices}"
        return Line(column.name, Source(column=name, words=words), f"called {name!r}", ask)

    def _rest(self, lines: Sequence[Line]) -> Iterator[tuple[str, Any, str]]:
        sources = {line.column: line.source for line in lines}
        key = sources.get(self._table.key) if self._table.key else None
        if key is not None:
            values = self._values(key.column)
            if len(set(values)) < len(values):
                repeated = len(values) - len(set(values))
                yield "repeated_keys", "first", f"{repeated} of {len(values)} rows repeat a key"
        quantity = sources.get("quantity")
        if quantity is not None and quantity.column:
            sample = pa.table(
                {quantity.column: pa.array(self._values(quantity.column), pa.string())}
            )
            read = _read(sample, quantity, INTERACTIONS.column("quantity"))
            below = sum(number is not None and number < 0 for number in read)
            if below and sources.get("event") is None:
                yield "negative_quantity", "return", f"{below} of {len(read)} are below zero"
        money = next((n for n in self._names if plain(n) in CURRENCY), "")
        if money and self._table.name != "customers":
            said = sorted(set(self._values(money)))
            if len(said) == 1 and re.fullmatch("[A-Z]{3}", said[0]):
                self._money = said[0]
                yield "currency", money, f"all of the sample are in {said[0]}"
            else:
                self._asks.append(f"{money} holds {', '.join(said[:5])}: which is the tenant's?")
        yes_or_no = [name for name in self._names if {"Yes", "No"} & set(self._values(name))]
        if not _match(self._names, "products", "product_id") and len(yes_or_no) > 2:
            self._asks.append(
                f"are {', '.join(yes_or_no[:12])} products that a customer has or has not? "
                f"Then write holdings: {{{yes_or_no[0]}: {{Yes: {yes_or_no[0]}}}, …}}"
            )


def _read(sample: pa.Table, source: Source, column: Column) -> list[float | None]:
    """What a source makes of a sample: numbers, times as seconds since 1970; None: unreadable."""
    how = TableMapping(columns={column.name: source})
    table = Table("", "", "", (column,))
    made = mapped(sample, how, table, delivered=datetime.fromtimestamp(0, UTC))[column.name]
    if column.kind is not Kind.TIME:
        numbers: list[float | None] = plain_numbers(made).to_pylist()
        return numbers
    if pa.types.is_timestamp(made.type):  # not as datetime, which ends with the year 9999
        parts = {"s": 1, "ms": 10**3, "us": 10**6}[made.type.unit]
        counts = made.cast(pa.int64()).to_pylist()
        return [None if count is None else count / parts for count in counts]
    return [_seconds(text or "") for text in made.to_pylist()]


def _seconds(iso: str) -> float | None:
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return None
    if iso[4] != "-":  # the check wants hyphens, Python does not
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _form(source: Source) -> str:
    if source.time:
        return source.time
    parts = f", thousands {source.thousands!r}" if source.thousands else ""
    return f"decimal {source.decimal!r}{parts}"
