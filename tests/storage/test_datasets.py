"""Accepted data: all of an import or none of it, each batch once, one tenant's own."""

import errno
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from schema.errors import Problem
from storage.datasets import Datasets
from storage.durable import Disk
from tests.faults.disk import FaultyDisk, Killed
from tests.storage.made import ONE, OTHER


def table(*names: str) -> pa.Table:
    column = pa.array(names, pa.string())
    return pa.table({"name": column, "product_id": column, "status": ["sellable"] * len(names)})


def accept(
    datasets: Datasets, batch: str, interactions: Sequence[str], uid: str = ONE, tag: str = "a"
) -> None:
    accepted = {
        "customers": table(f"customer {tag}"),
        "products": table(f"product {tag}"),
        "interactions": table(*interactions),
    }
    datasets.accept(uid, accepted, {}, batch)


def rows(datasets: Datasets, kind: str, uid: str = ONE) -> list[str]:
    found: list[str] = datasets.read(uid, kind)["name"].to_pylist()
    return found


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path, Disk())


class TestAccept:
    def test_customers_and_products_replace_and_interactions_add(self, datasets: Datasets) -> None:
        accept(datasets, "batch-1", ["first"], tag="old")
        accept(datasets, "batch-2", ["second"], tag="new")
        assert rows(datasets, "customers") == ["customer new"]
        assert rows(datasets, "products") == ["product new"]
        assert rows(datasets, "interactions") == ["first", "second"]

    def test_a_batch_again_counts_once(self, datasets: Datasets, tmp_path: Path) -> None:
        accept(datasets, "batch-1", ["first"])
        before = (tmp_path / ONE / "data" / "DATASET.json").stat().st_ino
        accept(datasets, "batch-1", ["first"])
        assert rows(datasets, "interactions") == ["first"]
        assert (tmp_path / ONE / "data" / "DATASET.json").stat().st_ino == before

    def test_a_batch_again_with_more_rows_accepted_takes_its_own_place(
        self, datasets: Datasets
    ) -> None:
        accept(datasets, "batch-1", ["first"])
        accept(datasets, "batch-2", ["second"])
        accept(datasets, "batch-1", ["first", "repaired"])
        assert sorted(rows(datasets, "interactions")) == ["first", "repaired", "second"]

    def test_one_table_alone_leaves_the_others(self, datasets: Datasets) -> None:
        accept(datasets, "batch-1", ["first"])
        datasets.accept(ONE, {"products": table("only products")}, {}, "batch-2")
        assert rows(datasets, "products") == ["only products"]
        assert rows(datasets, "interactions") == ["first"]

    def test_rows_that_do_not_fit_are_kept_apart_and_never_read(
        self, datasets: Datasets, tmp_path: Path
    ) -> None:
        accepted = {"interactions": table("good")}
        datasets.accept(ONE, accepted, {"interactions": table("bad")}, "batch-1")
        assert rows(datasets, "interactions") == ["good"]
        assert (tmp_path / ONE / "data/quarantine/batch-1-interactions.parquet").exists()

    def test_equal_data_has_an_equal_fingerprint_and_other_data_another(
        self, datasets: Datasets, tmp_path: Path
    ) -> None:
        twin = Datasets(tmp_path / "twin", Disk())
        for home in (datasets, twin):
            accept(home, "batch-1", ["first"])
        one, two = datasets.of(ONE), twin.of(ONE)
        assert one is not None
        assert two is not None
        assert one.fingerprint == two.fingerprint
        accept(twin, "batch-2", ["second"])
        after = twin.of(ONE)
        assert after is not None
        assert after.fingerprint != one.fingerprint

    @pytest.mark.parametrize("error", [Killed, lambda: OSError(errno.ENOSPC, "no space")])
    def test_an_import_stopped_at_any_step_is_taken_whole_or_not_at_all(
        self, tmp_path: Path, error: type[BaseException]
    ) -> None:
        counting = FaultyDisk()
        _second_import(tmp_path / "count", counting)
        for step in range(len(counting.steps)):
            root = tmp_path / str(step)
            with pytest.raises((Killed, OSError)):
                _second_import(root, FaultyDisk(step, error))
            found = Datasets(root, Disk())
            assert (rows(found, "products"), rows(found, "interactions")) in (
                (["product old"], ["first"]),
                (["product new"], ["first", "second"]),
            ), counting.steps[step]
            accept(found, "batch-2", ["second"], tag="new")
            assert rows(found, "interactions") == ["first", "second"]


def _second_import(root: Path, disk: Disk) -> None:
    accept(Datasets(root, Disk()), "batch-1", ["first"], tag="old")
    accept(Datasets(root, disk), "batch-2", ["second"], tag="new")


class TestRead:
    @pytest.mark.parametrize("kind", ["customers", "products", "interactions"])
    def test_says_that_nothing_was_ever_accepted(self, datasets: Datasets, kind: str) -> None:
        with pytest.raises(Problem) as told:
            datasets.read(ONE, kind)
        assert told.value.code == "DATA_MISSING"

    def test_a_damaged_file_is_a_problem_with_a_next_step(
        self, datasets: Datasets, tmp_path: Path
    ) -> None:
        accept(datasets, "batch-1", ["first"])
        (path,) = (tmp_path / ONE / "data" / "interactions").iterdir()
        path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(Problem):
            datasets.read(ONE, "interactions")

    def test_tenants_never_meet(self, datasets: Datasets) -> None:
        accept(datasets, "batch-1", ["mine"])
        accept(datasets, "batch-1", ["theirs"], OTHER)
        assert rows(datasets, "interactions") == ["mine"]
        assert rows(datasets, "interactions", OTHER) == ["theirs"]
