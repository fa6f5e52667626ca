"""Two homes over one shared storage: what one publishes or accepts, the other serves and reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schema.config import SharedObjects
from schema.errors import Problem
from schema.records import entries
from storage import objects as shared
from storage.datasets import Datasets
from storage.durable import Disk
from storage.editions import LISTS, Current, Editions
from storage.erased import Erased
from storage.models import Models
from storage.objects import Objects, open_objects
from tests.storage.made import AT, ONE, OTHER, lists, model, publish, seal
from tests.world import tables

UIDS = (ONE, OTHER)


@contextmanager
def nobody_else(uid: str) -> Iterator[None]:
    yield


@dataclass(frozen=True, slots=True)
class Machine:
    """One home of its own."""

    root: Path
    objects: Objects
    editions: Editions
    models: Models
    datasets: Datasets


def machine(root: Path, url: str, *, follows: bool = False) -> Machine:
    objects = open_objects(SharedObjects(url=url), Disk(), nobody_else, follows=follows)
    stores = (kind(root, Disk(), objects) for kind in (Editions, Models, Datasets))
    return Machine(root, objects, *stores)  # type: ignore[arg-type]


@pytest.fixture(params=["s3", "a shared path"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("bucket").url)
    return f"file://{tmp_path / 'shared'}"


@pytest.fixture
def a(url: str, tmp_path: Path) -> Machine:
    return machine(tmp_path / "a", url)


@pytest.fixture
def b(url: str, tmp_path: Path) -> Machine:
    return machine(tmp_path / "b", url)


def code_of(act: Any, *args: Any, **named: Any) -> str:
    with pytest.raises(Problem) as told:
        act(*args, **named)
    return told.value.code


def served(at: Machine, uid: str = ONE) -> tuple[int, list[int]]:
    """The edition a machine serves, and the list of C-2 in it."""
    current = at.editions.current(uid)
    assert current is not None
    edition = at.editions.open(uid, current.edition, current.manifest_sha256)
    try:
        return current.edition, [line.product for line in entries(edition.lists.of("C-2") or b"")]
    finally:
        edition.lists.close()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def accept(at: Machine, uid: str = ONE, batch: str = "b1", seed: int = 7) -> None:
    at.datasets.accept(uid, checked(uid, seed), {}, batch)


def checked(uid: str, seed: int = 7) -> dict[str, pa.Table]:
    """Tables as validation leaves them."""
    made = tables(uid, customers=5, products=8, seed=seed)
    status = pa.array(["sellable"] * len(made["products"]))
    return {**made, "products": made["products"].append_column("status", status)}


class TestAnEdition:
    def test_of_one_machine_is_served_by_the_other_byte_for_byte(
        self, a: Machine, b: Machine
    ) -> None:
        publish(a.editions)
        assert served(b) == served(a) == (1, [1, 2, 3])
        place = Path(ONE) / "editions" / "e000001"
        assert files(b.root / place) == files(a.root / place)

    def test_is_one_tenants_alone(self, a: Machine, b: Machine) -> None:
        for uid in UIDS:
            number, sha = seal(a.editions, uid, made=lists(tag=uid))
            a.editions.point(uid, Current(number, sha, 1, AT))
        for uid in UIDS:
            served(b, uid)
            held = b"".join(
                path.read_bytes() for path in (b.root / uid).rglob("*") if path.is_file()
            )
            other = {ONE: OTHER, OTHER: ONE}[uid]
            assert uid.encode() in held
            assert other.encode() not in held

    def test_is_followed_by_the_next_one_of_the_other_machine(self, a: Machine, b: Machine) -> None:
        publish(a.editions)
        publish(b.editions, taken=1, model=2, fence=2)
        assert served(a) == served(b) == (2, [1, 2, 3])

    def test_may_be_published_by_another_machine_than_the_one_that_made_it(
        self, a: Machine, b: Machine
    ) -> None:
        number, sha = seal(a.editions)
        b.editions.point(ONE, Current(number, sha, 1, AT))
        assert served(a)[0] == served(b)[0] == 1

    def test_is_not_published_over_a_newer_fence_of_the_other_machine(
        self, a: Machine, b: Machine
    ) -> None:
        old = publish(a.editions, fence=1)
        publish(b.editions, taken=1, fence=3)

        late = replace(old, fence=2)
        assert code_of(a.editions.point, ONE, late) == "FENCED"
        assert served(a)[0] == served(b)[0] == 2

    def test_of_a_machine_that_died_does_not_hide_the_published_one_of_its_number(
        self, a: Machine, b: Machine
    ) -> None:
        seal(a.editions, made=lists(("C-9",)))  # and then it dies
        publish(b.editions)
        assert served(a) == served(b) == (1, [1, 2, 3])

    def test_that_is_removed_is_removed_everywhere(self, a: Machine, b: Machine) -> None:
        publish(a.editions)
        served(b)
        publish(a.editions, taken=1, model=2, fence=2)
        a.editions.discard(ONE, 1)

        served(b)
        assert (a.editions.numbers(ONE), b.editions.numbers(ONE)) == ([2], [2])
        assert not (b.root / ONE / "editions" / "e000001").exists()

    def test_that_the_other_machine_serves_is_not_removed(self, a: Machine, b: Machine) -> None:
        publish(a.editions)
        a.editions.current(ONE)
        publish(b.editions, taken=1, fence=2)
        a.editions.discard(ONE, 2)
        assert served(a)[0] == 2

    def test_with_a_missing_object_is_told_and_what_was_served_stays(
        self, a: Machine, b: Machine
    ) -> None:
        publish(a.editions)
        held = b.editions.open(ONE, *served_by(b))
        publish(a.editions, taken=1, model=2, fence=2)
        [lost] = [name for name in a.objects.files(ONE, "editions") if _is_lists(name, 2)]
        a.objects.remove(ONE, f"editions/{lost}")

        current = b.editions.current(ONE)
        assert current is not None
        assert code_of(b.editions.open, ONE, current.edition) == "OBJECT_MISSING"
        assert held.lists.of("C-2") is not None
        held.lists.close()


def served_by(at: Machine) -> tuple[int, str]:
    current = at.editions.current(ONE)
    assert current is not None
    return current.edition, current.manifest_sha256


def _is_lists(name: str, number: int) -> bool:
    return name.startswith(f"e{number:06d}-") and name.endswith(LISTS)


class TestStorageThatFailsHalfWay:
    def test_leaves_the_old_edition_whole_at_every_put_and_heals_when_repeated(
        self, a: Machine, b: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(a.editions)
        put, done, cuts = shared.Shared._put, 0, 0

        def failing(self: Any, path: str, pieces: Any) -> None:
            nonlocal done
            if done:  # one more object gets through at every attempt
                raise Problem("away", "see to it", code="OBJECTS_AWAY")
            put(self, path, pieces)
            done += 1

        monkeypatch.setattr(shared.Shared, "_put", failing)
        while True:
            done = 0
            try:
                publish(a.editions, taken=1, model=2, fence=2)
                break
            except Problem as problem:
                assert problem.code == "OBJECTS_AWAY"
            assert served(b) == (1, [1, 2, 3])
            cuts += 1
        assert cuts == 4  # after lists, products, segments and the manifest; the pointer is last
        assert served(a) == served(b) == (2, [1, 2, 3])


class TestAModel:
    def test_of_one_machine_is_loaded_by_the_other(self, a: Machine, b: Machine) -> None:
        made = {uid: model(seed) for seed, uid in enumerate(UIDS)}
        for uid, one in made.items():
            assert a.models.seal(uid, 0, one, lambda _: False) == 1
        for uid, one in made.items():
            assert (b.models.load(uid, 1).factors == one.factors).all()
        assert b.models.numbers(ONE) == [1]

    def test_of_the_newer_fence_counts_where_two_machines_gave_one_number(
        self, a: Machine, b: Machine, url: str, tmp_path: Path
    ) -> None:
        b.models.seal(ONE, 0, model(2), lambda _: False, fence=6)
        a.models.seal(ONE, 0, model(1), lambda _: False, fence=5)  # it woke up late

        third = machine(tmp_path / "c", url)
        assert (third.models.load(ONE, 1).factors == model(2).factors).all()

    def test_that_is_discarded_is_gone_everywhere(self, a: Machine, b: Machine) -> None:
        a.models.seal(ONE, 0, model(), lambda _: False)
        b.models.discard(ONE, 1)
        assert a.objects.files(ONE, "models") == {}


class TestData:
    def test_accepted_by_one_machine_are_read_by_the_other(self, a: Machine, b: Machine) -> None:
        for uid in UIDS:
            accept(a, uid)
        for uid in UIDS:
            for table in ("customers", "products", "interactions"):
                assert b.datasets.read(uid, table).equals(a.datasets.read(uid, table))
            here = b.datasets.of(uid)
            assert here == a.datasets.of(uid)

    def test_accepted_by_both_in_turn_all_count(self, a: Machine, b: Machine) -> None:
        accept(a)
        accept(b, batch="b2", seed=8)
        counts = a.datasets.required(ONE)
        assert list(counts.interactions) == ["b1", "b2"]
        assert len(a.datasets.read(ONE, "interactions")) == len(
            b.datasets.read(ONE, "interactions")
        )

    def test_accepted_by_both_at_once_are_refused_to_one(
        self, a: Machine, b: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accept(a)
        with b.datasets.staged(ONE) as staged:
            staged.add("interactions", tables(ONE, customers=5, seed=9)["interactions"])
            accept(a, batch="b2", seed=8)  # while b's is being checked
            assert code_of(staged.accept, "b3") == "OBJECTS_MOVED"

        assert list(b.datasets.required(ONE).interactions) == ["b1", "b2"]

    def test_that_a_server_needs_come_with_the_pointer(
        self, a: Machine, url: str, tmp_path: Path
    ) -> None:
        accept(a)
        server = machine(tmp_path / "server", url, follows=True)
        assert server.datasets.sellable(ONE) is None  # nothing was followed yet

        server.datasets.pull(ONE)
        assert server.datasets.sellable(ONE) == a.datasets.sellable(ONE)
        held = [path.name for path in server.root.rglob("*.parquet")]
        assert held == []  # and no customer with it

    def test_changed_on_the_way_are_told(self, a: Machine, b: Machine, tmp_path: Path) -> None:
        accept(a)
        [name] = [name for name in a.objects.files(ONE, "data") if name.startswith("customers/")]
        pq.write_table(tables(OTHER)["customers"], tmp_path / "bad")  # whole, and not what it was
        a.objects.put(ONE, f"data/{name}", tmp_path / "bad")
        assert code_of(b.datasets.read, ONE, "customers") == "DATA_BROKEN"

    def test_that_no_longer_count_are_removed_everywhere_after_the_grace(
        self, a: Machine, b: Machine
    ) -> None:
        accept(a)
        before = {*a.objects.files(ONE, "data")}
        b.datasets.read(ONE, "customers")
        made = tables(ONE, customers=6, products=8)["customers"]
        a.datasets.accept(ONE, {"customers": made}, {}, "b2")
        grace = timedelta(hours=6)
        assert a.datasets.clear(ONE, AT, grace) == []
        [gone] = a.datasets.clear(ONE, AT + grace, grace)

        assert gone in before
        assert gone not in a.objects.files(ONE, "data")
        more = tables(ONE, customers=5, products=8, seed=9)["interactions"]
        a.datasets.accept(ONE, {"interactions": more}, {}, "b3")
        b.datasets.required(ONE)
        assert not (b.root / ONE / "data" / gone).exists()

    def test_of_somebody_erased_go_from_the_storage_and_from_every_home(
        self, a: Machine, b: Machine, tmp_path: Path
    ) -> None:
        for uid in UIDS:
            accept(a, uid)
            for table in ("customers", "interactions"):
                b.datasets.read(uid, table)
        marks = Erased(tmp_path / "erased", Disk(), b"s" * 32)
        for uid in UIDS:
            marks.add(uid, [marks.of(uid).of("C-0001")] if uid == ONE else [])
        a.datasets.forget(ONE, marks.of(ONE), remove=True)
        b.datasets.required(ONE)

        assert holding(a.root / ONE) == holding(b.root / ONE) == 0
        assert (a.objects.files(ONE, "data").keys() - {*_names(a.root / ONE / "data")}) == set()
        assert holding(b.root / OTHER) == 2  # the other tenant's customer of the same id


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def holding(folder: Path, customer: str = "C-0001") -> int:
    """Parquet files that have rows of a customer."""
    found = 0
    for path in folder.rglob("*.parquet"):
        rows = pq.read_table(path)
        if "customer_id" in rows.column_names:
            found += customer in rows["customer_id"].cast(pa.string()).to_pylist()
    return found


class TestAHomeThatWasAlone:
    def test_shares_its_data_with_the_next_upkeep(
        self, url: str, tmp_path: Path, b: Machine
    ) -> None:
        alone = Datasets(tmp_path / "a", Disk())
        alone.accept(ONE, checked(ONE), {}, "b1")
        a = machine(tmp_path / "a", url)
        assert b.datasets.of(ONE) is None

        a.datasets.compact(ONE)
        assert b.datasets.read(ONE, "customers").equals(alone.read(ONE, "customers"))


class TestWhoWasErased:
    def erased(self, at: Machine) -> Erased:
        return Erased(at.root / "erased", Disk(), b"s" * 32, at.objects)

    def test_is_a_stranger_on_every_machine_and_of_one_tenant_alone(
        self, a: Machine, b: Machine
    ) -> None:
        here, there = self.erased(a), self.erased(b)
        here.add(ONE, [here.of(ONE).of("C-1")])
        there.add(ONE, [there.of(ONE).of("C-2")])

        for marks in (here.of(ONE), there.of(ONE)):
            assert [marks.holds(f"C-{n}") for n in (1, 2, 3)] == [True, True, False]
        assert not there.of(OTHER).marks

    def test_may_come_back_on_every_machine(self, a: Machine, b: Machine) -> None:
        here, there = self.erased(a), self.erased(b)
        mark = here.of(ONE).of("C-1")
        here.add(ONE, [mark])
        there.remove(ONE, mark)
        assert not here.of(ONE).marks
        assert not there.of(ONE).marks

    def test_before_the_home_shared_anything_stays_so(
        self, a: Machine, b: Machine, tmp_path: Path
    ) -> None:
        alone = Erased(a.root / "erased", Disk(), b"s" * 32)
        alone.add(ONE, [alone.of(ONE).of("C-1")])
        here = self.erased(a)
        here.add(ONE, [here.of(ONE).of("C-2")])
        assert len(self.erased(b).of(ONE).marks) == len(here.of(ONE).marks) == 2

    def test_is_hidden_here_though_the_others_cannot_be_told(
        self, a: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = self.erased(a)
        mark = here.of(ONE).of("C-1")
        with monkeypatch.context() as patch:
            patch.setattr(shared.Shared, "_put", _away)
            assert code_of(here.add, ONE, [mark]) == "OBJECTS_AWAY"
        assert here.of(ONE).marks == {mark}
        here.add(ONE, [mark])  # again, as they were told
        assert a.objects.newest(ONE, "ERASED") is not None


def _away(*_: Any) -> None:
    raise Problem("away", "see to it", code="OBJECTS_AWAY")
