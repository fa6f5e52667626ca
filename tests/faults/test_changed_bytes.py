"""A08, A11: bytes that changed on disk are found before they are served, and editions never change."""

import logging
import random
from pathlib import Path

import orjson
import pytest

from schema.errors import Problem
from schema.names import Mode
from schema.records import Tenant
from serving.shelf import Shelved
from storage import durable
from storage.durable import Disk
from storage.editions import GROUNDS, Editions
from tenants.answer import Ask, answer
from tests.faults.conftest import Tell
from tests.faults.homes import Homes, second
from tests.faults.size import SEED, size
from tests.scenarios.tree import untouched
from tests.serving.test_shelf import beside
from tests.storage.made import ONE, lists, publish, seal
from tests.world import ACME, World

FLIPS = size(60, 1_000)


def answers(found: Shelved | None) -> dict[str, bytes]:
    """What everybody is told, byte by byte; a stranger too."""
    assert found is not None
    told = {}
    for customer in (*(f"C-{n:04}" for n in range(16)), "stranger"):
        own = found.own(customer)
        body = answer(ACME, customer, Mode.ON, found.shown, own, Ask(), stale=False)
        told[customer] = repr(body).encode()
    return told


def flip(path: Path, rng: random.Random) -> str:
    """Turn one bit of a file over; says which."""
    data = bytearray(path.read_bytes())
    at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
    data[at] ^= bit
    fresh = path.with_name("fresh")
    fresh.write_bytes(data)
    fresh.rename(path)
    return f"{path.name}, byte {at}, bit {bit}"


class Flips:
    """Flips of a bit in what was just published, while a server holds the edition before."""

    def __init__(self, homes: Homes) -> None:
        self.wrong: list[str] = []
        self.fell_back = self.alerts = self.flips = 0
        self._homes = homes

    def of(self, flips: int, seed: int, caplog: pytest.LogCaptureFixture) -> "Flips":
        rng = random.Random(seed)
        with self._homes.copy() as world:
            tenant = world.tenant(ACME)
            folder = world.config.home / "tenants" / tenant.uid
            self._first = (folder / "CURRENT").read_bytes()
            assert second(world)[ACME]
            new, pointer = folder / "editions" / "e000002", folder / "CURRENT"
            self._new = _fresh(world, tenant)
            files = [pointer, *sorted(path for path in new.iterdir() if path.name != GROUNDS)]
            for _ in range(flips):
                path = rng.choice(files)
                self._one(world, path, rng, caplog)
        return self

    def _one(
        self, world: World, path: Path, rng: random.Random, caplog: pytest.LogCaptureFixture
    ) -> None:
        pointer = path if path.name == "CURRENT" else path.parents[2] / "CURRENT"
        sound, sound_pointer = path.read_bytes(), pointer.read_bytes()
        shelf = beside(world)
        try:
            _swap(pointer, self._first)
            before = answers(shelf.settled())
            _swap(pointer, sound_pointer)
            place = flip(path, rng)
            caplog.clear()
            with caplog.at_level(logging.ERROR, "recfactory.serving"):
                after = answers(shelf.settled())
            self.flips += 1
            self.alerts += bool(caplog.records)
            if after == before:
                self.fell_back += 1
            else:
                self.wrong.append(place if after != self._new else f"{place}: not seen")
        finally:
            shelf.close()
            _swap(path, sound)
            _swap(pointer, sound_pointer)


def _fresh(world: World, tenant: Tenant) -> dict[str, bytes]:
    shelf = beside(world)
    try:
        return answers(shelf.settled())
    finally:
        shelf.close()


def _swap(path: Path, body: bytes) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(body)
    fresh.rename(path)


class TestAChangedBit:
    def test_in_lists_manifest_or_pointer_is_never_served(
        self, homes: Homes, tell: Tell, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = Flips(homes).of(FLIPS, SEED, caplog)
        tell(
            "A08",
            flips=found.flips,
            served_wrong=len(found.wrong),
            fell_back=found.fell_back,
            alerts=found.alerts,
            seed=SEED,
        )

        assert found.wrong == []
        assert (found.fell_back, found.alerts) == (FLIPS, FLIPS)

    def test_would_be_seen_to_be_served_where_nobody_checks(
        self, homes: Homes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(durable, "check_bytes", lambda *_: None)
        assert Flips(homes).of(30, SEED, caplog).wrong

    def test_of_a_pointer_is_found_wherever_it_is(self, tmp_path: Path) -> None:
        editions = Editions(tmp_path, Disk())
        publish(editions)
        path = tmp_path / ONE / "CURRENT"
        data = path.read_bytes()
        unseen = []
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            try:
                editions.current(ONE)
            except Problem:
                continue
            unseen.append(bit)
        assert unseen == []

    def test_is_not_looked_for_in_a_pointer_of_an_older_version(self, tmp_path: Path) -> None:
        editions = Editions(tmp_path, Disk())
        now = publish(editions)
        path = tmp_path / ONE / "CURRENT"
        body = orjson.loads(path.read_bytes())
        del body["sum"]
        path.write_bytes(orjson.dumps(body))
        assert editions.current(ONE) == now

    def test_in_what_lists_were_ranked_on_is_found_when_it_is_opened(self, homes: Homes) -> None:
        rng = random.Random(SEED)
        with homes.copy() as world:
            uid = world.tenant(ACME).uid
            path = world.config.home / "tenants" / uid / "editions" / "e000001" / GROUNDS
            sound = path.read_bytes()
            for _ in range(10):
                flip(path, rng)
                edition = world.stores.editions.open(uid, 1)
                assert edition.grounds is not None
                with pytest.raises(Problem):
                    edition.grounds.open()
                edition.lists.close()
                _swap(path, sound)


class TestAPublishedEdition:
    def test_never_changes_and_its_name_is_refused_to_other_bytes(
        self, tmp_path: Path, tell: Tell
    ) -> None:
        refused, changed = again(tmp_path)
        tell("A11", refused=refused, bytes_changed=changed)

        assert (refused, changed) == (1, 0)

    def test_is_not_replaced_by_the_next_one_of_its_number(self, tmp_path: Path) -> None:
        editions = Editions(tmp_path, Disk())
        publish(editions)
        before = untouched(tmp_path / ONE / "editions" / "e000001")
        number, _ = seal(editions, taken=0, made=lists(tag="Q"))
        assert number == 2
        assert untouched(tmp_path / ONE / "editions" / "e000001") == before

    def test_would_be_seen_to_change(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def careless(disk: Disk, folder: Path, *_: object) -> str:
            (folder / "lists.lmdb").write_bytes(b"others")
            return ""

        assert again(tmp_path, careless)[1] > 0


def again(folder: Path, sealed: object = durable.sealed) -> tuple[int, int]:
    """Publish an edition, then seal its name with one byte changed: refusals, files that changed."""
    editions = Editions(folder, Disk())
    publish(editions)
    place = folder / ONE / "editions" / "e000001"
    before = untouched(place)
    body = bytearray((place / "lists.lmdb").read_bytes())
    body[100] ^= 1
    refused = 0
    try:
        sealed(Disk(), place, {"number": 1}, {"lists.lmdb": durable.content(bytes(body))})  # type: ignore[operator]
    except Problem as problem:
        refused += problem.code == "SEALED"
    after = untouched(place)
    return refused, sum(after.get(name) != was for name, was in before.items())
