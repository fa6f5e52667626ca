"""What is read from the source: every value as it is there, and nothing is written to it or told."""

import logging
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schema.errors import Problem, Refused
from schema.source import SourceDatabase
from storage.source import Snapshot, Source, SourceAway, Window
from tests.postgres import Cluster
from tests.salescore import SalesCore, postgresql, sqlite

WINDOW = Window("42", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
MOST = 10 * 2**20
PLENTY = "select n as customer_id from generate_series(1, 100000) as n where :client <> ''"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SalesCore:
    if request.param == "sqlite":
        return sqlite(tmp_path)
    return postgresql(request.getfixturevalue("cluster"))


@pytest.fixture
def server(cluster: Cluster) -> SalesCore:
    return postgresql(cluster)


@contextmanager
def opened(settings: SourceDatabase) -> Iterator[Snapshot]:
    with closing(Source(settings)) as source, source.snapshot() as snapshot:
        yield snapshot


def read(database: SalesCore, sql: str, path: Path, **more: Any) -> pa.Table:
    with opened(database.settings(**more)) as snapshot:
        snapshot.write(sql, WINDOW, path, MOST)
    return pq.read_table(path)


def one(database: SalesCore, expression: str, path: Path) -> str | None:
    """A value of the database, as it comes."""
    sql = f"select {expression} as it where :client <> ''"
    [value] = read(database, sql, path)["it"].to_pylist()
    assert value is None or isinstance(value, str)
    return value


class TestAValue:
    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("17733", "17733"),
            ("'007'", "007"),
            ("''", ""),
            ("null", None),
            ("0.5", "0.5"),
            ("'a, \"b\"; c'", 'a, "b"; c'),
            ("'Zürich'", "Zürich"),
            ("9007199254740993", "9007199254740993"),
        ],
    )
    def test_comes_as_it_is(
        self, database: SalesCore, expression: str, expected: str | None, tmp_path: Path
    ) -> None:
        assert one(database, expression, tmp_path / "f") == expected

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("1234567890123456789.123456789::numeric(40,9)", "1234567890123456789.123456789"),
            ("12.50::numeric(12,2)", "12.50"),
            ("'NaN'::numeric", "NaN"),
            ("1e20::float8", "1e+20"),
            ("0.1::float8", "0.1"),
            ("true", "true"),
            ("date '2026-03-01'", "2026-03-01"),
            ("timestamp '2026-03-01 10:00'", "2026-03-01T10:00:00"),
            ("timestamptz '2026-03-01 10:00+05'", "2026-03-01T05:00:00+00:00"),
            ("timestamptz '2026-03-01 10:00:00.000001+00'", "2026-03-01T10:00:00.000001+00:00"),
            (
                "'9b2ad6ff-9b1c-4b41-9d0e-0d8b0a4b0b11'::uuid",
                "9b2ad6ff-9b1c-4b41-9d0e-0d8b0a4b0b11",
            ),
        ],
    )
    def test_of_postgresql_keeps_its_digits_and_its_zone(
        self, server: SalesCore, expression: str, expected: str, tmp_path: Path
    ) -> None:
        assert one(server, expression.replace("::", r"\:\:"), tmp_path / "f") == expected

    @pytest.mark.parametrize("expression", ["'{}'::json", "array[1]", "'x'::bytea"])
    def test_without_a_plain_text_is_refused_by_its_column(
        self, server: SalesCore, expression: str, tmp_path: Path
    ) -> None:
        with pytest.raises(Refused, match="column 'it' holds a") as told:
            one(server, expression.replace("::", r"\:\:"), tmp_path / "f")

        assert told.value.code == "SOURCE_QUERY"

    @pytest.mark.parametrize("expression", ["'infinity'::timestamptz", "'0044-03-15 BC'::date"])
    def test_beyond_every_calendar_is_told_as_what_it_is(
        self, server: SalesCore, expression: str, tmp_path: Path
    ) -> None:
        with pytest.raises(Problem, match=r"too large|too small") as told:
            one(server, expression.replace("::", r"\:\:"), tmp_path / "f")

        assert told.value.code == "SOURCE_QUERY"


class TestAQuery:
    def test_that_gives_no_row_still_names_its_columns(
        self, database: SalesCore, tmp_path: Path
    ) -> None:
        sql = "select number as customer_id, name from customer where client_id = :client"

        rows = read(database, sql, tmp_path / "f")

        assert (rows.column_names, len(rows)) == (["customer_id", "name"], 0)

    def test_gives_rows_after_since_up_to_until(self, database: SalesCore, tmp_path: Path) -> None:
        for created in (WINDOW.since, WINDOW.until):
            database.sold(42, created, f"C-{created.day} P-1")
        sql = (
            "select customer from order_line"
            " where client_id = :client and created_at > :since and created_at <= :until"
        )

        assert read(database, sql, tmp_path / "f")["customer"].to_pylist() == ["C-2"]

    def test_is_the_same_in_other_bytes_for_another_window(
        self, database: SalesCore, tmp_path: Path
    ) -> None:
        """Equal bytes would count once, and two windows with equal rows count twice."""
        sql = "select 1 as a from customer where :client = '' or :since > :until"
        for number, window in enumerate([WINDOW, Window("42", WINDOW.until, WINDOW.until)]):
            with opened(database.settings()) as snapshot:
                snapshot.write(sql, window, tmp_path / f"{number}", MOST)

        assert (tmp_path / "0").read_bytes() != (tmp_path / "1").read_bytes()

    def test_of_many_rows_is_read_in_pieces(
        self, server: SalesCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetched = []
        fetch = psycopg.ServerCursor.fetchmany

        def counted(self: Any, size: int = 0) -> Any:
            fetched.append(size)
            return fetch(self, size)

        monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", counted)

        rows = read(server, PLENTY, tmp_path / "f", fetch_rows=1_000)

        assert len(rows) == 100_000
        assert max(fetched) == 1_000

    def test_that_gives_too_much_is_stopped(self, server: SalesCore, tmp_path: Path) -> None:
        with (
            pytest.raises(Refused, match="more than 100,000 bytes"),
            opened(server.settings()) as snapshot,
        ):
            snapshot.write(PLENTY, WINDOW, tmp_path / "f", 100_000)

    def test_that_takes_too_long_is_stopped_by_the_server(
        self, server: SalesCore, tmp_path: Path
    ) -> None:
        sql = "select pg_sleep(60), :client as client"

        with pytest.raises(Problem, match="statement timeout"):
            read(server, sql, tmp_path / "f", statement_seconds=0.2)

    @pytest.mark.parametrize(
        "sql",
        [
            "delete from customer where number = :client returning number",
            "insert into customer (name) values (:client) returning name",
            "with gone as (delete from customer returning number) select :client from gone",
            "select nextval('counter') as n where :client <> ''",
        ],
    )
    def test_cannot_write(self, server: SalesCore, sql: str, tmp_path: Path) -> None:
        server.stocked(42, customers=["C-1"], products=["P-1"])
        server.do("create sequence counter")

        with pytest.raises(Problem) as told:
            read(server, sql, tmp_path / "f")

        assert told.value.code == "SOURCE_QUERY"
        [count] = read(
            server, "select count(*) as n from customer where :client <> ''", tmp_path / "g"
        )
        assert count.to_pylist() == ["1"]

    def test_cannot_write_into_an_sqlite_file_either(self, tmp_path: Path) -> None:
        database = sqlite(tmp_path)
        before = (tmp_path / "salescore.db").read_bytes()

        with pytest.raises(Problem):
            read(database, "insert into customer (name) values (:client)", tmp_path / "f")

        assert (tmp_path / "salescore.db").read_bytes() == before

    def test_that_is_wrong_is_told_in_the_databases_own_words(
        self, database: SalesCore, tmp_path: Path
    ) -> None:
        with pytest.raises(Problem, match="nosuch") as told:
            read(database, "select nosuch from customer where client_id = :client", tmp_path / "f")

        assert told.value.code == "SOURCE_QUERY"

    def test_sees_all_tables_as_of_one_moment(self, server: SalesCore, tmp_path: Path) -> None:
        sql = "select number from customer where client_id = :client"
        with opened(server.settings()) as snapshot:
            snapshot.write(sql, WINDOW, tmp_path / "before", MOST)
            server.stocked(42, customers=["C-1"], products=["P-1"])
            snapshot.write(sql, WINDOW, tmp_path / "after", MOST)

        assert pq.read_metadata(tmp_path / "after").num_rows == 0


class TestTheConnection:
    def test_is_one_for_all_tenants(
        self, server: SalesCore, cluster: Cluster, tmp_path: Path
    ) -> None:
        name = server.url.rpartition("/")[2].partition("?")[0]
        with closing(Source(server.settings())) as source:
            seen = set()
            for number in range(5):
                sql = "select pg_backend_pid() as pid where :client <> ''"
                with source.snapshot() as snapshot:
                    snapshot.write(sql, WINDOW, tmp_path / f"{number}", MOST)
                seen |= set(pq.read_table(tmp_path / f"{number}")["pid"].to_pylist())
            with cluster.connect("postgres") as admin:
                query = "select state from pg_stat_activity where datname = %s"
                states = admin.execute(query, [name]).fetchall()

        assert len(seen) == 1
        assert states == [("idle",)]

    def test_is_made_again_after_it_was_lost(
        self, server: SalesCore, cluster: Cluster, tmp_path: Path
    ) -> None:
        sql = "select 1 as n where :client <> ''"
        with closing(Source(server.settings())) as source:
            with source.snapshot() as snapshot:
                snapshot.write(sql, WINDOW, tmp_path / "1", MOST)
            with cluster.connect("postgres") as admin:
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'recfactory'"
                )
            with source.snapshot() as snapshot:
                snapshot.write(sql, WINDOW, tmp_path / "2", MOST)

    def test_ends_at_the_address_that_was_checked_or_is_given_up(
        self, server: SalesCore, cluster: Cluster
    ) -> None:
        """Something between psycopg and us sent it elsewhere."""

        def elsewhere(**given: Any) -> "psycopg.Connection[Any]":
            return psycopg.connect(**{**given, "hostaddr": "127.0.0.1"})

        asked = SourceDatabase.model_validate(
            {
                **server.settings().model_dump(),
                "url": server.url.replace("127.0.0.1", "127.0.0.9"),
                "hosts": [f"127.0.0.9:{cluster.port}"],
                "allow_private": ["127.0.0.9/32"],
            }
        )
        with (
            closing(Source(asked, connect=elsewhere)) as source,
            pytest.raises(SourceAway, match="another address"),
            source.snapshot(),
        ):
            pytest.fail("it was taken")

    def test_wants_tls_unless_the_url_says_that_it_does_not(self, server: SalesCore) -> None:
        plain = server.settings(url=server.url.replace("?sslmode=disable", ""))

        with pytest.raises(SourceAway, match="SSL"), opened(plain):
            pytest.fail("it was taken")

    def test_is_given_up_where_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        nobody = SalesCore("postgresql", f"postgresql://u:hunter2@127.0.0.1:{port}/x")

        with pytest.raises(SourceAway), opened(nobody.settings()):
            pytest.fail("somebody was there")


class TestThePassword:
    """Whatever goes wrong, it is in no message, no log and no traceback."""

    @pytest.fixture
    def wrong(self, server: SalesCore) -> Callable[..., SourceDatabase]:
        def settings(**more: Any) -> SourceDatabase:
            user, _, rest = server.url.partition("postgres:")[2].partition("@")
            assert user
            return server.settings(url=f"postgresql://postgres:hunter2@{rest}", **more)

        return settings

    def told(self, settings: SourceDatabase, caplog: pytest.LogCaptureFixture) -> str:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(Problem) as error, opened(settings):
            pytest.fail("it was taken")
        return f"{caplog.text} {''.join(traceback.format_exception(error.value))} {settings!r}"

    def test_that_is_wrong_is_not_told(
        self, wrong: Callable[..., SourceDatabase], caplog: pytest.LogCaptureFixture
    ) -> None:
        told = self.told(wrong(), caplog)

        assert "password authentication failed" in told
        assert "hunter2" not in told

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://u:hunter2@db.example/x",
            "postgresql://u:hunter2@127.0.0.1:notaport/x",
            "postgresql://u:hunter2@127.0.0.1/x?password=hunter2",
            "mysql://u:hunter2@127.0.0.1/x",
            "://u:hunter2@",
            "hunter2",
        ],
    )
    def test_in_a_url_that_is_refused_is_not_told(
        self, url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert "hunter2" not in self.told(SalesCore("sqlite", "").settings(url=url), caplog)

    def test_may_be_in_a_file_that_only_its_owner_reads(
        self, server: SalesCore, tmp_path: Path
    ) -> None:
        file = tmp_path / "url"
        file.write_text(f"{server.url}\n")
        file.chmod(0o600)
        kept = server.settings(url="", url_file=str(file))

        with opened(kept) as snapshot:
            assert snapshot.clock().tzinfo is not None

    def test_in_a_file_that_everybody_reads_is_refused(
        self, server: SalesCore, tmp_path: Path
    ) -> None:
        file = tmp_path / "url"
        file.write_text(server.url)
        file.chmod(0o644)

        with pytest.raises(Refused, match="read by everybody"):
            Source(server.settings(url="", url_file=str(file)))

    def test_in_a_file_that_is_not_there_is_refused(self, server: SalesCore) -> None:
        with pytest.raises(Refused, match="cannot be read"):
            Source(server.settings(url="", url_file="/nowhere/url"))


def test_an_sqlite_file_that_somebody_writes_to_is_read_as_it_was(tmp_path: Path) -> None:
    database = sqlite(tmp_path)
    database.stocked(42, customers=["C-1"], products=["P-1"])
    sql = "select number from customer where client_id = :client"
    with opened(database.settings()) as snapshot:
        snapshot.write(sql, WINDOW, tmp_path / "f", MOST)

    assert len(pq.read_table(tmp_path / "f")) == 1


def test_a_database_of_another_kind_is_refused_with_what_can_be_read() -> None:
    asked = SalesCore("sqlite", "").settings(url="mysql+pymysql://u:p@db.example/x")

    with pytest.raises(Refused, match=r"mysql\+pymysql.*postgresql:// and sqlite://"):
        Source(asked)
