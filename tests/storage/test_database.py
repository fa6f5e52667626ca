"""The ledger's engine: migrations, and transactions that lose nothing."""

from datetime import UTC, date, datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, Engine, insert, inspect, select, text, update

from schema.errors import Problem
from schema.names import Action, Mode, Outcome, ProductId, TenantId
from schema.records import Rule
from storage.database import HEAD, MIGRATIONS, Instant, connect, migrate, reading
from storage.ledger import Ledger
from storage.nights import Nights
from storage.rows import METADATA, REVISION
from storage.stores import sqlite_url
from tests.world import ACME, BETA

AT = datetime(2026, 4, 2, tzinfo=UTC)
OLDER = sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("0*.py"))[:-1]


def opened(folder: Path) -> Engine:
    return connect(sqlite_url(folder)).execution_options(pepper=b"a pepper")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = opened(tmp_path)
    migrate(engine)
    return engine


def number(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(REVISION.c.number)).scalar_one())


def at_version(engine: Engine, version: str) -> None:
    """The ledger as an older program made it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


def fill(engine: Engine) -> None:
    """A row of each tenant in every table that the ledger has by now."""
    with engine.begin() as connection:
        connection.execute(update(REVISION).values(number=7))
        found = inspect(connection)
        for table in METADATA.sorted_tables:
            if found.has_table(table.name) and table is not REVISION:
                there = {column["name"] for column in found.get_columns(table.name)}
                columns = [
                    column
                    for column in table.columns
                    if column.name in there and column.autoincrement is not True
                ]
                for name in (ACME, BETA):
                    row = {column.name: made_up(column, name) for column in columns}
                    connection.execute(insert(table).values(row))


def made_up(column: Column[Any], name: TenantId) -> Any:
    """Something a column can hold, told apart by tenant where it can be."""
    words = {"mode": "freeze", "role": "seller", "outcome": "promoted", "state": "done"}
    words |= {"action": "exclude", "tenant": name}
    if isinstance(column.type, Instant):
        return AT
    if isinstance(column.type, JSON):
        return {"said": name}
    kinds = {int: 3, float: 1.5, bool: True, date: AT.date()}
    kind = column.type.python_type
    return words.get(column.name) or kinds.get(kind, f"{name}-{column.name[0]}")


def rows(engine: Engine) -> dict[str, list[Any]]:
    """All there is, as it lies in the database."""
    with reading(engine) as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"select * from {name}"))]
            for name in inspect(connection).get_table_names()
            if name != "alembic_version"
        }


class TestMigrate:
    def test_the_newest_migration_is_the_one_the_program_names(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        assert ScriptDirectory.from_config(config).get_heads() == [HEAD]

    def test_a_migrated_ledger_is_the_one_the_code_speaks_of(self, engine: Engine) -> None:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []
        engine.dispose()

    @pytest.mark.parametrize("version", OLDER)
    def test_an_older_ledger_keeps_every_row_and_learns_the_rest(
        self, version: str, tmp_path: Path
    ) -> None:
        engine = opened(tmp_path)
        at_version(engine, version)
        fill(engine)
        before = rows(engine)

        migrate(engine)

        after = rows(engine)
        for name, kept in before.items():
            width = len(kept[0])  # a column that is new stands at the end
            assert [row[:width] for row in after[name]] == kept
        assert set(after) == set(METADATA.tables) >= set(before)
        assert not any(after[name] for name in set(after) - set(before))
        engine.dispose()

    def test_an_older_ledger_is_read_as_it_was_written_and_takes_what_is_new(
        self, tmp_path: Path
    ) -> None:
        engine = opened(tmp_path)
        at_version(engine, "0001")
        fill(engine)
        migrate(engine)

        ledger, nights = Ledger(engine), Nights(engine)
        for name in (ACME, BETA):
            known = ledger.tenant(name)
            assert (known.uid, known.mode, known.rules) == (f"{name}-u", Mode.FREEZE, ())
            assert known.changes == {"said": name}
            assert [key.tenant for key in ledger.keys(name)] == [name]
            [night] = nights.published(name)
            assert (night.outcome, night.figures) == (Outcome.PROMOTED, {"said": name})
            assert [row["model"] for row in nights.models(name)] == [3]
            assert [row["edition"] for row in nights.editions(name)] == [3]
            assert nights.realised(name) == []
        rule = Rule(0, Action.EXCLUDE, ProductId("P-1"), None, None, "recall", "ann", AT)
        assert ledger.add_rule(ACME, rule, at=AT).number == 1
        assert ledger.tenant(BETA).rules == ()
        engine.dispose()

    def test_again_changes_nothing(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(update(REVISION).values(number=7))
        migrate(engine)
        assert number(engine) == 7
        engine.dispose()

    def test_a_ledger_of_a_newer_program_is_left_alone(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = '9999'"))
        with pytest.raises(Problem) as refused:
            migrate(engine)
        assert refused.value.code == "LEDGER_NEWER"
        engine.dispose()


class TestTransactions:
    def test_two_that_read_and_write_at_once_lose_nothing(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        start, rounds = Barrier(2), 25

        def count() -> None:
            own = opened(tmp_path)
            start.wait()
            for _ in range(rounds):
                with own.begin() as connection:
                    seen = connection.execute(select(REVISION.c.number)).scalar_one()
                    connection.execute(update(REVISION).values(number=seen + 1))
            own.dispose()

        threads = [Thread(target=count) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert number(engine) == 2 * rounds
        engine.dispose()

    def test_one_that_fails_leaves_no_trace(self, engine: Engine) -> None:
        def fails() -> None:
            with engine.begin() as connection:
                connection.execute(update(REVISION).values(number=9))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fails()
        assert number(engine) == 0
        engine.dispose()

    def test_are_kept_whole_by_sqlite(self, engine: Engine) -> None:
        with reading(engine) as connection:
            found = {
                name: connection.exec_driver_sql(f"pragma {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert found == {"journal_mode": "delete", "synchronous": 2, "foreign_keys": 1}
        engine.dispose()
