"""What several machines share: sealed whole, pointed to by the highest rank, one tenant's alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schema.config import SharedObjects
from schema.errors import Problem
from storage import durable
from storage.durable import MANIFEST, Disk
from storage.objects import (
    Shared,
    digest,
    folders,
    get_folder,
    news,
    open_objects,
    put_folder,
    remove_folder,
    succeed,
)
from tests.objects import Bucket

ONE, TWO = "t-uid-of-one", "t-uid-of-two"


@contextmanager
def nobody_else(uid: str) -> Iterator[None]:
    yield


def opened(url: str) -> Shared:
    found = open_objects(SharedObjects(url=url), Disk(), nobody_else, follows=False)
    assert isinstance(found, Shared)
    return found


@pytest.fixture(params=["s3", "a shared path"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    """Both keepers of the promise."""
    if request.param == "s3":
        return opened(request.getfixturevalue("bucket").url)
    return opened(f"file://{tmp_path / 'shared'}")


def sealed(folder: Path, text: bytes = b"lists") -> str:
    """A sealed folder; returns where it is shared."""
    writers = {name: durable.content(text + name.encode()) for name in ("a", "b")}
    durable.sealed(Disk(), folder, {}, writers)
    manifest = durable.manifest_bytes(folder)
    assert manifest is not None
    return f"editions/{folder.name}-{digest(manifest)}"


class TestASealedFolder:
    def test_arrives_byte_for_byte(self, objects: Shared, tmp_path: Path) -> None:
        place = sealed(tmp_path / "home" / "editions" / "e000001")
        put_folder(objects, ONE, place, tmp_path / "home" / "editions" / "e000001")
        goal = tmp_path / "other" / "editions" / "e000001"
        get_folder(objects, Disk(), ONE, place, goal)

        assert {path.name: path.read_bytes() for path in goal.iterdir()} == {
            path.name: path.read_bytes()
            for path in (tmp_path / "home" / "editions" / "e000001").iterdir()
        }

    def test_is_put_once(
        self, objects: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        place = sealed(folder)
        put_folder(objects, ONE, place, folder)

        monkeypatch.setattr(Shared, "put", None)  # would fail if it were called
        put_folder(objects, ONE, place, folder)

    def test_is_none_while_its_manifest_is_not_there(self, objects: Shared, tmp_path: Path) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        place = sealed(folder)
        objects.put(ONE, f"{place}/a", folder / "a")  # and then whoever put it died
        assert folders(objects, ONE, "editions") == []

        put_folder(objects, ONE, place, folder)
        assert folders(objects, ONE, "editions") == [place.removeprefix("editions/")]

    def test_is_put_with_its_manifest_last(
        self, objects: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        put: list[str] = []
        monkeypatch.setattr(Shared, "put", lambda self, uid, place, file: put.append(file.name))
        put_folder(objects, ONE, sealed(folder), folder)
        assert put[-1] == MANIFEST

    @pytest.mark.parametrize("harm", ["changed", "cut short", "missing"])
    def test_that_was_harmed_is_told_and_leaves_nothing(
        self, objects: Shared, tmp_path: Path, harm: str
    ) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        place = sealed(folder)
        put_folder(objects, ONE, place, folder)
        if harm == "missing":
            objects.remove(ONE, f"{place}/b")
        else:
            (tmp_path / "bad").write_bytes(b"LISTSb" if harm == "changed" else b"li")
            objects.put(ONE, f"{place}/b", tmp_path / "bad")
        goal = tmp_path / "other" / "editions" / "e000001"

        with pytest.raises(Problem) as told:
            get_folder(objects, Disk(), ONE, place, goal)

        assert told.value.code == ("OBJECT_MISSING" if harm == "missing" else "SEALED_BROKEN")
        assert [*goal.parent.iterdir()] == []

    def test_of_a_dead_attempt_is_replaced_by_the_one_that_counts(
        self, objects: Shared, tmp_path: Path
    ) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        place = sealed(folder)
        put_folder(objects, ONE, place, folder)
        goal = tmp_path / "other" / "editions" / "e000001"
        sealed(goal, b"what a night left that died")

        get_folder(objects, Disk(), ONE, place, goal)
        assert (goal / "a").read_bytes() == b"listsa"

    def test_that_is_removed_is_gone_of_its_tenant_alone(
        self, objects: Shared, tmp_path: Path
    ) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        place = sealed(folder)
        for uid in (ONE, TWO):
            put_folder(objects, uid, place, folder)

        remove_folder(objects, ONE, place)
        assert objects.files(ONE, "editions") == {}
        assert len(objects.files(TWO, "editions")) == 3


class TestAPointer:
    def test_says_nothing_before_it_was_set(self, objects: Shared) -> None:
        assert news(objects, ONE, "CURRENT", None) is None

    def test_says_the_last_thing(self, objects: Shared) -> None:
        objects.point(ONE, "CURRENT", "000001", b"one")
        objects.point(ONE, "CURRENT", "000002", b"two")

        assert news(objects, ONE, "CURRENT", b"one") == b"two"
        assert news(objects, ONE, "CURRENT", b"two") is None  # it is known already

    def test_is_not_moved_by_who_wakes_up_late(self, objects: Shared) -> None:
        objects.point(ONE, "CURRENT", "000002", b"two")
        objects.point(ONE, "CURRENT", "000001", b"one")

        assert news(objects, ONE, "CURRENT", None) == b"two"

    def test_is_one_object_in_the_end(self, objects: Shared) -> None:
        for rank in range(5):
            objects.point(ONE, "CURRENT", f"{rank:06d}", b"%d" % rank)
        assert len(objects._under(f"{objects.base}/pointers")) == 1

    def test_of_everybody_is_listed_at_once(self, objects: Shared) -> None:
        for uid in (ONE, TWO):
            objects.point(uid, "CURRENT", "000001", b"one")
            objects.point(uid, "CURRENT", "000002", uid.encode())

        found = objects.pointers()
        assert found == {(uid, "CURRENT"): f"000002-{digest(uid.encode())}" for uid in (ONE, TWO)}

    def test_that_is_replaced_while_it_is_read_is_looked_for_again(
        self, objects: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        objects.point(ONE, "CURRENT", "000001", b"one")
        told = Shared.told

        def late(self: Shared, uid: str, pointer: str, name: str) -> bytes | None:
            objects.point(ONE, "CURRENT", "000002", b"two")
            return told(self, uid, pointer, name)

        monkeypatch.setattr(Shared, "told", late)
        assert news(objects, ONE, "CURRENT", None) == b"two"

    def test_follows_only_upon_what_is_known(self, objects: Shared) -> None:
        succeed(objects, ONE, "DATASET", None, b"one")
        succeed(objects, ONE, "DATASET", b"one", b"two")

        with pytest.raises(Problem) as told:  # another machine knew only of the first
            succeed(objects, ONE, "DATASET", b"one", b"another two")

        assert told.value.code == "OBJECTS_MOVED"
        assert news(objects, ONE, "DATASET", None) == b"two"

    def test_whose_putting_failed_is_not_set(
        self, objects: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        objects.point(ONE, "CURRENT", "000001", b"one")
        put = Shared._put

        def unknown(self: Shared, path: str, pieces: Callable[[], Iterator[bytes]]) -> None:
            put(self, path, pieces)
            raise Problem("no answer came", "try again", "OBJECTS_AWAY")

        monkeypatch.setattr(Shared, "_put", unknown)
        with pytest.raises(Problem, match="no answer"):
            objects.point(ONE, "CURRENT", "000002", b"two")
        assert news(objects, ONE, "CURRENT", None) == b"one"


class TestATenant:
    def test_that_leaves_leaves_nothing(self, objects: Shared, tmp_path: Path) -> None:
        folder = tmp_path / "home" / "editions" / "e000001"
        place = sealed(folder)
        for uid in (ONE, TWO):
            put_folder(objects, uid, place, folder)
            objects.point(uid, "CURRENT", "000001", b"one")

        objects.forget(ONE)

        left = [*objects._under(objects.base)]
        assert left
        assert not [key for key in left if ONE in key]


class TestStorageThatIsAway:
    def test_is_told_without_address_and_credentials(self, bucket: Bucket) -> None:
        objects = opened(bucket.url.replace(str(bucket.port), "9"))

        with pytest.raises(Problem) as told:
            objects.newest(ONE, "CURRENT")

        assert told.value.code == "OBJECTS_AWAY"
        assert "hunter2" not in str(told.value)
        assert "a-key" not in str(told.value)
        assert "NETWORK_CONNECTION" in str(told.value)
