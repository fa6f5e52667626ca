"""What re-ranking needs is kept with the edition, and comes back bit by bit."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from schema.errors import Problem
from schema.records import CELL, Grounds, entries
from storage.durable import MANIFEST, Disk, described
from storage.editions import GROUNDS, RECORD, Editions
from storage.grounds import mapped, packed
from tests.storage.made import ONE, lists, publish, seal


def grounds(customers: int = 3, products: int = 4, factors: int = 2) -> Grounds:
    rng = np.random.default_rng(0)
    cells = np.zeros(2 * customers, np.dtype(list(CELL)))
    cells["weight"] = rng.random(len(cells))
    floats = {
        name: np.float32(n / 7)
        for n, name in enumerate(
            ("als", "als_again", "neighbours", "category", "average", "alpha", "asked")
        )
    }
    return Grounds(
        customers=np.array([f"C-{n}".encode() for n in range(customers)], np.bytes_),
        starts=np.append(np.arange(customers + 1) * 2, 2 * customers),
        cells=cells,
        bias=rng.random(customers + 1).astype(np.float32),
        segment=np.zeros(customers + 1, np.int32),
        factors=rng.random((products, factors)).astype(np.float32),
        gram=np.eye(factors, dtype=np.float32),
        appeal=rng.random((1, products)).astype(np.float32),
        liked=np.zeros((1, products), bool),
        group=np.zeros(products, np.int32),
        usual=np.empty(0, np.float32),
        compared=np.arange(customers, dtype=np.int32),
        compared_starts=np.zeros(customers + 1, np.int64),
        compared_products=np.empty(0, np.int32),
        compared_shares=np.empty(0, np.float32),
        **floats,
    )


def same(one: Grounds, other: Grounds) -> bool:
    names = [field.name for field in fields(Grounds)]
    return all(
        np.asarray(getattr(one, name)).dtype == np.asarray(getattr(other, name)).dtype
        and np.array_equal(getattr(one, name), getattr(other, name))
        for name in names
    )


def record(path: Path, made: Grounds) -> None:
    """As versions 0.3 and 0.4 wrote it."""
    values = {field.name: np.asarray(getattr(made, field.name)) for field in fields(Grounds)}
    shape = [(name, value.dtype, value.shape) for name, value in values.items()]
    found = np.zeros(1, np.dtype(shape, align=True))
    for name, value in values.items():
        found[name][0] = value
    np.save(path, found, allow_pickle=False)


@pytest.fixture
def editions(tmp_path: Path) -> Editions:
    return Editions(tmp_path, Disk())


class TestTheFile:
    @pytest.mark.parametrize("size", [(3, 4, 2), (3, 4, 0), (0, 4, 2), (0, 0, 0)])
    def test_comes_back_as_it_was_made(self, size: tuple[int, int, int], tmp_path: Path) -> None:
        (tmp_path / "g.bin").write_bytes(packed(grounds(*size)))
        assert same(mapped(tmp_path / "g.bin"), grounds(*size))

    def test_is_mapped_and_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "g.bin").write_bytes(packed(grounds()))
        found = mapped(tmp_path / "g.bin")
        for array in (found.factors, found.cells, found.customers):
            assert not array.flags.owndata
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[1]

    def test_outlives_its_name(self, tmp_path: Path) -> None:
        """An edition may be removed while somebody still ranks by it."""
        (tmp_path / "g.bin").write_bytes(packed(grounds()))
        found = mapped(tmp_path / "g.bin")
        (tmp_path / "g.bin").unlink()
        assert same(found, grounds())

    def test_of_the_same_grounds_has_the_same_bytes(self) -> None:
        assert packed(grounds()) == packed(grounds())

    def test_of_versions_3_and_4_is_read_as_well(self, tmp_path: Path) -> None:
        path = tmp_path / "grounds.npy"
        record(path, grounds())
        assert same(mapped(path), grounds())

    @pytest.mark.parametrize(("told", "other"), [(b'"asked":', b'"other":'), (b"{", b"x")])
    def test_of_another_version_is_refused(self, told: bytes, other: bytes, tmp_path: Path) -> None:
        (tmp_path / "g.bin").write_bytes(packed(grounds()).replace(told, other, 1))
        with pytest.raises(Problem) as refused:
            mapped(tmp_path / "g.bin")
        assert refused.value.code == "GROUNDS_VERSION"


class TestAnEdition:
    def test_brings_its_grounds(self, editions: Editions) -> None:
        number, sha = seal(editions, made=replace(lists(), grounds=grounds()))
        edition = editions.open(ONE, number, sha)
        assert edition.grounds is not None
        assert same(edition.grounds.open(), grounds())
        edition.lists.close()

    def test_of_versions_3_and_4_brings_its_record(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        number, _ = seal(editions, made=replace(lists(), grounds=grounds()))
        folder = tmp_path / ONE / "editions" / "e000001"
        (folder / GROUNDS).unlink()
        record(folder / RECORD, grounds())
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        del manifest["files"][GROUNDS]
        manifest["files"][RECORD] = described(folder / RECORD)
        (folder / MANIFEST).write_bytes(orjson.dumps(manifest))

        edition = editions.open(ONE, number)
        assert edition.grounds is not None
        assert same(edition.grounds.open(), grounds())
        edition.lists.close()

    def test_without_any_has_none(self, editions: Editions) -> None:
        publish(editions)
        edition = editions.open(ONE, 1)
        assert edition.grounds is None
        edition.lists.close()

    def test_is_told_apart_by_them(self, editions: Editions) -> None:
        other = replace(grounds(), asked=np.float32(0.9))
        hashes = [
            seal(editions, uid, made=replace(lists(), grounds=made))[1]
            for uid, made in (("t-1", grounds()), ("t-2", other), ("t-3", None))
        ]
        assert len(set(hashes)) == 3

    def test_opens_though_they_changed_but_they_do_not(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        """The lists are still good; a lookup need not read what only a call needs."""
        number, sha = seal(editions, made=replace(lists(), grounds=grounds()))
        path = tmp_path / ONE / "editions" / "e000001" / GROUNDS
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

        edition = editions.open(ONE, number, sha)

        assert [entry.product for entry in entries(edition.lists.of("C-2") or b"")] == [1, 2, 3]
        assert edition.grounds is not None
        with pytest.raises(Problem) as refused:
            edition.grounds.open()
        assert refused.value.code == "SEALED_BROKEN"
        edition.lists.close()
        with pytest.raises(Problem):
            editions.check(ONE, number, sha)

    def test_that_was_removed_meanwhile_says_so(self, editions: Editions) -> None:
        number, sha = seal(editions, made=replace(lists(), grounds=grounds()))
        edition = editions.open(ONE, number, sha)
        editions.discard(ONE, number)
        assert edition.grounds is not None
        with pytest.raises(Problem) as refused:
            edition.grounds.open()
        assert refused.value.code == "SEALED_BROKEN"
        edition.lists.close()
