import json, shutil
from datetime import timedelta
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq, pytest
from jobs.erasing import finish
from jobs.intake import import_files
from jobs.release import release
from schema.errors import FactoryError, Problem
from schema.names import Delivered
from schema.settings import HoldSettings, IntakeSettings
from storage.erase import erase, unerase
from tests.jobs.test_intake import LIMITS, Shop, bought, csv, customers, products
from tests.world import ACME, BETA, NOW, World
import storage.parts


@pytest.fixture
def shop(empty_world):
    for name in (ACME, BETA):
        empty_world.add(name)
        Shop(empty_world, name).deliver(
            customers=customers("C-1", "C-2"), products=products("P-1", "P-2")
        )
    return Shop(empty_world)


def erased(shop, who):
    w = shop.world
    erase(w.stores, w.tenant(ACME), who, by="t", why="r", now=NOW)
    finish(w.stores, NOW)


def test_a_unerase_resend(shop):
    shop.deliver(interactions=bought("C-1 P-1", "C-2 P-2"))
    erased(shop, "C-1")
    assert shop.column("customers", "customer_id") == ["C-2"]
    r = shop.deliver(customers=customers("C-1", "C-2"))
    unerase(
        shop.world.stores,
        shop.world.tenant(ACME),
        "C-1",
        by="t",
        why="r",
        now=NOW + timedelta(days=1),
    )
    r = shop.deliver(customers=customers("C-1", "C-2"))
    print(r.state)
    assert shop.column("customers", "customer_id") == ["C-1", "C-2"]
    r = shop.deliver(interactions=bought("C-1 P-1", "C-2 P-2"))
    assert shop.column("interactions", "customer_id") == ["C-1", "C-2"]


HELD = IntakeSettings(holds=HoldSettings(least_rows=5, least_ids=5))


def test_b_manifest(shop):
    ids = [f"K-{n}" for n in range(40)]
    shop.deliver(customers=customers("C-1", *ids))
    r = shop.deliver(HELD, customers=customers("C-9"))
    assert r.state is Delivered.HELD
    erased(shop, "K-1")
    w = shop.world
    release(w.stores, w.tenant(ACME), r.batch, LIMITS, by="t", why="w", now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "customer_id|name\nC-1|Ann\n",
        "customer_id,name\nC-3,x\nC-1,Ann,more\n",
        "report\n\ncustomer_id,name\nC-1,Ann\n",
        '{"customer_id": "C-3"}\n{"customer_id": "C-1", "a": [1]}\n',
        "customer_id\nid=C-1;x\n",
    ],
)
def test_c_taken(shop, text):
    place = shop.world.config.home / "inbox" / ACME / "taken"
    place.mkdir(parents=True)
    p = place / (
        "20260101T000000Z-customers.jsonl" if text[0] == "{" else "20260101T000000Z-customers.csv"
    )
    p.write_text(text)
    erased(shop, "C-1")
    assert not p.exists()


def test_e_domin(empty_world):
    empty_world.add(ACME)
    shop = Shop(empty_world)
    shop.deliver(
        customers=customers("C 1", "C-2", *[f"K{n}" for n in range(60)]), products=products("P-1")
    )
    rows = csv(
        "customer_id,product_id,occurred_at",
        [f"C 1,P-1,2026-03-01T{h:02}:{m:02}:00Z" for h in range(10) for m in range(60)]
        + [f"K{n},P-1,2026-03-01T10:00:00Z" for n in range(60)],
    )
    r = shop.deliver(HELD, interactions=rows)
    assert r.state is Delivered.HELD
    print(r.holds)
    erased(shop, "C 1")
    assert "C 1" not in json.dumps(shop.reports(), default=str)


@pytest.mark.parametrize(
    "col",
    [
        pa.array([b"C-1", b"\xff\xfe"]),
        pa.array([1.0, 2.5]),
        pa.array([[1], [2]]),
        pa.array([True, False]),
        pa.array([b"C-1", b"C-2"]).cast(pa.large_binary()),
        pa.array([None, None]),
    ],
)
def test_f_mask(shop, col, tmp_path):
    erased(shop, "C-1")
    p = tmp_path / "customers.parquet"
    pq.write_table(pa.table({"customer_id": col}), p)
    w = shop.world
    try:
        import_files(w.stores, w.tenant(ACME), {"customers": p}, LIMITS, by="t", now=NOW)
    except FactoryError as e:
        print(e.problem)


def test_g_old_schema(shop):
    w = shop.world
    uid = w.tenant(ACME).uid
    for path in w.stores.datasets.files(uid, "products"):
        t = pq.read_table(path)
        pq.write_table(t.drop_columns(["cost"]), path)
    w.stores.imports  # noqa
    from jobs.intake import import_files as f

    p = w.folder / "products.csv"
    p.write_text(products("P-3"))
    f(w.stores, w.tenant(ACME), {"products": p}, LIMITS, by="t", now=NOW, how={"products": "add"})
    assert shop.column("products", "product_id") == ["P-1", "P-2", "P-3"]


def test_h_parts(shop, monkeypatch):
    monkeypatch.setattr(storage.parts, "FILE_ROWS", 2)
    monkeypatch.setattr(storage.parts, "ROW_GROUP", 1)
    one = ["C-1 P-1", "C-2 P-2", "C-1 P-2"]
    keep = IntakeSettings(duplicates="keep")
    shop.deliver(keep, interactions=bought(*one))
    shop.deliver(keep, interactions=bought(*one, "C-2 P-1"))
    assert len(shop.column("interactions", "event")) == 7


def test_i_release_replace(shop):
    w = shop.world

    def send(text, limits=LIMITS):
        p = w.folder / "interactions.csv"
        p.write_text(text)
        return import_files(
            w.stores,
            w.tenant(ACME),
            {"interactions": p},
            limits,
            by="t",
            now=NOW,
            how={"interactions": "replace"},
        )

    many = [f"C-1,P-1,2026-03-01T{h:02}:{m:02}:00Z" for h in range(10) for m in range(60)]
    H = "customer_id,product_id,occurred_at"
    strict = IntakeSettings(holds=HoldSettings(least_rows=5, least_ids=5, customer_share=1))
    send(csv(H, many))
    r = send(csv(H, many[:20]), strict)
    assert r.state is Delivered.HELD, r
    send(csv(H, many + [f"C-2,P-2,2026-03-02T10:00:00Z"]))
    try:
        release(w.stores, w.tenant(ACME), r.batch, LIMITS, by="t", why="w", now=NOW)
    except FactoryError as e:
        print(e)
    assert len(shop.column("interactions", "event")) == 601


def test_j_held_twice(shop):
    w = shop.world
    ids = [f"K-{n}" for n in range(40)]
    shop.deliver(customers=customers("C-1", *ids))
    r = shop.deliver(HELD, customers=customers("C-9"))
    r2 = shop.deliver(HELD.model_copy(update={"ids": "folded"}), customers=customers("C-9"))
    assert r2.state is Delivered.HELD and r2.batch == r.batch
    release(w.stores, w.tenant(ACME), r.batch, LIMITS, by="t", why="w", now=NOW)
    assert w.stores.imports.deliveries(ACME, None, states=[Delivered.HELD]) == []


def test_j2_held_how(shop):
    w = shop.world
    ids = [f"K-{n}" for n in range(40)]
    shop.deliver(customers=customers("C-1", *ids))
    p = w.folder / "customers.csv"
    p.write_text(customers(*[f"Z-{n}" for n in range(40)]))
    for how in ("replace", "add"):
        r = import_files(
            w.stores,
            w.tenant(ACME),
            {"customers": p},
            HELD,
            by="t",
            now=NOW,
            how={"customers": how},
        )
        print(r.state, r.holds)


def test_n_folded(empty_world):
    empty_world.add(ACME)
    shop = Shop(empty_world)
    f = IntakeSettings(ids="folded")
    shop.deliver(f, customers=customers("C-1", "C-2"), products=products("P-1"))
    erased(shop, "C-1")
    shop.deliver(f, customers=customers("c-1", "C-2"))
    assert shop.column("customers", "customer_id") == ["C-2"]


def test_q_twice(shop):
    try:
        shop.deliver(interactions="_line,_batch,_batch,customer_id\n1,a,b,C-1\n")
    except FactoryError as e:
        print(e)


def test_q2(shop):
    for t in ("_line,_batch,customer_id\n", "_line,_batch,_line\n1,a,2\n"):
        try:
            shop.deliver(interactions=t)
        except FactoryError as e:
            print(e)


def test_l_header(shop):
    e = shop.refused(
        interactions=",".join("x" * 70 + str(n) for n in range(5)) + "\n" + "1,2,3,4,5\n"
    )
    print(e)
    e = shop.refused(interactions="x" * 900 + "\n1\n")
    print(e)
    e = shop.refused(interactions="y" * 900 + "," + "y" * 900 + "\n1,2\n")
    print(e)
    assert "y" * 81 not in str(e)


def test_d_pulled_upload(shop):
    home = shop.world.config.home
    t = home / "tenants" / shop.world.tenant(ACME).uid
    for f in (
        "uploads/abc/OUTCOME.json",
        "source/waiting/customers.csv",
        "arrived/customers.csv",
        "arriving/customers.csv",
    ):
        (t / f).parent.mkdir(parents=True, exist_ok=True)
        (t / f).write_text(
            '{"problem": {"message": "customer_id C-1"}}' if "OUT" in f else customers("C-1")
        )
    erased(shop, "C-1")
    print([p for p in t.rglob("*") if p.is_file() and b"C-1" in p.read_bytes()])
