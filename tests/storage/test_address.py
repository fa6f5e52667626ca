"""F07: a connection to the source goes where the operator said, and nowhere else."""

import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from schema.errors import Problem, Refused
from schema.source import SourceDatabase
from storage.address import place_of
from storage.source import Source

QUERIES = {"customers": "select number as customer_id from customer where client_id = :client"}
NAMES = {
    "db.salescore.example": ["93.184.216.34"],
    "two.salescore.example": ["93.184.216.34", "93.184.216.35"],
    "six.salescore.example": ["2606:2800:220:1::1"],
    "inner.salescore.example": ["10.1.2.3"],
    "other.example": ["93.184.216.40"],
    "localhost": ["127.0.0.1"],
    "localtest.me": ["127.0.0.1"],
    "loop.salescore.example": ["127.0.0.1"],
    "loop6.salescore.example": ["::1"],
    "meta.salescore.example": ["169.254.169.254"],
    "link6.salescore.example": ["fe80::1"],
    "home.salescore.example": ["192.168.1.10"],
    "mixed.salescore.example": ["93.184.216.34", "127.0.0.1"],
    "mapped.salescore.example": ["::ffff:127.0.0.1"],
    "tunnel.salescore.example": ["2002:7f00:1::"],
    "teredo.salescore.example": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "nat64.salescore.example": ["64:ff9b::7f00:1"],
    "ula.salescore.example": ["fd00::1"],
    "any.salescore.example": ["0.0.0.0"],
    "many.salescore.example": ["224.0.0.1"],
    "carrier.salescore.example": ["100.64.0.1"],
    "doc.salescore.example": ["192.0.2.1"],
    "ten.salescore.example": ["10.9.9.9"],
}
"""What the name service says in these tests."""

LISTED = [
    *(f"{name}:5432" for name in NAMES if name.endswith("salescore.example")),
    "localhost:5432", "127.0.0.1:5432", "169.254.169.254:5432", "10.9.9.9:5432", "0.0.0.0:5432",
    "[::1]:5432", "[64:ff9b::7f00:1]:5432", "93.184.216.34:5432", "10.1.2.3:5432", "192.168.1.10:5432",
]  # fmt: skip
"""Careless: also places that no list of hosts alone may open."""

ALLOWED = {
    "postgresql://u:pw@db.salescore.example/sales": ["93.184.216.34"],
    "postgresql://u:pw@db.salescore.example:5432/sales": ["93.184.216.34"],
    "postgresql+psycopg://u:pw@db.salescore.example/sales": ["93.184.216.34"],
    "postgresql://u:pw@db.salescore.example/sales?sslmode=verify-full": ["93.184.216.34"],
    "postgresql://u:p%40w@93.184.216.34/sales": ["93.184.216.34"],
    "postgresql://u:pw@two.salescore.example/sales": ["93.184.216.34", "93.184.216.35"],
    "postgresql://u:pw@six.salescore.example/sales": ["2606:2800:220:1::1"],
    "postgresql://u:pw@inner.salescore.example/sales": ["10.1.2.3"],
    "postgresql://u:pw@10.1.2.3/sales": ["10.1.2.3"],
}
"""The addresses that each may be connected to."""

NOT_LISTED = [
    "other.example", "db.salescore.example:5433", "db.salescore.example.evil.example",
    "evil.example", "salescore.example", "xdb.salescore.example", "localtest.me",
    "93.184.216.35", "8.8.8.8", "127.0.0.2", "10.1.2.4", "[::2]", "[2606:2800:220:1::1]",
]  # fmt: skip
NOT_PUBLIC = [
    "localhost", "127.0.0.1", "169.254.169.254", "10.9.9.9", "0.0.0.0", "192.168.1.10", "[::1]",
    "[64:ff9b::7f00:1]", "loop.salescore.example", "loop6.salescore.example",
    "meta.salescore.example", "link6.salescore.example", "home.salescore.example",
    "mixed.salescore.example", "mapped.salescore.example", "tunnel.salescore.example",
    "teredo.salescore.example", "nat64.salescore.example", "ula.salescore.example",
    "any.salescore.example", "many.salescore.example", "carrier.salescore.example",
    "doc.salescore.example", "ten.salescore.example",
]  # fmt: skip
ODDLY_SPELT = [
    "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1",
    "0", "0x0", "127.000.000.001", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]",
    "[::1%25lo]", "[::127.0.0.1]", "DB.salescore.example", "db.salescore.example.",
    "db..salescore.example", "-db.salescore.example", "db%2Esalescore.example",
    "db.salescore.example%00.evil.example", "d\u0432.salescore.example", "127\u30020\u30020\u30021",
    "①②⑦.0.0.1",
]  # fmt: skip
ELSEWHERE = [
    "postgresql:///sales",
    "postgresql://u:pw@/sales",
    "postgresql://u:pw@%2Fvar%2Frun%2Fpostgresql/sales",
    "postgresql://u:pw@/sales?host=/var/run/postgresql",
    "postgresql://u:pw@/sales?host=localhost",
    "postgresql://u:pw@db.salescore.example/sales?host=127.0.0.1",
    "postgresql://u:pw@db.salescore.example/sales?hostaddr=127.0.0.1",
    "postgresql://u:pw@db.salescore.example/sales?port=22",
    "postgresql://u:pw@db.salescore.example/sales?service=other",
    "postgresql://u:pw@db.salescore.example/sales?servicefile=/tmp/s",
    "postgresql://u:pw@db.salescore.example/sales?passfile=/tmp/p",
    "postgresql://u:pw@db.salescore.example/sales?options=-csearch_path%3Dx",
    "postgresql://u:pw@db.salescore.example/sales?sslmode=disable&sslmode=require",
    "postgresql://u:pw@db.salescore.example/sales?target_session_attrs=any",
    "postgresql://u:pw@db.salescore.example,127.0.0.1/sales",
    "postgresql://u:pw@/sales?host=db.salescore.example:5432&host=127.0.0.1:5432",
    "postgresql://u:pw@db.salescore.example/host=127.0.0.1 dbname=sales",
    "postgresql://u:pw@db.salescore.example/postgresql://127.0.0.1/sales",
    "postgresql://u:pw@db.salescore.example",
    "postgresql+psycopg2://u:pw@db.salescore.example/sales",
    "postgresql+asyncpg://u:pw@db.salescore.example/sales",
    "mysql+pymysql://u:pw@db.salescore.example/sales",
    "mssql+pyodbc:///?odbc_connect=Server%3D127.0.0.1",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///relative.db",
    "sqlite:////nowhere/salescore.db",
    "sqlite:////etc/passwd?mode=rwc",
    "sqlite://host/etc/passwd",
    "not a url",
]
FORBIDDEN = [
    *(f"postgresql://u:pw@{host}/sales" for host in (*NOT_LISTED, *NOT_PUBLIC, *ODDLY_SPELT)),
    *ELSEWHERE,
]


def settings(url: str, **more: Any) -> SourceDatabase:
    given = {"hosts": LISTED, "allow_private": ["10.1.0.0/16"], "queries": QUERIES, **more}
    return SourceDatabase.model_validate({"url": url, **given})


def resolve(host: str, port: int) -> Sequence[str]:
    assert port == 5432
    return NAMES[host]


class Wire:
    """Stands where psycopg connects, and notes where it would have."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def connect(self, **given: Any) -> Any:
        self.reached.append(given["hostaddr"])
        raise psycopg.OperationalError("this is only a test")


def reached(url: str) -> list[str]:
    """The addresses that were connected to for a URL."""
    wire = Wire()
    with (
        suppress(Problem),
        closing(Source(settings(url), resolve, wire.connect)) as source,
        source.snapshot(),
    ):
        pytest.fail("nobody was there")
    return wire.reached


def test_there_are_eighty_urls_at_least() -> None:
    assert len(set(FORBIDDEN)) >= 80


def test_connections_to_forbidden_hosts_are_none() -> None:
    assert {url: reached(url) for url in FORBIDDEN} == {url: [] for url in FORBIDDEN}


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_url_that_leads_elsewhere_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Refused) as told:
        Source(settings(url), resolve, Wire().connect)

    assert told.value.code in ("SOURCE_HOST", "SOURCE_URL")
    assert "pw@" not in str(told.value)


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_what_is_listed_but_not_public_is_refused_for_where_it_leads(host: str) -> None:
    with pytest.raises(Refused, match="not a public address"):
        place_of(make_url(f"postgresql://u@{host}/sales"), settings("sqlite:///x"), resolve)


@pytest.mark.parametrize("host", [*ODDLY_SPELT, "", "a,b", "%2Ftmp"])
def test_a_host_in_another_than_its_one_plain_spelling_is_none(host: str) -> None:
    with pytest.raises(Refused, match="odd spelling"):
        place_of(make_url(f"postgresql://u@{host}/sales"), settings("sqlite:///x"), resolve)


@pytest.mark.parametrize("url", ALLOWED)
def test_a_url_of_the_list_leads_to_the_addresses_that_were_checked(url: str) -> None:
    assert reached(url) == ALLOWED[url]


def test_a_name_is_asked_for_once_so_that_it_cannot_mean_something_else_later() -> None:
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    wire = Wire()
    source = Source(
        settings("postgresql://u@db.salescore.example/sales"),
        lambda _host, _port: answers.pop(0),
        wire.connect,
    )
    for _ in range(3):
        with pytest.raises(Problem), source.snapshot():
            pytest.fail("nobody was there")

    assert wire.reached == ["93.184.216.34"] * 3
    assert answers == [["127.0.0.1"]]


def test_a_name_that_nobody_knows_is_refused_with_its_name() -> None:
    unknown = settings("postgresql://u@db.invalid/sales", hosts=["db.invalid:5432"])

    with pytest.raises(Refused, match=r"db\.invalid has no address"):
        Source(unknown)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254"])
def test_an_address_whose_network_is_named_may_be_connected_to(host: str) -> None:
    address = host.strip("[]")
    allowed = settings("sqlite:///x", allow_private=[address])

    assert place_of(make_url(f"postgresql://u@{host}/sales"), allowed).addresses == (address,)


class TestTheOtherEnd:
    """libpq may be told where to go by more than its arguments."""

    @pytest.fixture
    def trap(self) -> Any:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(0.2)
            yield listening

    def test_is_not_chosen_by_the_environment(
        self, trap: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Connections go to a closed port of an allowed address, not to where PGHOST points."""
        port = trap.getsockname()[1]
        with socket.create_server(("127.0.0.2", 0)) as closed:
            target = closed.getsockname()[1]
        for name, value in {
            "PGHOST": "127.0.0.1", "PGHOSTADDR": "127.0.0.1", "PGPORT": f"{port}",
            "PGOPTIONS": "-c search_path=x", "PGTARGETSESSIONATTRS": "read-write",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        asked = settings(
            f"postgresql://u:pw@127.0.0.2:{target}/sales?sslmode=disable",
            hosts=[f"127.0.0.2:{target}"],
            allow_private=["127.0.0.2/32"],
        )

        with closing(Source(asked)) as source, pytest.raises(Problem), source.snapshot():
            pytest.fail("nobody was there")

        with pytest.raises(TimeoutError):
            trap.accept()
