"""What every store promises when a customer is erased; tests/scenarios/test_erased.py has the whole."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from factory.live import rerank
from schema.errors import NotThere, Problem, Refused
from schema.records import CELL, Grounds, Said
from schema.rules import ruling
from storage.durable import Disk
from storage.editions import Current, Editions
from storage.erase import erase, unerase
from storage.erased import GONE, Erased, scrubbed
from storage.feedback import ERASED, STORED
from storage.grounds import without
from tests.storage.made import AT, ONE, OTHER, lists, seal
from tests.storage.test_grounds import grounds, same
from tests.world import ACME, BETA, NOW, World

SECRET = bytes(range(32))


@pytest.fixture
def erased(tmp_path: Path) -> Erased:
    return Erased(tmp_path / "erased", Disk(), SECRET)


def gone(erased: Erased, *customers: str, uid: str = ONE) -> None:
    erased.add(uid, map(erased.of(uid).of, customers))


class TestAMark:
    def test_holds_exactly_who_was_erased(self, erased: Erased) -> None:
        gone(erased, "C-1", "Zoë")

        found = [erased.of(ONE).holds(name) for name in ("C-1", "Zoë", "C-11", "c-1", "", "Zoe")]

        assert found == [True, True, False, False, False, False]

    def test_is_of_one_tenant(self, erased: Erased) -> None:
        gone(erased, "C-1")

        assert not erased.of(OTHER).holds("C-1")
        assert erased.of(ONE).of("C-1") != erased.of(OTHER).of("C-1")

    def test_is_worth_nothing_under_another_secret(self, erased: Erased, tmp_path: Path) -> None:
        other = Erased(tmp_path / "erased", Disk(), SECRET[::-1])
        gone(erased, "C-1")

        assert not other.of(ONE).holds("C-1")

    def test_does_not_say_the_id(self, erased: Erased, tmp_path: Path) -> None:
        gone(erased, "C-1")

        assert b"C-1" not in (tmp_path / "erased" / ONE).read_bytes()

    def test_is_seen_by_everybody_who_has_looked_before(
        self, erased: Erased, tmp_path: Path
    ) -> None:
        other = Erased(tmp_path / "erased", Disk(), SECRET)
        assert not other.of(ONE).holds("C-1")

        gone(erased, "C-1")
        assert other.of(ONE).holds("C-1")
        gone(other, "C-2")
        assert erased.of(ONE).holds("C-1")

        erased.remove(ONE, erased.of(ONE).of("C-1"))
        assert [other.of(ONE).holds(name) for name in ("C-1", "C-2")] == [False, True]

    def test_goes_with_its_tenant_and_no_other(self, erased: Erased) -> None:
        gone(erased, "C-1")
        gone(erased, "C-1", uid=OTHER)

        for _ in range(2):
            erased.forget(ONE)

        assert [erased.of(uid).holds("C-1") for uid in (ONE, OTHER)] == [False, True]

    @pytest.mark.parametrize("text", ["nonsense", "0" * 31, "0" * 32 + "\n../../pepper"])
    def test_that_cannot_be_read_hides_nobody_by_guess(
        self, text: str, erased: Erased, tmp_path: Path
    ) -> None:
        (tmp_path / "erased").mkdir()
        (tmp_path / "erased" / ONE).write_text(text)

        with pytest.raises(Problem) as told:
            erased.of(ONE)
        assert told.value.code == "ERASED_BROKEN"

    def test_finds_them_in_a_column_of_any_kind(self, erased: Erased) -> None:
        gone(erased, "17", "C-1")
        marks = erased.of(ONE)

        assert marks.mask(pa.array([17, 18, None])).to_pylist() == [True, False, False]
        text = pa.chunked_array([["C-1", " C-1 ", "C-2"], [None, "C-1"]])
        assert marks.mask(text).to_pylist() == [True, True, False, False, True]


class TestAReport:
    def test_keeps_its_counts_and_names_nobody(self, erased: Erased) -> None:
        gone(erased, "C-1")
        found = Counter[str]()
        told = {
            "read": 7,
            "faults": [{"code": "X", "count": 2, "samples": [{"row": 1, "value": "Jane"}]}],
            "because": "customer C-1 has 60 %",
            "top": {"C-1": 0.6, "C-2": 0.1},
        }

        assert scrubbed(told, erased.of(ONE), found) == {
            "read": 7,
            "faults": [{"code": "X", "count": 2, "samples": []}],
            "because": GONE,
            "top": {GONE: 0.6, "C-2": 0.1},
        }
        assert found == {erased.of(ONE).of("C-1"): 2}


class TestAnEdition:
    @pytest.fixture
    def editions(self, tmp_path: Path) -> Editions:
        made = Editions(tmp_path, Disk())
        for uid in (ONE, OTHER):
            number, sha = seal(made, uid, 0, replace(lists(), grounds=grounds()))
            made.point(uid, Current(number, sha, 1, AT))
        return made

    def test_sealed_without_somebody_has_everybody_else_as_before(self, editions: Editions) -> None:
        number, sha, kept = editions.seal_without(ONE, 1, 1, ["C-2"])

        before, after = editions.open(ONE, 1), editions.open(ONE, number, sha)
        assert (number, kept, len(after.lists)) == (2, 2, 2)
        assert after.lists.of("C-2") is None
        assert after.lists.first("C-2") is None
        for name in ("C-1", "C-3"):
            assert after.lists.of(name) == before.lists.of(name)
            assert after.lists.first(name) == before.lists.first(name)
        assert after.popular == before.popular
        assert (after.products.ids, after.segments) == (before.products.ids, before.segments)
        assert (after.night, after.model, after.bought) == (
            before.night,
            before.model,
            before.bought,
        )
        for edition in (before, after):
            edition.lists.close()

    def test_takes_no_number_that_exists(self, editions: Editions) -> None:
        first = editions.seal_without(ONE, 1, 1, ["C-2"])[0]
        second = editions.seal_without(ONE, 1, 1, ["C-3"])[0]

        assert (first, second) == (2, 3)

    def test_tells_who_of_the_erased_it_holds(self, editions: Editions, erased: Erased) -> None:
        gone(erased, "C-0", "C-2", "C-9")  # C-0 is in the grounds alone

        assert set(editions.erased(ONE, 1, erased.of(ONE))) == {"C-0", "C-2"}
        assert editions.erased(OTHER, 1, erased.of(OTHER)) == {}
        assert [editions.lists_of(ONE, name) for name in ("C-2", "C-0")] == [True, False]


class TestGrounds:
    @staticmethod
    def compared() -> Grounds:
        """Three customers, all compared with one another: customer n bought products n and n + 1."""
        made = grounds()
        cells = np.zeros(6, np.dtype(list(CELL)))
        cells["product"], cells["weight"] = [0, 1, 1, 2, 2, 3], 1.0
        cells["times"] = 1
        shares = np.linspace(0, 1, 6).astype(np.float32)
        return replace(
            made, cells=cells, compared_starts=np.array([0, 2, 4, 6], np.int64),
            compared_products=np.array([0, 1, 1, 2, 2, 3], np.int32), compared_shares=shares,
        )  # fmt: skip

    def test_without_nobody_are_the_same(self) -> None:
        assert same(without(self.compared(), []), self.compared())
        assert same(without(self.compared(), ["C-9"]), self.compared())

    def test_hold_no_row_of_theirs_and_no_part_in_the_others(self) -> None:
        made = without(self.compared(), ["C-1"])

        assert made.customers.tolist() == [b"C-0", b"C-2"]
        assert made.starts.tolist() == [0, 2, 4, 4]
        assert made.cells["product"].tolist() == [0, 1, 2, 3]
        assert (len(made.bias), len(made.segment)) == (3, 3)
        assert made.compared.tolist() == [0, 1]
        assert made.compared_starts.tolist() == [0, 2, 4]
        assert made.compared_products.tolist() == [0, 1, 2, 3]

    def test_rank_others_as_before_where_nobody_is_compared(self) -> None:
        before = replace(grounds(), neighbours=np.float32(0))
        after = without(before, ["C-1"])
        said, all_of = Said(), np.ones(4, bool)

        def ranked(where: Grounds, name: str) -> Mapping[str, object]:
            found = rerank(where, name, said, all_of, ruling((), [], NOW), most=4)
            return {"entries": found.entries, "personal": found.personal}

        for name in ("C-0", "C-2", "nobody"):
            assert ranked(after, name) == ranked(before, name)
        assert ranked(after, "C-1") == ranked(before, "nobody")


class TestReceipts:
    @pytest.fixture
    def world(self, empty_world: World) -> World:
        for name in (ACME, BETA):
            empty_world.add(name)
        return empty_world

    @staticmethod
    def forget(world: World, customer: str = "C-1", why: str = "request 17") -> int:
        tenant = world.tenant(ACME)
        return erase(world.stores, tenant, customer, by="ann", why=why, now=NOW).receipt

    def test_have_numbers_of_their_tenant(self, world: World) -> None:
        assert [self.forget(world, name) for name in ("C-1", "C-2", "C-1")] == [1, 2, 1]
        assert world.stores.erasures.of(BETA) == []
        with pytest.raises(NotThere):
            world.stores.erasures.one(BETA, 1)

    @pytest.mark.parametrize("why", ["C-1", "on behalf of C-1.", "(C-1) asked"])
    def test_are_not_given_for_a_reason_that_names_them(self, why: str, world: World) -> None:
        with pytest.raises(Refused) as told:
            self.forget(world, why=why)

        assert told.value.code == "WHY_NAMES"
        assert not world.stores.erased.of(world.tenant(ACME).uid).holds("C-1")

    def test_keep_the_most_that_was_found(self, world: World) -> None:
        """The repeat of an attempt that died finds less than there was."""
        number, erasures = self.forget(world), world.stores.erasures
        for count in (5, 0):
            erasures.found(ACME, {number: {"feedback": count}})

        assert erasures.one(ACME, number).removed == {"feedback": 5}

    def test_end_the_suppression_only_when_all_was_done(self, world: World) -> None:
        number, tenant = self.forget(world), world.tenant(ACME)
        with pytest.raises(Refused) as told:
            unerase(world.stores, tenant, "C-1", by="ann", why="back", now=NOW)
        assert told.value.code == "ERASURE_PENDING"

        world.stores.erasures.finish(ACME, [number], at=NOW)
        unerase(world.stores, tenant, "C-1", by="ann", why="back", now=NOW)

        assert not world.stores.erased.of(tenant.uid).holds("C-1")
        assert self.forget(world) == number + 1
        with pytest.raises(NotThere):
            unerase(world.stores, tenant, "C-2", by="ann", why="back", now=NOW)


class TestFeedback:
    def test_about_them_is_dropped_whichever_way_it_comes(self, empty_world: World) -> None:
        for name in (ACME, BETA):
            empty_world.add(name)
        feedback, tenant = empty_world.stores.feedback, empty_world.tenant(ACME)
        event = {
            "event_id": "e-1", "digest": "0" * 64, "kind": "shown", "customer_id": "C-1",
            "product_id": "P-1", "edition": None, "rank": None, "quantity": None, "value": None,
            "occurred_at": NOW,
        }  # fmt: skip
        feedback.spool.append(ACME, [event])
        erase(empty_world.stores, tenant, "C-1", by="ann", why="request 17", now=NOW)

        assert feedback.deliver() == 1
        assert feedback.record(ACME, [event]) == [ERASED]
        assert feedback.record(BETA, [event]) == [STORED]
        assert [feedback.knows(name, "C-1") for name in (ACME, BETA)] == [False, True]
