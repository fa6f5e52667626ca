"""The engine: SQLite by default, anything SQLAlchemy speaks by configuration."""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Engine, create_engine, event, exc, inspect, text
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.types import TypeDecorator

from schema.errors import Problem

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0012"
"""The newest migration; a test compares it with the folder."""


WAIT = 30.0
"""Seconds a transaction waits for another one's lock, unless it says otherwise."""

PATIENCE = 300.0
"""Seconds a night waits for a ledger that is away."""

_T = TypeVar("_T")

_WRONG = (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.NotSupportedError)
"""Errors of a statement; every other one the database reports means that it cannot be used now."""


class LedgerAway(Problem):
    """The database cannot be reached, is locked for too long, or cannot be written."""


class Instant(TypeDecorator[datetime]):
    """A point in time: aware UTC in Python, plain UTC in the database (SQLite keeps no zone)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def connect(url: str) -> Engine:
    """Make the engine; SQLite gets the settings that keep it whole.

    A writing transaction begins with BEGIN IMMEDIATE (a deferred one lost most of its updates
    under contention); the rollback journal is used, not the write-ahead log, because SQLite
    before 3.51.3 can corrupt the log when two processes write and checkpoint at once.
    """
    postgresql = make_url(url).get_backend_name() == "postgresql"
    # seconds, and milliseconds: a server that is gone without a word is given up
    limits = {"connect_timeout": 2, "tcp_user_timeout": 5000} if postgresql else {}
    engine = create_engine(url, hide_parameters=True, connect_args=limits)
    if postgresql:
        event.listen(engine, "begin", _begin_postgresql)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin on its own
    connection.execute("pragma foreign_keys=ON")
    connection.execute("pragma secure_delete=ON")  # what is deleted is overwritten, not only free


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(
        f"pragma busy_timeout={options.get('wait', WAIT) * 1000:.0f}"
    ).close()
    if not connection.info.get("prepared"):  # not when it connects: these two wait for a lock
        for pragma in ("journal_mode=DELETE", "synchronous=FULL"):
            connection.exec_driver_sql(f"pragma {pragma}").close()
        connection.info["prepared"] = True
    connection.exec_driver_sql("BEGIN" if options.get("reading", False) else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    """Begun by the driver already; a limit set for the transaction ends with it."""
    wait = connection.get_execution_options().get("wait")
    if wait is not None:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {wait * 1000:.0f}")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A short transaction that only reads; writers do not wait for its end on PostgreSQL."""
    with engine.connect().execution_options(reading=True) as connection, connection.begin():
        yield connection


@contextmanager
def alone(engine: Engine, uid: str) -> Iterator[None]:
    """While nobody else holds this for a tenant, on whatever machine; the server lets go of it if
    the process dies. A ledger of SQLite has one machine, where folders are locked.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.begin() as connection:
        lock = text("select pg_advisory_xact_lock(hashtextextended(:uid, 0))")
        connection.execute(lock, {"uid": f"recfactory {uid}"})
        yield


def lease_time(connection: Connection, here: datetime) -> datetime:
    """The time that leases run by: PostgreSQL's own, since each of several machines has a clock of
    its own; SQLite's is this machine's.
    """
    if connection.dialect.name != "postgresql":
        return here
    found: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
    return found.astimezone(UTC)


@contextmanager
def briefly(engine: Engine, seconds: float) -> Iterator[Connection]:
    """A writing transaction that gives up rather than wait long: somebody is on the phone.

    Raises:
        LedgerAway: the database could not be used within about so many seconds. Whether the
            transaction was committed is then unknown: the caller has to be able to repeat it.
    """
    try:
        with engine.connect().execution_options(wait=seconds) as connection, connection.begin():
            yield connection
    except _REPORTED as error:
        raise _away(engine, error) from error


def patiently(engine: Engine, act: Callable[[], _T]) -> _T:
    """Do what may be done again, again and again until the database can be used: nobody waits for it.

    Raises:
        LedgerAway: it could not be used for PATIENCE seconds; what the last try did is unknown.
    """
    until, pause = time.monotonic() + PATIENCE, 0.1
    while True:
        try:
            return act()
        except _REPORTED as error:
            away = _away(engine, error)
            if time.monotonic() + pause > until:
                raise away from error
        time.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 (spread, not secret)
        pause = min(2 * pause, 5)


_REPORTED = (exc.DatabaseError, exc.InterfaceError, exc.TimeoutError)


def _away(engine: Engine, error: Exception) -> LedgerAway:
    """What to tell of a database that cannot be used; an error of the statement goes on as it is."""
    if isinstance(error, _WRONG):
        raise error
    engine.dispose()  # open connections may lead to a file or a server that is gone for good
    reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
    return LedgerAway(
        f"the ledger cannot be used ({reason})",
        "look at the database; nothing is lost",
        code="LEDGER_AWAY",
    )


def compact(engine: Engine) -> None:
    """Write SQLite's file anew: pages that were freed or moved earlier may still hold what they held.

    PostgreSQL overwrites by its own vacuum, when it comes by.

    Raises:
        LedgerAway: somebody else is at it.
    """
    if engine.dialect.name != "sqlite":
        return
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("VACUUM")  # in no transaction, as the driver begins none by itself
    except sqlite3.OperationalError as error:
        raise LedgerAway(
            f"the ledger cannot be written anew ({error})", "try again", code="LEDGER_AWAY"
        ) from error
    finally:
        raw.close()


def migrate(engine: Engine) -> None:
    """Bring the database to HEAD; costs one query when it is there already.

    Args:
        engine: with the installation's pepper among its options, which the audit trail is
            sealed under.

    Raises:
        Problem: it was made by a newer version of the program.
    """
    at = _version(engine)
    if at == HEAD:
        return
    from alembic import command  # only the first start after an upgrade pays for the import
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    if at is not None and at > HEAD:
        raise Problem(
            f"the ledger is at revision {at}, this program knows up to {HEAD}",
            "install the newer version of recfactory again",
            code="LEDGER_NEWER",
        )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _version(engine: Engine) -> str | None:
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("select version_num from alembic_version")).scalar()
        return None if found is None else str(found)
