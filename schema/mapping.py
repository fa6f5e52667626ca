"""How a tenant's own files look: declared once in its order, so that nothing about them is guessed."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from time import strptime
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from schema.errors import Refused
from schema.names import Event
from schema.tables import IMPORTED, Column, Kind, Table

LEAVE_OUT = "leave_out"
"""Instead of a word of the universal schema: rows that say this are not for us."""

UNIX = {"unix": "s", "unix_ms": "ms"}
"""Times counted from 1970, and Arrow's name of their unit."""


class _Part(BaseModel, extra="forbid", frozen=True):
    pass


class Reading(_Part):
    """How the bytes of a delivered text file become rows of text."""

    encoding: Literal["utf-8", "windows-1252", "iso-8859-1"] = "utf-8"
    delimiter: Literal["", ",", ";", "\t"] = ""
    """Empty: the one that the header holds most of."""
    header_line: int = Field(1, ge=1)
    """The line, from 1, that names the columns; what stands above it is not read."""


class Source(_Part, validate_by_name=True):
    """Where a universal column comes from, and what its texts need before they can be read.

    Exactly one of the first five says where from. Repairs are done in the order they stand here.
    """

    column: str = Field("", alias="from")
    """A column of the file."""
    constant: str | None = None
    """The same in every row; "" leaves the column empty."""
    delivered: bool = False
    """The moment of the delivery, for data without times."""
    product_of: tuple[str, str] | None = None
    """Two columns of numbers, multiplied; each is read with the repairs given here."""
    by_event: dict[Event, str] = {}
    """For each event another column of the file."""

    remove: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts taken away wherever they stand, like a currency sign."""
    trim: bool = False
    """Take blanks off both ends of an id or text; of anything else they are taken anyway."""
    ending: str = ""
    """An ending taken away once, like the ".0" of an id that went through a spreadsheet."""
    words: dict[str, str] = {}
    """The tenant's word -> ours; "" stands for an empty field. Other words stay as they came."""
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", "'", " "] = ""
    """What parts groups of three digits; " " is any blank and "'" either apostrophe."""
    time: str = ""
    """Like %d/%m/%Y %H:%M, or unix (seconds), or unix_ms. Empty: ISO 8601."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the file, that are needed."""
        named = (self.column,) if self.column else ()
        return (*named, *(self.product_of or ()), *self.by_event.values())

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        given = (
            bool(self.column),
            self.constant is not None,
            self.delivered,
            self.product_of is not None,
            bool(self.by_event),
        )
        if sum(given) != 1:
            raise ValueError(
                "say where it comes from, once: from, constant, delivered, product_of or by_event"
            )
        if self.thousands == self.decimal:
            raise ValueError(f"{self.decimal!r} cannot part both thousands and decimals")
        if self.time and self.time not in UNIX and not _tells_the_day(self.time):
            raise ValueError(
                f"{self.time!r} is neither unix, unix_ms nor a format that tells the whole day, "
                "like %d/%m/%Y %H:%M"
            )
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        """As people write it: a column that needs no repair is its name."""
        full = handler(self)
        return full["from"] if set(full) == {"from"} else full


_DIRECTIVES = {f"%{letter}" for letter in "YymdBbjAaHIMSfpz%"}
"""Of a time's form: those that mean the same on every machine."""


def _tells_the_day(form: str) -> bool:
    day = datetime(2026, 11, 22, tzinfo=UTC)
    if set(re.findall("%.", form)) - _DIRECTIVES:
        return False
    try:
        return strptime(day.strftime(form), form)[:3] == (day.year, day.month, day.day)
    except ValueError:
        return False


def _named(source: Any) -> Any:
    return {"from": source} if isinstance(source, str) else source


AnySource = Annotated[Source, BeforeValidator(_named, json_schema_input_type=str | Source)]
"""A column's name alone stands for {"from": name}."""


class TableMapping(_Part):
    """How one table comes out of a tenant's file."""

    reading: Reading = Reading()
    how: Literal["", "add", "replace"] = ""
    """Whether a file adds to what is there or takes its place; empty: as the table does usually."""
    columns: dict[str, AnySource] = {}
    """Universal column -> its source. One that is not named here is taken from the file's column of
    the same name, if there is one."""
    holdings: dict[str, dict[str, str]] = {}
    """For files with a column for each product: column -> {word that says "has it": product_id}.
    A row becomes a line for each product it has."""
    leave_out: dict[str, tuple[str, ...]] = {}
    """Rows that are not for us: a column of the file -> the words that tell; "" is an empty field."""
    negative_quantity: Literal["", "return"] = ""
    """Take a row whose quantity is below zero as a return."""
    repeated_keys: Literal["", "first"] = ""
    """Of rows with the same key keep the first, and leave the others out."""
    currency: str = ""
    """The file's column that names the currency; rows in another than the tenant's are not taken."""

    @property
    def changes_nothing(self) -> bool:
        return self == TableMapping(
            reading=self.reading, how=self.how, repeated_keys=self.repeated_keys
        )

    @property
    def needs(self) -> tuple[tuple[str, str], ...]:
        """(What for, column of the file), in the order they stand here."""
        return (
            *((name, column) for name, source in self.columns.items() for column in source.columns),
            *(("holdings", column) for column in self.holdings),
            *((LEAVE_OUT, column) for column in self.leave_out),
            *([("currency", self.currency)] if self.currency else []),
        )


AS_IT_COMES = TableMapping()
"""Nothing declared: the file has the universal names and forms."""


class TenantMapping(_Part):
    """How one tenant's files become the universal tables."""

    currency: str = Field("", pattern="^([A-Z]{3})?$")
    """Of all its money, as ISO 4217 has it, like EUR."""
    customers: TableMapping = TableMapping()
    products: TableMapping = TableMapping()
    interactions: TableMapping = TableMapping()

    def of(self, table: str) -> TableMapping:
        found: TableMapping = getattr(self, table)
        return found

    @model_validator(mode="after")
    def _fits_the_schema(self) -> Self:
        for table in IMPORTED:
            how = self.of(table.name)
            _check_columns(table, how)
            if how.repeated_keys and not table.key:
                raise ValueError(f"{table.name}: rows may repeat, so repeated_keys says nothing")
            if how.negative_quantity and table.name != "interactions":
                raise ValueError(f"{table.name} have no quantity that could be negative")
            if how.currency and not self.currency:
                raise ValueError(f"{table.name}: say the tenant's own currency first, as EUR")
        return self

    def as_json(self) -> dict[str, Any]:
        """What was declared, and nothing else."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _check_columns(table: Table, how: TableMapping) -> None:
    known = {column.name: column for column in table.columns}
    for name, source in how.columns.items():
        if name not in known:
            raise ValueError(f"{table.name} have no column {name!r}; they have {', '.join(known)}")
        fault = _misfit(known[name], source)
        if fault:
            raise ValueError(f"{table.name}.{name}: {fault}")
        if source.by_event and "event" not in known:
            raise ValueError(f"{table.name}.{name}: {table.name} have no event")
    if how.holdings and ("product_id" not in known or "product_id" in how.columns):
        raise ValueError(f"{table.name}: holdings say what product_id is, and nothing else may")


def _misfit(column: Column, source: Source) -> str:
    if source.time and column.kind is not Kind.TIME:
        return "it is no time"
    if source.delivered and column.kind is not Kind.TIME:
        return "only a time can be the moment of the delivery"
    number = source.decimal != "." or source.thousands or source.product_of
    if number and column.kind is not Kind.NUMBER:
        return "it is no number"
    if source.by_event and column.name == "event":
        return "an event cannot depend on the event"
    if column.kind is Kind.CHOICE:
        made = [*source.words.values(), *([] if source.constant is None else [source.constant])]
        wrong = sorted(set(made) - {*column.choices, LEAVE_OUT})
        if wrong:
            return f"{wrong[0]!r} is none of {', '.join(column.choices)}, {LEAVE_OUT}"
    return ""


def declared(body: Mapping[str, Any]) -> TenantMapping:
    """A mapping out of plain values.

    Raises:
        Refused: it does not hold (``MAPPING``); every fault is named.
    """
    try:
        return TenantMapping.model_validate(body)
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), _plain(fault["msg"]))))
            for fault in error.errors()
        )
        raise _refused(f"this mapping does not hold: {faults}") from error


def read_mapping(text: str) -> TenantMapping:
    """A mapping as people write it: YAML in which every word is text, so that Yes stays Yes.

    Raises:
        Refused: it is no such YAML, or does not hold (``MAPPING``).
    """
    try:
        body = yaml.load(text, _Words)  # noqa: S506 (it makes text, lists and mappings only)
    except yaml.YAMLError as error:
        raise _refused(f"this is not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(body, dict):
        raise _refused("this is no mapping but a text or a list")
    return declared(body)


class _Words(yaml.BaseLoader):
    """Refuses a key that comes twice, of which YAML's readers silently keep one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise yaml.MarkedYAMLError(problem="a key comes twice", problem_mark=node.start_mark)
        return made


def written(mapping: TenantMapping) -> str:
    """A mapping as ``read_mapping`` reads it."""
    return str(yaml.safe_dump(mapping.as_json(), sort_keys=False, allow_unicode=True))


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _refused(what: str) -> Refused:
    return Refused(what, "write it as docs/mapping.md shows", code="MAPPING")
