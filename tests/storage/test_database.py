"""The ledger's engine: migrations, and transactions that lose nothing."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, select, text, update

from schema.errors import Problem
from schema.names import Action, Mode, ProductId
from schema.records import Rule
from storage.database import HEAD, MIGRATIONS, connect, migrate, reading
from storage.ledger import Ledger
from storage.rows import METADATA, REVISION
from storage.stores import sqlite_url


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = connect(sqlite_url(tmp_path))
    migrate(engine)
    return engine


def number(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(REVISION.c.number)).scalar_one())


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

    def test_a_ledger_of_version_0_1_keeps_what_it_holds_and_can_take_rules(
        self, tmp_path: Path
    ) -> None:
        engine = connect(sqlite_url(tmp_path))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            connection.execute(
                text(
                    "insert into tenants (tenant, uid, title, timezone, mode, changes, fence,"
                    " created_at) values ('acme', 't-1', 'Acme', 'UTC', 'freeze',"
                    " '{\"als.factors\": 64}', 3, '2026-04-01 00:05:00')"
                )
            )
            connection.execute(update(REVISION).values(number=7))

        migrate(engine)

        ledger = Ledger(engine)
        known = ledger.tenant("acme")
        assert (known.mode, known.changes, known.rules) == (Mode.FREEZE, {"als.factors": 64}, ())
        assert number(engine) == 7
        at = datetime(2026, 4, 2, tzinfo=UTC)
        rule = Rule(0, Action.EXCLUDE, ProductId("P-1"), None, None, "recall", "ann", at)
        assert ledger.add_rule(known.tenant, rule, at=at).number == 1
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
            own = connect(sqlite_url(tmp_path))
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
