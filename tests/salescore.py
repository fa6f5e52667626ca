"""A made SalesCore database with several clients, on SQLite and on PostgreSQL alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from schema.source import SourceDatabase
from tests.postgres import Cluster

TABLES = {
    "sqlite": [
        "create table customer (client_id integer, number text, name text, region text)",
        "create table product (client_id integer, sku text, title text, list_price numeric)",
        "create table order_line (client_id integer, customer text, sku text, pieces numeric,"
        " amount numeric, ordered_at text, created_at text)",
    ],
    "postgresql": [
        "create table customer (client_id bigint, number text, name text, region text)",
        "create table product (client_id bigint, sku text, title text, list_price numeric(12,2))",
        "create table order_line (client_id bigint, customer text, sku text, pieces numeric(12,3),"
        " amount numeric(14,2), ordered_at timestamptz, created_at timestamptz)",
    ],
}
QUERIES = {
    "customers": "select number as customer_id, name, region from customer where client_id = :client",
    "products": "select sku as product_id, title as name, list_price as price"
    " from product where client_id = :client",
    "interactions": "select customer as customer_id, sku as product_id, pieces as quantity,"
    " amount as value, ordered_at as occurred_at from order_line"
    " where client_id = :client and created_at > :since and created_at <= :until",
}
ORDERED = datetime(2026, 3, 1, 10, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SalesCore:
    """The database, and how the factory is told of it."""

    kind: str
    url: str

    def settings(self, **more: Any) -> SourceDatabase:
        port = make_url(self.url).port if self.kind == "postgresql" else None
        hosts = {"hosts": [f"127.0.0.1:{port}"], "allow_private": ["127.0.0.1/32"]} if port else {}
        given = {"url": self.url, "queries": QUERIES, "settle_seconds": 0, **hosts, **more}
        return SourceDatabase.model_validate(given)

    def do(self, sql: str, rows: Sequence[dict[str, Any]] = ()) -> None:
        """Write something, as SalesCore itself does."""
        engine = create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(text(sql), list(rows) or None)
        engine.dispose()

    def stocked(self, client: int, *, customers: Sequence[str], products: Sequence[str]) -> None:
        self.do(
            "insert into customer values (:client, :number, :number, 'north')",
            [{"client": client, "number": number} for number in customers],
        )
        self.do(
            "insert into product values (:client, :sku, :sku, 2.5)",
            [{"client": client, "sku": sku} for sku in products],
        )

    def sold(self, client: int, created: datetime, *pairs: str, at: datetime = ORDERED) -> None:
        """Order lines: "C-1 P-1" is one piece, written into the database at ``created``."""
        rows = [
            {
                "client": client,
                "customer": pair.split()[0],
                "sku": pair.split()[1],
                "ordered": at.isoformat() if self.kind == "sqlite" else at,
                "created": created.strftime("%Y-%m-%d %H:%M:%S")
                if self.kind == "sqlite"
                else created,
            }
            for pair in pairs
        ]
        self.do(
            "insert into order_line values (:client, :customer, :sku, 1, 2.50, :ordered, :created)",
            rows,
        )


def sqlite(folder: Path) -> SalesCore:
    return _made(SalesCore("sqlite", f"sqlite:///{folder / 'salescore.db'}"))


def postgresql(cluster: Cluster) -> SalesCore:
    return _made(SalesCore("postgresql", cluster.url(cluster.make())))


def _made(database: SalesCore) -> SalesCore:
    for statement in TABLES[database.kind]:
        database.do(statement)
    return database
