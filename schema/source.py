"""SalesCore's own database: where it is, and the one query per table that is asked for every tenant."""

import ipaddress
import re
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic.networks import IPvAnyNetwork

_BIND = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")
"""A bind parameter, as SQLAlchemy's ``text`` finds it: ``a::date`` and ``\\:x`` hold none."""

_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*\Z")
_NUMBERS = re.compile(r"[0-9]+\Z|0x[0-9a-f]*\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class _Part(BaseModel, extra="forbid", frozen=True):
    pass


class Queries(_Part):
    """SQL by table; empty: the table comes another way.

    A query names ``:client``, so that no client gets another one's rows. With ``:since`` and
    ``:until`` it gives what is new between the two, without them the whole table.
    """

    customers: str = ""
    products: str = ""
    interactions: str = ""

    @model_validator(mode="after")
    def _ask_for_one_client(self) -> Self:
        for table, sql in self.asked().items():
            found = set(_BIND.findall(sql))
            unknown = sorted(found - {"client", "since", "until"})
            if unknown:
                raise ValueError(
                    f"{table} has :{unknown[0]}; only :client, :since and :until are given "
                    "(a colon that is none of them is written \\:)"
                )
            if "client" not in found:
                raise ValueError(f"{table} must ask for one client's rows, by :client")
            if len(found & {"since", "until"}) == 1:
                raise ValueError(f"{table} must have both of :since and :until, or neither")
        return self

    def asked(self) -> dict[str, str]:
        """The queries there are, by table."""
        return {table: sql for table, sql in self.model_dump().items() if sql.strip()}


def by_window(sql: str) -> bool:
    """Whether a query gives what is new since the last one, and not the whole table."""
    return "since" in _BIND.findall(sql)


class SourceDatabase(_Part):
    """Where SalesCore's database is, and what is asked of it; off while it has no address."""

    url: SecretStr = SecretStr("")
    """SQLAlchemy URL of a PostgreSQL or SQLite database. Never printed."""
    url_file: str = ""
    """A file that holds the URL, instead."""
    hosts: tuple[str, ...] = ()
    """``name:port`` and ``address:port`` that may be connected to; no others ever are."""
    allow_private: tuple[IPvAnyNetwork, ...] = ()
    """Networks that are not public and may be connected to nevertheless."""
    statement_seconds: float = Field(300, gt=0)
    settle_seconds: float = Field(600, ge=0)
    fetch_rows: int = Field(5_000, ge=1)
    queries: Queries = Queries()

    @property
    def given(self) -> bool:
        return bool(self.url.get_secret_value() or self.url_file)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.url.get_secret_value() and self.url_file:
            raise ValueError("give url or url_file, not both")
        if self.given != bool(self.queries.asked()):
            raise ValueError("an address and at least one query belong together")
        for place in self.hosts:
            host, _, port = place.rpartition(":")
            host = host.strip("[]")
            if not plain(host) or not _PORT.match(port) or place != named(host, int(port)):
                raise ValueError(f"hosts: {place!r} is not host:port, as db.example.com:5432")
        for network in self.allow_private:
            if network.is_global:
                raise ValueError(f"allow_private: {network} is not a private network")
        return self


def named(host: str, port: int) -> str:
    """A place as ``hosts`` names it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def plain(host: str) -> bool:
    """Whether a host is written in its one plain way: a name in lower case, or an address.

    An address is also understood as 2130706433, 0x7f.1, 0177.0.0.1 or ::ffff:127.0.0.1; a list of
    allowed hosts that takes such spellings can be walked around.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        return bool(_NAME.match(host)) and not _NUMBERS.match(last)
    if address.version == 6 and (address.ipv4_mapped or address.scope_id):
        return False
    return str(address) == host
