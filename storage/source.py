"""Reading SalesCore's own database: read-only, one connection, rows streamed into Parquet files.

PostgreSQL and SQLite, and no others: only of these do we know that a connection goes where we sent
it. Every value is written as text, exactly as a CSV would have it, for text is what the universal
schema reads without loss: 17733 stays an id, 12.50 a decimal, a time keeps its zone or has none.
"""

import ipaddress
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from schema.errors import Problem, Refused
from schema.source import SourceDatabase, by_window
from storage.address import Place, Resolve, place_of, resolved

CONNECT_SECONDS = 10
"""A server that does not answer is given up; psycopg takes whole seconds."""

Connect = Callable[..., "psycopg.Connection[Any]"]


class SourceAway(Problem):
    """The source cannot be connected to: no tenant's query can be asked."""


class Source:
    """SalesCore's database, through one connection that is opened when it is first needed."""

    def __init__(
        self,
        settings: SourceDatabase,
        resolve: Resolve = resolved,
        connect: Connect = psycopg.connect,
    ) -> None:
        """Read the address and check it; nothing is connected to yet.

        Raises:
            Refused: there is no address, or it may not be connected to.
        """
        self._settings = settings
        url = _address(settings)
        kind = url.get_backend_name()
        if url.drivername in ("postgresql", "postgresql+psycopg"):
            place = place_of(url, settings, resolve)
            self._engine = _postgresql(lambda: _connected(url, place, connect), settings)
        elif url.drivername in ("sqlite", "sqlite+pysqlite"):
            file = _file(url)
            self._engine = _sqlite(file, settings)
        else:
            raise Refused(
                f"the source's URL begins with {url.drivername[:40]!r}",
                "postgresql:// and sqlite:// can be read; for another database, let it write files",
                code="SOURCE_URL",
            )
        self._sqlite = kind == "sqlite"

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """One read-only transaction: every query in it sees the database as of one moment.

        Raises:
            SourceAway: no connection can be had.
            Problem: a query failed, or took too long (``SOURCE_QUERY``).
        """
        try:
            connection = self._engine.connect()
        except exc.DBAPIError as error:
            raise SourceAway(
                f"the source cannot be reached ({_reason(error)})",
                "look at SalesCore's database, source.url and the password in it",
                code="SOURCE_AWAY",
            ) from None  # the chain may hold the address
        with connection:
            try:
                with connection.begin():
                    yield Snapshot(connection, self._settings, self._sqlite)
            except exc.SQLAlchemyError as error:
                raise _failed(error) from None

    def close(self) -> None:
        self._engine.dispose()


@dataclass(frozen=True, slots=True)
class Window:
    """Whose rows are asked for, and of which time, by the source's clock: after, up to (UTC)."""

    client: str
    since: datetime
    until: datetime


class Snapshot:
    """What the source holds, as of one moment."""

    def __init__(self, connection: Connection, settings: SourceDatabase, sqlite: bool) -> None:
        self._connection, self._settings, self._sqlite = connection, settings, sqlite

    def clock(self) -> datetime:
        """The source's own time, aware."""
        told = self._connection.execute(text("select current_timestamp")).scalar_one()
        return datetime.fromisoformat(told).replace(tzinfo=UTC) if self._sqlite else told

    def write(self, sql: str, window: Window, path: Path, most: int) -> None:
        """Stream a query's rows into a new Parquet file of text columns.

        Args:
            window: what the bind parameters are; never text of the statement.
            most: bytes that may come.

        Raises:
            Refused: a column holds something that has no plain text, or there is too much.
        """
        given: dict[str, str | datetime] = {"client": window.client}
        if by_window(sql):
            given |= {"since": self._moment(window.since), "until": self._moment(window.until)}
        at_once = self._settings.fetch_rows  # to partitions too: yield_per says nothing to text()
        options = {"stream_results": True, "max_row_buffer": at_once}
        with self._connection.execute(text(sql), given, execution_options=options) as result:
            names = list(result.keys())
            schema = pa.schema([(name, pa.string()) for name in names])
            # Of two windows with the same rows both count: their bytes differ by the metadata.
            schema = schema.with_metadata({name: str(value) for name, value in given.items()})
            came = 0
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for rows in result.partitions(at_once):
                    columns = [
                        pa.array([_text(value, name) for value in column], pa.string())
                        for name, column in zip(names, zip(*rows, strict=True), strict=True)
                    ]
                    batch = pa.record_batch(columns, schema=schema)
                    writer.write_batch(batch)
                    came += batch.nbytes
                    if came > most:
                        raise Refused(
                            f"the query gives more than {most:,} bytes",
                            "let it give less, or raise intake.max_file_bytes",
                            code="DATA_TOO_LARGE",
                        )

    def _moment(self, value: datetime) -> datetime | str:
        """SQLite has no times: there they are text, as its own current_timestamp is."""
        return value.replace(tzinfo=None).isoformat(" ", "seconds") if self._sqlite else value


def _address(settings: SourceDatabase) -> URL:
    """The URL, from the configuration or its file; no message shows it."""
    given = settings.url.get_secret_value()
    if settings.url_file:
        given = _kept(Path(settings.url_file))
    if not given:
        raise Refused(
            "no source is configured",
            "set source.url, source.hosts and source.queries (docs/source.md)",
            code="SOURCE_URL",
        )
    try:
        return make_url(given)
    except (exc.ArgumentError, ValueError):
        raise Refused(
            "source.url cannot be read as a SQLAlchemy URL",
            "write postgresql://user:password@host:port/database; a @ or / in the password as %40, %2F",
            code="SOURCE_URL",
        ) from None


def _kept(file: Path) -> str:
    try:
        if file.stat().st_mode & 0o007:
            raise Refused(
                f"{file} can be read by everybody on this machine",
                f"change the password if somebody may have; then `chmod 600 {file}`",
                code="SOURCE_URL",
            )
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"source.url_file {file} cannot be read: {type(error).__name__}",
            "name a text file that this program's user may read",
            code="SOURCE_URL",
        ) from None


def _file(url: URL) -> Path:
    """The SQLite file that a URL names: there already, by its whole path, and nothing beside it."""
    beside = (url.host, url.port, url.username, url.password, *url.query)
    path = Path(url.database or "")
    if any(part is not None for part in beside) or not path.is_absolute() or not path.is_file():
        raise Refused(
            "the source's URL does not name an SQLite file that is there, by its whole path",
            "write sqlite:////folder/file.db, and nothing after it",
            code="SOURCE_URL",
        )
    return path


def _postgresql(connect: Callable[[], Any], settings: SourceDatabase) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        isolation_level="REPEATABLE READ",
        use_native_hstore=False,
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,  # one that was lost between two tenants is made anew
        execution_options={"postgresql_readonly": True},
    )

    @event.listens_for(engine, "begin")
    def _limit(connection: Connection) -> None:
        limit = f"{settings.statement_seconds * 1000:.0f}"
        connection.exec_driver_sql(f"set local statement_timeout = {limit}")
        connection.exec_driver_sql("set local time zone 'UTC'")

    return engine


def _connected(url: URL, place: Place, connect: Connect) -> "psycopg.Connection[Any]":
    """Connect to a checked address, and make sure that it is the one at the other end."""
    told: psycopg.Error | None = None
    for address in place.addresses:
        try:
            connection = connect(
                host=place.host,  # for TLS, and for no look-up: there is a hostaddr
                hostaddr=address,
                port=place.port,
                dbname=url.database,
                user=url.username,
                password=url.password,
                connect_timeout=CONNECT_SECONDS,
                tcp_user_timeout=1000 * CONNECT_SECONDS,
                gssencmode="disable",  # would ask a key server on another host
                application_name="recfactory",
                prepare_threshold=None,  # a pooler between us may not keep prepared statements
                **{"sslmode": "require", **url.query},
            )
        except psycopg.OperationalError as error:
            told = error
            continue
        if _peer(connection) != (ipaddress.ip_address(address), place.port):
            connection.close()
            raise psycopg.OperationalError("the server at the other end has another address")
        return connection
    assert told is not None
    raise told


def _peer(connection: "psycopg.Connection[Any]") -> tuple[object, int]:
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        name = end.getpeername()
    if not isinstance(name, tuple):
        return name, 0
    return ipaddress.ip_address(name[0]), name[1]


def _sqlite(file: Path, settings: SourceDatabase) -> Engine:
    """Opened read-only; a writer is waited for as long as a statement may take."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{file.as_uri()}?mode=ro",
            uri=True,
            timeout=settings.statement_seconds,
            isolation_level=None,
        )

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0,
        hide_parameters=True,
    )  # fmt: skip

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("begin")

    return engine


def _text(value: Any, column: str) -> str | None:
    write = _TEXTS.get(type(value))
    if write is None:
        raise Refused(
            f"the query's column {column!r} holds a {type(value).__name__}",
            "let the query give plain values: text, numbers, dates and times (`cast(… as text)`)",
            code="SOURCE_QUERY",
        )
    return write(value)


_TEXTS: Mapping[type, Callable[[Any], str | None]] = {
    type(None): lambda _: None,
    str: str,
    int: str,
    float: repr,
    bool: lambda value: "true" if value else "false",
    Decimal: lambda value: format(value, "f"),
    datetime: datetime.isoformat,
    date: date.isoformat,
    UUID: str,
}


def _failed(error: exc.SQLAlchemyError) -> Problem:
    return Problem(
        f"the source's query failed: {_reason(error)}",
        "correct the query in source.queries, or see what the database was busy with",
        code="SOURCE_QUERY",
    )


def _reason(error: exc.SQLAlchemyError) -> str:
    """The database's own first line: no statement, no parameters, no address of ours."""
    told = str(getattr(error, "orig", None) or type(error).__name__).strip()
    return told.splitlines()[0][:200] if told else type(error).__name__
