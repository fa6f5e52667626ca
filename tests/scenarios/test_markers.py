"""Not one byte of a tenant in anything that is made for another, or about another.

Two tenants have the same customer and product ids; every text of theirs carries the tenant's mark.
After nights, lookups, feedback, administration, refusals and a scrape, all that was made for
one of them is searched for the other's name and mark.
"""

import json
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from schema.names import Bought, Role, TenantId
from tests.scenarios.test_http import Server, server
from tests.scenarios.test_rules import cli
from tests.scenarios.tree import folder_of
from tests.serving.morning import Night
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, World, open_world, tables

MARK = {ACME: "quagga", BETA: "okapi"}
OTHER = {ACME: BETA, BETA: ACME}
CUSTOMER = "C-0001-canary"
"""A customer's id; it belongs into answers about that customer, and nowhere else."""

Made = dict[str, bytes]
"""What was made, by what it is."""


def foreign(made: Made, tenant: TenantId) -> list[str]:
    """What holds another tenant's name or mark."""
    marks = (OTHER[tenant].encode(), MARK[OTHER[tenant]].encode())
    return [what for what, content in made.items() if any(m in content.lower() for m in marks)]


def marked(tenant: TenantId, mark: str) -> dict[str, pa.Table]:
    """The tenant's tables: ids as everybody's, texts with its mark."""
    made = tables(tenant)

    def plain(table: pa.Table, column: str) -> pa.Table:
        at = table.column_names.index(column)
        ids = pc.replace_substring(table[column], f"{tenant}-", "")
        return table.set_column(at, column, pc.replace_substring(ids, "C-0001", CUSTOMER))

    def text(table: pa.Table, column: str) -> pa.Table:
        at = table.column_names.index(column)
        words = [f"{mark} {value}" for value in table[column].to_pylist()]
        return table.set_column(at, column, pa.array(words))

    return {
        "customers": text(plain(made["customers"], "customer_id"), "name"),
        "products": text(text(plain(made["products"], "product_id"), "name"), "category"),
        "interactions": plain(plain(made["interactions"], "customer_id"), "product_id"),
    }


def two_marked(folder: Path, leak: str = "") -> Night:
    """Both tenants after a night; one product of acme's may carry what leaked."""
    world = open_world(folder)
    for name in (ACME, BETA):
        mark = MARK[name]
        world.stores.ledger.register(
            name, f"t-uid-of-{name}", f"{mark} Ltd", "UTC", by=f"ann of {mark}", at=NOW
        )
        made = marked(name, MARK[name])
        if leak and name == ACME:
            at = made["products"].column_names.index("name")
            names = made["products"]["name"].to_pylist()
            made["products"] = made["products"].set_column(
                at, "name", pa.array([f"{leak} {text}" for text in names])
            )
        world.import_(name, made)
        assert world.night(name, NIGHT).published
    keys: dict[tuple[TenantId | None, Role], str] = {
        (name, role): world.key(name, role)
        for name in (ACME, BETA)
        for role in (Role.SELLER, Role.ADMIN)
    }
    keys[None, Role.OPERATOR] = world.key(None, Role.OPERATOR)
    for name in (ACME, BETA):
        said(world, "key", "create", name, "--label", MARK[name])
    world.stores.engine.dispose()
    return Night(folder, keys)


def asked(made: Server, tenant: TenantId) -> Made:
    """Every answer the tenant gets by day: right and wrong questions, its own and foreign ones."""
    seller, admin = (tenant, Role.SELLER), (tenant, Role.ADMIN)
    mine, other = f"/tenants/{tenant}", f"/tenants/{OTHER[tenant]}"
    answers: Made = {}

    def ask(
        method: str, path: str, key: tuple[TenantId | None, Role] | None, body: object = None
    ) -> bytes:
        found = made.ask(method, path, key, body)
        what = f"{method} {path} by {key} {json.dumps(body)[:60]}"
        answers[f"{what} {len(answers)}"] = found.body + repr(found.status).encode()
        return found.body

    for customer in (CUSTOMER, *(f"C-{n:04}" for n in range(2, 60)), "a stranger", "../x"):
        for bought in Bought:
            ask(
                "GET",
                f"{mine}/customers/{quote(customer, safe='')}/recs?limit=50&bought={bought}",
                seller,
            )
    event = {"customer_id": CUSTOMER, "product_id": "P-01", "kind": "shown"}
    events = [{"event_id": f"e{n}", **event} for n in range(5)]
    again = {**events[0], "rank": 2}
    letters: tuple[object, ...] = (events, events, [again], [{}], [{"mood": MARK[tenant]}], "x")
    for told in letters:
        ask("POST", f"{mine}/feedback", seller, {"events": told})
    rule = {"action": "exclude", "product_id": "P-01", "why": f"recalled by {MARK[tenant]}"}
    for method, path, body in (
        ("POST", "/rules", rule),
        ("POST", "/rules", rule),
        ("POST", "/rules", {**rule, "product_id": "nothing"}),
        ("DELETE", "/rules/1", None),
        ("DELETE", "/rules/1", None),
        ("PUT", "/mode", {"mode": "freeze", "why": MARK[tenant]}),
        ("PUT", "/mode", {"mode": "sideways"}),
        ("PUT", "/mode", {"mode": "on", "why": MARK[tenant]}),
        ("POST", "/editions/1/activate", {"why": MARK[tenant]}),
        ("POST", "/editions/9/activate", {"why": MARK[tenant]}),
        ("POST", "/models/1/promote", {"why": MARK[tenant]}),
    ):
        ask(method, f"{mine}{path}", admin, body)
        ask(method, f"{mine}{path}", seller, body)
        absent = ask(method, f"/tenants/nobody{path}", admin, body)
        assert ask(method, f"{other}{path}", admin, body) == absent
    document = json.loads(ask("GET", "/openapi.json", None))
    for path, methods in document["paths"].items():
        if "get" in methods:
            for there in (mine, other, "/tenants/nobody"):
                filled = path.replace("/tenants/{tenant}", there).replace("{customer}", CUSTOMER)
                for key in (seller, admin, None):
                    ask("GET", filled, key)
    return answers


def said(world: World, *words: str) -> bytes:
    done = cli(world, *words)
    assert done.exit_code == 0, done.output
    return done.output.encode()


def printed(world: World, tenant: TenantId) -> Made:
    """What the command line says of the tenant, and exports for it."""
    out = world.folder / f"{tenant}.csv"
    lines = (
        ("why", tenant),
        ("recs", tenant, CUSTOMER),
        ("tenant", "show", tenant),
        ("data", "show", tenant),
        ("audit", tenant),
        ("key", "list", tenant),
        ("rule", "list", tenant),
        ("model", "list", tenant),
        ("model", "show", tenant),
        ("model", "quality", tenant),
        ("edition", "list", tenant),
    )
    made = {
        f"{' '.join(words)} {json_}": said(world, *words, *json_)
        for words in lines
        for json_ in ((), ("--json",))
        if not (json_ and words[:1] == ("why",))
    }
    made["edition export"] = said(world, "edition", "export", tenant, "--out", str(out))
    made["the exported file"] = out.read_bytes()
    return made


def kept(world: World, tenant: TenantId) -> Made:
    """Every file of the tenant's, and of Parquet what is in it: its pages are packed."""
    made: Made = {}
    for path in folder_of(world, tenant).rglob("*"):
        if path.is_file():
            made[str(path)] = path.read_bytes()
            if path.suffix == ".parquet":
                made[f"{path} unpacked"] = repr(pq.read_table(path).to_pylist()).encode()
    return made


def about(tenant: TenantId, text: str, what: str) -> Made:
    """The lines that name the tenant."""
    lines = [line for line in text.splitlines() if tenant in line or MARK[tenant] in line]
    return {f"{what} {number}": line.encode() for number, line in enumerate(lines)}


def a_day(folder: Path, leak: str = "") -> tuple[dict[TenantId, Made], str, str]:
    """Two nights and a day of both tenants.

    Returns:
        What was made for each; the scrape; the log.
    """
    night = two_marked(folder, leak)
    world = open_world(folder)
    made: dict[TenantId, Made] = {ACME: {}, BETA: {}}
    with server(world, night, RECFACTORY_LOG="INFO") as running:
        for tenant in (ACME, BETA):
            made[tenant] |= asked(running, tenant)
            made[tenant]["night"] = said(world, "night", tenant, "--date", str(NEXT_NIGHT))
        for tenant in (ACME, BETA):
            made[tenant] |= printed(world, tenant) | kept(world, tenant) | asked(running, tenant)
        pointer = folder_of(world, ACME) / "CURRENT"
        pointer.write_text("{")  # something to be logged
        time.sleep(0.1)  # longer than the server trusts what it saw
        running.ask("GET", f"/tenants/{ACME}/customers/{CUSTOMER}/recs")
        scrape = running.ask("GET", "/metrics", None).body.decode()
        running.process.terminate()
        log = "".join(filter(None, running.process.communicate(timeout=30))) + running.log
    world.stores.engine.dispose()
    for tenant in (ACME, BETA):
        made[tenant] |= about(tenant, scrape, "scrape") | about(tenant, log, "log")
    return made, scrape, log


@pytest.mark.slow
class TestTwoTenantsWithTheSameIds:
    def test_never_meet_in_anything_that_is_made(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made, scrape, log = a_day(tmp_path)
        tags = {tenant: foreign(made[tenant], tenant) for tenant in made}
        searched = sum(len(content) for parts in made.values() for content in parts.values())
        with capsys.disabled():
            sys.stdout.write(
                f"\nbytes_searched={searched} foreign_tags={sum(map(len, tags.values()))}\n"
            )
        assert tags == {ACME: [], BETA: []}
        assert searched > 1_000_000
        for tenant in made:  # the search would have found them: each finds its own
            assert len(foreign(made[tenant], OTHER[tenant])) > 200
        for text in (scrape, log):
            assert ACME in text
            for secret in (CUSTOMER, *MARK.values(), "rf_", "P-01"):
                assert secret not in text, secret

    def test_that_did_would_be_found(self, tmp_path: Path) -> None:
        made, _, _ = a_day(tmp_path, leak=MARK[BETA])
        found = foreign(made[ACME], ACME)
        assert foreign(made[BETA], BETA) == []
        for where in ("/recs?", "unpacked", "recs acme", "exported file"):
            assert [what for what in found if where in what], where
