"""The engine: SQLite by default, anything SQLAlchemy speaks by configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from schema.errors import Problem

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0005"
"""The newest migration; a test compares it with the folder."""


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
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin on its own
    for pragma in (
        "journal_mode=DELETE",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A short transaction that only reads; writers do not wait for its end on PostgreSQL."""
    with engine.connect().execution_options(reading=True) as connection, connection.begin():
        yield connection


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
