"""A customer with an id and a name that stand nowhere else, planted in every store there is."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.intake import import_files
from schema.names import TenantId
from storage.delivered import folders
from tests.world import ACME, NEXT_NIGHT, NIGHT, NOW, World, tables

WHO, NAME = "PLANTED-7f3a91c2", "Plantedina Canary"
STRINGS = (WHO, NAME)


def planted(name: TenantId = ACME) -> dict[str, pa.Table]:
    """A tenant's tables, one of whose customers is the planted one."""
    made = tables(name)
    ids = {
        table: pc.replace_substring(made[table]["customer_id"], "C-0007", WHO)
        for table in ("customers", "interactions")
    }
    customers = made["customers"].set_column(0, "customer_id", ids["customers"])
    names = pc.replace_substring(customers["name"], f"{name} customer 7", NAME)
    return {
        **made,
        "customers": customers.set_column(1, "name", names),
        "interactions": made["interactions"].set_column(0, "customer_id", ids["interactions"]),
    }


def csv_of(rows: pa.Table, path: Path) -> Path:
    lines = [",".join(rows.column_names)]
    lines += [",".join(map(str, row.values())) for row in rows.to_pylist()]
    path.write_text("\n".join(lines) + "\n")
    return path


def plant(world: World, name: TenantId = ACME) -> None:
    """Bring the customer into everything: data old and new, quarantine, reports, delivered files,
    feedback, the spool, and two editions.
    """
    made = planted(name)
    world.import_(name, made)
    world.import_(name, {"customers": made["customers"].slice(0, 59)})  # an older version stays
    world.import_(name, {"customers": made["customers"]})
    _dirty(world, name)
    _delivered(world, name)
    for night in (NIGHT, NEXT_NIGHT):
        assert world.night(name, night).published
    feedback = world.stores.feedback
    feedback.record(name, [_event(f"{WHO}-1"), _event("other", "C-0002")])
    feedback.spool.append(name, [_event("spooled")])
    _stuck(world, name)


def _event(event_id: str, customer: str = WHO) -> dict[str, Any]:
    return {
        "event_id": event_id, "digest": "0" * 64, "kind": "clicked", "customer_id": customer,
        "product_id": "acme-P-01", "edition": 1, "rank": 1, "quantity": None, "value": None,
        "occurred_at": datetime(2026, 3, 31, 12, tzinfo=UTC),
    }  # fmt: skip


def _dirty(world: World, name: TenantId) -> None:
    """Rows that do not fit: their samples stand in the report, they themselves in quarantine."""
    folder = world.folder / "dirty"
    folder.mkdir(exist_ok=True)
    path = folder / "interactions.csv"
    path.write_text(
        "customer_id,product_id,occurred_at,note\n"
        f"C-0001,{name}-P-01,2026-03-01T10:00:00Z,fine\n"
        f"{WHO},{name}-P-99,2026-03-01T10:00:00Z,{NAME}\n"
        f"C-9999,{name}-P-01,2026-03-01T10:00:00Z,{WHO}\n"
        f"{WHO},{name}-P-01,one,field,too,many,{NAME}\n"
    )
    tenant = world.tenant(name)
    limits = world.config.template.intake
    import_files(world.stores, tenant, {"interactions": path}, limits, by="test", now=NOW)


def _delivered(world: World, name: TenantId) -> None:
    tenant = world.tenant(name)
    for place in folders(world.config.home, name, tenant.uid):
        place.mkdir(parents=True, exist_ok=True)
        csv_of(planted(name)["customers"], place / "customers.csv")
        pq.write_table(planted(name)["interactions"], place / "interactions.parquet")
        (place / "unreadable.jsonl").write_text(f'{{"customer_id": "{WHO}"}}\n')
        csv_of(tables(name)["customers"], place / "others.csv")


def _stuck(world: World, name: TenantId) -> None:
    spool = world.stores.feedback.spool
    spool.append(name, [_event("stuck"), _event("not theirs", "C-0003")])
    spool.close()
    folder = world.config.home / "spool"
    newest = sorted(folder.glob("*.spool"))[-1]
    (folder / "old.stuck").write_bytes(newest.read_bytes())


def hits(home: Path, strings: Sequence[str] = STRINGS) -> list[str]:
    """Files that hold any of the strings in any byte; Parquet is unpacked before it is searched."""
    needles = [text.encode() for text in strings]
    found = []
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += repr(pq.read_table(path).to_pydict()).encode()
        if any(needle in data for needle in needles):
            found.append(str(path.relative_to(home)))
    return found


def rows_of(world: World, name: TenantId) -> dict[str, list[Any]]:
    """Every row of a tenant in the ledger."""
    with closing(sqlite3.connect(world.config.home / "ledger.db")) as ledger:
        names = [
            row[0] for row in ledger.execute("select name from sqlite_master where type='table'")
        ]
        found = {}
        for table in names:
            columns = [row[1] for row in ledger.execute(f"pragma table_info({table})")]
            if "tenant" in columns:
                query = f"select * from {table} where tenant = ?"
                found[table] = ledger.execute(query, (name,)).fetchall()
    return found


def receipt(world: World, number: int = 1, name: TenantId = ACME) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(
        orjson.dumps(world.stores.erasures.one(name, number).as_json())
    )
    return told


def kept_editions(world: World, name: TenantId = ACME) -> list[int]:
    return world.stores.editions.numbers(world.tenant(name).uid)
