"""How accepted data lie on disk: sorted, named by content, merged and cleared without a reader noticing."""

import errno
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import storage.parts
from schema.tables import VERSION, How
from storage.dataset import Dataset
from storage.datasets import Datasets
from storage.durable import Disk
from tests.faults.disk import FaultyDisk, Killed, plain
from tests.storage.made import ONE, OTHER

NOW = datetime(2026, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Row = tuple[str, str, int]
"""Customer, product, day of January."""

FIRST: list[Row] = [("C-2", "P-1", 3), ("C-1", "P-1", 5), ("C-1", "P-2", 1)]
SECOND: list[Row] = [("C-1", "P-9", 7)]


def interactions(rows: Sequence[Row]) -> pa.Table:
    at = [datetime(2026, 1, day, tzinfo=UTC) for _, _, day in rows]
    return pa.table(
        {
            "customer_id": pa.array([row[0] for row in rows], pa.string()),
            "product_id": pa.array([row[1] for row in rows], pa.string()),
            "occurred_at": pa.array(at, pa.timestamp("us", "UTC")),
        }
    )


def products(**statuses: str) -> pa.Table:
    return pa.table(
        {
            "product_id": pa.array(list(statuses), pa.string()),
            "status": pa.array(list(statuses.values()), pa.string()),
        }
    )


def customers(*ids: str) -> pa.Table:
    return pa.table({"customer_id": pa.array(ids, pa.string())})


class Home:
    """One tenant's data under a root."""

    def __init__(self, root: Path, disk: Disk | None = None, uid: str = ONE) -> None:
        self.datasets, self.uid = Datasets(root, disk or Disk()), uid
        self.folder = root / uid / "data"

    def take(self, batch: str, rows: Sequence[Row], how: How = "add") -> Dataset:
        accepted = {"interactions": interactions(rows)}
        return self.datasets.accept(self.uid, accepted, {}, batch, {"interactions": how})

    def rows(self, dataset: Dataset | None = None) -> list[Row]:
        """Of the interactions, sorted."""
        found = self.datasets.read(self.uid, "interactions", dataset).to_pylist()
        return sorted((r["customer_id"], r["product_id"], r["occurred_at"].day) for r in found)

    @property
    def now(self) -> Dataset:
        return self.datasets.required(self.uid)

    def files(self, table: str = "interactions") -> list[Path]:
        return sorted((self.folder / table).glob("*.parquet"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is full with three rows, which come one at a time."""
    monkeypatch.setattr(storage.parts, "FILE_ROWS", 3)
    monkeypatch.setattr(storage.parts, "ROW_GROUP", 1)


OLD = [(f"C-{n}", "A", n) for n in range(1, 6)]


class TestAFile:
    def test_is_sorted_by_customer_and_time(self, home: Home) -> None:
        home.take("b", FIRST)

        found = home.datasets.read(ONE, "interactions").to_pylist()
        assert [(row["customer_id"], row["occurred_at"].day) for row in found] == [
            ("C-1", 1),
            ("C-1", 5),
            ("C-2", 3),
        ]

    def test_keeps_the_order_of_rows_of_one_customer_and_time(self, home: Home) -> None:
        home.take("b", [("C-1", f"P-{n}", 1) for n in (7, 3, 9, 1)])

        found = home.datasets.read(ONE, "interactions")["product_id"].to_pylist()
        assert found == ["P-7", "P-3", "P-9", "P-1"]

    def test_says_which_schema_and_version_wrote_it(self, home: Home) -> None:
        home.take("b", FIRST)

        [path] = home.files()
        about = pq.read_metadata(path).metadata
        assert about[b"recfactory.schema"] == str(VERSION).encode()
        assert about[b"recfactory.version"]

    def test_is_plain_parquet_with_plain_columns(self, home: Home) -> None:
        home.take("b", FIRST)

        [path] = home.files()
        assert pq.read_schema(path).types == [
            pa.string(),
            pa.string(),
            pa.timestamp("us", "UTC"),
        ]

    @pytest.mark.usefixtures("small_files")
    def test_is_one_of_several_where_a_delivery_is_large(self, home: Home) -> None:
        rows = [(f"C-{n % 4}", "P-1", n + 1) for n in range(8)]

        home.take("b", rows)

        assert len(home.files()) == 3
        assert home.rows() == sorted(rows)


class TestTheContent:
    @pytest.mark.usefixtures("small_files")
    def test_is_the_same_for_the_same_rows_in_any_order_and_number_of_files(
        self, tmp_path: Path
    ) -> None:
        rows = [(f"C-{n % 4}", "P-1", n + 1) for n in range(8)]
        one, other = Home(tmp_path / "one"), Home(tmp_path / "other")

        one.take("a", rows)
        for place in (0, 4):
            other.take(f"b-{place}", list(reversed(rows))[place : place + 4])

        assert one.now.fingerprint == other.now.fingerprint

    @pytest.mark.parametrize("changed", [FIRST[:2], [*FIRST, FIRST[0]], [*FIRST[:2], SECOND[0]]])
    def test_is_another_for_other_rows(self, tmp_path: Path, changed: list[Row]) -> None:
        one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
        one.take("a", FIRST)
        other.take("a", changed)

        assert one.now.fingerprint != other.now.fingerprint

    def test_counts_once_though_it_comes_as_another_file(self, home: Home) -> None:
        before = home.take("as-csv", FIRST)

        after = home.take("as-parquet", list(reversed(FIRST)))

        assert after.fingerprint == before.fingerprint
        assert home.rows() == sorted(FIRST)
        assert len(home.files()) == 1

    def test_stays_while_any_delivery_of_it_stands(self, home: Home) -> None:
        home.take("as-csv", FIRST)
        home.take("as-parquet", FIRST)
        home.take("as-csv", SECOND)

        assert home.rows() == sorted(FIRST + SECOND)

    def test_of_products_changes_with_a_status(self, home: Home) -> None:
        accept = home.datasets.accept
        one = accept(ONE, {"products": products(A="sellable")}, {}, "b")
        two = accept(ONE, {"products": products(A="discontinued")}, {}, "b")

        assert one.fingerprint != two.fingerprint

    @pytest.mark.usefixtures("small_files")
    def test_of_two_batches_that_begin_alike_is_each_ones_own(self, home: Home) -> None:
        """Or the rows they share would go when one of them is taken again without them."""
        longer = [*OLD, ("C-9", "A", 9)]
        home.take("one", OLD)
        home.take("other", longer)
        assert home.rows() == sorted([*OLD, *longer])

        home.take("other", longer[3:])

        assert home.rows() == sorted([*OLD, *longer[3:]])


class TestHowATableIsTaken:
    def test_products_that_are_added_take_the_place_of_those_with_their_id(
        self, home: Home
    ) -> None:
        accept = home.datasets.accept
        accept(ONE, {"products": products(A="sellable", B="sellable")}, {}, "b-1")

        accept(
            ONE,
            {"products": products(B="discontinued", C="sellable")},
            {},
            "b-2",
            {"products": "add"},
        )

        found = home.datasets.read(ONE, "products")
        assert dict(zip(found["product_id"].to_pylist(), found["status"].to_pylist(), strict=True)) == {
            "A": "sellable",
            "B": "discontinued",
            "C": "sellable",
        }  # fmt: skip
        assert home.datasets.sellable(ONE) == frozenset({"A", "C"})

    def test_what_an_older_version_wrote_may_be_added_to(self, home: Home) -> None:
        """Columns that came later are empty in it."""
        home.datasets.accept(ONE, {"products": products(A="sellable")}, {}, "b")
        newer = products(B="sellable").append_column("cost", pa.array([2.5]))

        home.datasets.accept(ONE, {"products": newer}, {}, "c", {"products": "add"})

        rows = home.datasets.read(ONE, "products").to_pylist()
        assert [(row["product_id"], row["cost"]) for row in rows] == [("A", None), ("B", 2.5)]

    def test_customers_may_be_added_before_there_are_any(self, home: Home) -> None:
        how: dict[str, How] = {"customers": "add"}
        home.datasets.accept(ONE, {"customers": customers("C-2", "C-1")}, {}, "b", how)

        assert home.datasets.read(ONE, "customers")["customer_id"].to_pylist() == ["C-1", "C-2"]

    def test_what_is_added_again_changes_nothing(self, home: Home) -> None:
        how: dict[str, How] = {"customers": "add"}
        first = home.datasets.accept(ONE, {"customers": customers("C-1", "C-2")}, {}, "b")

        again = home.datasets.accept(ONE, {"customers": customers("C-2")}, {}, "c", how)

        assert again == first

    def test_interactions_that_replace_are_the_whole_history(self, home: Home) -> None:
        home.take("b-1", FIRST)
        home.take("b-2", SECOND, "replace")

        assert home.rows() == SECOND
        assert list(home.now.interactions) == ["b-2"]


class TestCompaction:
    BATCHES = 5

    @pytest.fixture
    def many(self, home: Home) -> Home:
        for n in range(self.BATCHES):
            home.take(f"b-{n}", [(f"C-{n}", "P-1", n + 1), ("C-0", "P-2", n + 1)])
        return home

    def test_merges_small_files_and_changes_nothing_that_is_read(self, many: Home) -> None:
        before, rows = many.now, many.rows()

        assert many.datasets.compact(ONE) == self.BATCHES

        assert len(many.now.files) == 1
        assert many.rows() == rows
        assert many.now.fingerprint == before.fingerprint
        assert many.now.interactions == before.interactions
        found = many.datasets.read(ONE, "interactions")
        assert found.column_names == ["customer_id", "product_id", "occurred_at"]
        ids = found["customer_id"].to_pylist()
        assert ids == sorted(ids)

    def test_leaves_who_reads_the_old_dataset_its_files(self, many: Home) -> None:
        before, rows = many.now, many.rows()

        many.datasets.compact(ONE)
        many.datasets.clear(ONE, NOW, DAY)

        assert many.rows(before) == rows

    def test_is_not_done_again_for_nothing(self, many: Home) -> None:
        many.datasets.compact(ONE)

        assert many.datasets.compact(ONE) == 0
        assert many.datasets.compact(OTHER) == 0

    def test_merges_what_was_merged_with_what_came_since(self, many: Home) -> None:
        many.datasets.compact(ONE)
        for n in range(3):
            many.take(f"c-{n}", [(f"D-{n}", "P-1", n + 1)])

        assert many.datasets.compact(ONE) == 4
        assert len(many.rows()) == 2 * self.BATCHES + 3

    def test_leaves_a_batch_that_comes_again_counted_once(self, many: Home) -> None:
        rows = many.rows()
        many.datasets.compact(ONE)
        before = many.now

        many.take("b-1", [("C-0", "P-2", 2), ("C-1", "P-1", 2)])

        assert many.now == before
        assert many.rows() == rows

    def test_leaves_a_batch_that_comes_again_mended_its_place(self, many: Home) -> None:
        rows = many.rows()
        many.datasets.compact(ONE)

        many.take("b-1", [("C-1", "P-1", 2), ("C-0", "P-2", 2), ("C-7", "P-7", 7)])

        assert many.rows() == sorted([*rows, ("C-7", "P-7", 7)])
        assert len(many.now.files) == 2

    def test_leaves_a_history_that_is_replaced_nothing_of_the_old_one(self, many: Home) -> None:
        many.datasets.compact(ONE)

        many.take("b-9", SECOND, "replace")

        assert many.rows() == SECOND

    def test_leaves_large_files_alone(self, many: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("storage.datasets._MERGE_BELOW", 2)

        assert many.datasets.compact(ONE) == 0

    def test_is_one_tenants_alone(self, many: Home, tmp_path: Path) -> None:
        theirs = Home(tmp_path, uid=OTHER)
        theirs.take("b-0", FIRST)
        before = theirs.files()

        many.datasets.compact(ONE)

        assert theirs.files() == before
        assert theirs.rows() == sorted(FIRST)


class TestWhatNoLongerCounts:
    @pytest.fixture
    def replaced(self, home: Home) -> Home:
        for name in ("A", "B"):
            accepted = {"customers": customers(name), "products": products(**{name: "sellable"})}
            home.datasets.accept(ONE, accepted, {}, name)
        home.take("b-1", FIRST)
        home.take("b-1", SECOND)
        return home

    def test_goes_once_it_was_found_so_twice_a_grace_apart(self, replaced: Home) -> None:
        clear = replaced.datasets.clear
        assert clear(ONE, NOW, DAY) == []
        assert clear(ONE, NOW + DAY / 2, DAY) == []

        gone = clear(ONE, NOW + DAY, DAY)

        assert sorted(name.split("/")[0] for name in gone) == [
            "customers",
            "interactions",
            "products",
            "products",  # and which of them could be sold
        ]
        assert replaced.rows() == SECOND
        assert replaced.datasets.sellable(ONE) == frozenset({"B"})
        assert replaced.datasets.read(ONE, "customers")["customer_id"].to_pylist() == ["B"]
        assert clear(ONE, NOW + 9 * DAY, DAY) == []

    def test_stays_where_it_counts_again_meanwhile(self, replaced: Home) -> None:
        replaced.datasets.clear(ONE, NOW, DAY)
        replaced.take("b-1", FIRST)

        replaced.datasets.clear(ONE, NOW + DAY, DAY)

        assert replaced.rows() == sorted(FIRST)


class TestWhatAnOlderVersionWrote:
    """Format 1: one file a table and batch, named by its bytes, with Arrow's own schema in it."""

    @pytest.fixture
    def old(self, home: Home) -> Home:
        def keep(table: str, name: str, rows: pa.Table) -> str:
            path = home.folder / table / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, path, compression="zstd")
            return name

        body: dict[str, Any] = {
            "schema": 1,
            "customers": keep("customers", "c" * 20, customers("C-1", "C-2")),
            "products": keep("products", "d" * 20, products(A="sellable", B="discontinued")),
            "interactions": {
                f"batch-{n}": keep("interactions", str(n) * 20, interactions([(f"C-{n}", "A", n)]))
                for n in range(1, 6)
            },
        }
        (home.folder / "products" / f"{'d' * 20}.sellable.json").write_bytes(b'["A"]')
        (home.folder / "DATASET.json").write_bytes(orjson.dumps(body))
        return home

    def test_is_read(self, old: Home) -> None:
        assert old.rows() == OLD
        assert old.datasets.sellable(ONE) == frozenset({"A"})
        assert old.datasets.read(ONE, "customers")["customer_id"].to_pylist() == ["C-1", "C-2"]

    def test_is_added_to(self, old: Home) -> None:
        old.take("new", [("C-9", "A", 9)])

        assert old.rows() == [*OLD, ("C-9", "A", 9)]
        assert old.datasets.sellable(ONE) == frozenset({"A"})

    def test_is_merged_without_another_fingerprint(self, old: Home) -> None:
        before = old.now.fingerprint

        assert old.datasets.compact(ONE) == 5

        assert old.rows() == OLD
        assert old.now.fingerprint == before

    def test_takes_its_place_when_it_comes_again(self, old: Home) -> None:
        old.datasets.compact(ONE)
        old.take("batch-3", [("C-3", "A", 3), ("C-3", "B", 4)])

        assert old.rows() == sorted([*OLD, ("C-3", "B", 4)])


class TestQuarantine:
    def bad(self, *values: str) -> pa.Table:
        lines = pa.array(range(len(values)), pa.int64())
        return pa.table({"price": list(values), "_line": lines, "_code": ["VALUE_TYPE"] * len(values)})  # fmt: skip

    def kept(self, home: Home) -> list[dict[str, Any]]:
        [path] = (home.folder / "quarantine").iterdir()
        assert path.name == "b-products.parquet"
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows

    def test_takes_rows_as_they_come_and_lines_that_are_none_last(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage.parts, "_QUARANTINED", 2)
        with home.datasets.staged(ONE) as delivery:
            delivery.add("products", products(A="sellable"))
            for value in "uvwxyz":
                delivery.quarantine("products", self.bad(value))
            torn = pa.table({"_line": [9], "_code": ["CSV_SHAPE"], "_text": ["1;2"]})
            delivery.quarantine("products", torn)
            delivery.accept("b")

        rows = self.kept(home)
        assert [row["price"] for row in rows] == [*"uvwxyz", None]
        assert rows[-1] == {"price": None, "_line": 9, "_code": "CSV_SHAPE", "_text": "1;2"}

    def test_of_a_delivery_that_was_mended_is_gone(self, home: Home) -> None:
        accepted = {"products": products(A="sellable")}
        home.datasets.accept(ONE, accepted, {"products": self.bad("x")}, "b")
        assert len(self.kept(home)) == 1

        home.datasets.accept(ONE, accepted, {"products": self.bad()}, "b")

        assert list((home.folder / "quarantine").iterdir()) == []


class TestADeliveryThatIsNotAccepted:
    def names(self, home: Home) -> list[str]:
        return sorted(path.name for path in home.folder.rglob("*") if path.is_file())

    @pytest.mark.usefixtures("small_files")
    def test_leaves_nothing(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(storage.parts, "_QUARANTINED", 1)
        home.take("b", FIRST)
        before = self.names(home)
        aside = pa.table({"_line": [1], "_code": ["X"]})

        with home.datasets.staged(ONE) as delivery:
            delivery.add("interactions", interactions([("C-9", "P", n + 1) for n in range(8)]))
            delivery.quarantine("interactions", aside)
        with pytest.raises(KeyError), home.datasets.staged(ONE) as delivery:
            delivery.add("products", products(A="sellable").drop_columns(["status"]))

        assert self.names(home) == before

    def test_is_not_seen_before_it_is_accepted(self, home: Home) -> None:
        home.take("b", FIRST)
        with home.datasets.staged(ONE) as delivery:
            delivery.add("interactions", interactions(SECOND))
            assert home.rows() == sorted(FIRST)
            delivery.accept("c")
            assert home.rows() == sorted(FIRST + SECOND)


def _import(home: Home) -> None:
    """Several files of a table, quarantine, products that are added, a merged file rewritten."""
    accepted = {
        "products": products(B="sellable"),
        "interactions": interactions([("C-1", "P-1", 1), *[("C-9", "P-1", n + 1) for n in range(4)]]),
    }  # fmt: skip
    aside = pa.table({"_line": [1], "_code": ["VALUE_TYPE"]})
    quarantined = {"interactions": aside}
    home.datasets.accept(ONE, accepted, quarantined, "b-1", {"products": "add"})


def _compact(home: Home) -> None:
    home.datasets.compact(ONE)


def _clear(home: Home) -> None:
    for days in (0, 1):
        home.datasets.clear(ONE, NOW + days * DAY, DAY)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("act", [_import, _compact, _clear], ids=["import", "merge", "clear"])
@pytest.mark.parametrize("error", [Killed, lambda: OSError(errno.ENOSPC, "no space")])
def test_stopped_at_any_step_readers_see_the_old_or_the_new_and_repeating_it_ends_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Home], None],
    error: Callable[[], BaseException],
) -> None:
    monkeypatch.setattr("storage.datasets._MERGE_BELOW", 100)

    def prepared(root: Path) -> Home:
        made = Home(root)
        made.datasets.accept(ONE, {"products": products(A="sellable")}, {}, "b-0")
        for n in range(1, 5):
            made.take(f"b-{n}", [("C-1", "P-1", n)])
        if act is not _compact:
            made.datasets.compact(ONE)
        return made

    def seen(root: Path) -> tuple[Any, ...]:
        made = Home(root)
        return made.rows(), made.datasets.sellable(ONE), made.now.fingerprint

    prepared(tmp_path / "count")
    before = seen(tmp_path / "count")
    counting = FaultyDisk()
    act(Home(tmp_path / "count", counting))
    after = seen(tmp_path / "count")
    for step in range(len(counting.steps)):
        root = tmp_path / str(step)
        prepared(root)
        with pytest.raises((Killed, OSError)):
            act(Home(root, FaultyDisk(step, error)))
        assert seen(root) in (before, after), counting.steps[step]
        act(Home(root))
        assert seen(root) == after, counting.steps[step]
        strays = [plain(path) for path in root.rglob(".tmp-*")]
        assert strays == [], counting.steps[step]
