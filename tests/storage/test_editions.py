"""The whole promise of Editions: seal, point, open, refuse."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from schema.errors import Problem
from schema.names import Bought
from schema.records import LINES_FORM, entries, packed_lines
from storage.durable import Disk
from storage.editions import LISTS, PRODUCTS, SEGMENTS, Current, Editions
from tests.storage.made import AT, NIGHT, ONE, OTHER, lists, older_edition, publish, seal


@pytest.fixture
def editions(tmp_path: Path) -> Editions:
    return Editions(tmp_path, Disk())


def code_of(editions: Editions, number: int = 1, sha: str | None = None) -> str:
    with pytest.raises(Problem) as refused:
        editions.open(ONE, number, sha)
    return refused.value.code


class TestSeal:
    def test_an_edition_comes_back_as_it_was_made(self, editions: Editions) -> None:
        number, sha = seal(editions, model=3)
        edition = editions.open(ONE, number, sha)
        assert (edition.number, edition.model, edition.night) == (1, 3, NIGHT)
        assert edition.horizon_days == 7
        assert tuple(edition.products) == lists().products
        assert edition.segments == lists().segments
        assert edition.product_ids == {"P-0", "P-1", "P-2", "P-3"}
        assert [entry.product for entry in entries(edition.popular)] == [0, 1, 2]
        assert [entry.product for entry in entries(edition.lists.of("C-2") or b"")] == [1, 2, 3]
        edition.lists.close()

    def test_keeps_what_products_cost_and_what_lookups_show_of_products_bought_before(
        self, editions: Editions
    ) -> None:
        dear = replace(lists().products[0], cost=0.4)
        made = replace(lists(), products=(dear, *lists().products[1:]))
        number, sha = seal(editions, made=made, bought=Bought.EXCLUDE)
        edition = editions.open(ONE, number, sha)
        assert (edition.bought, edition.products[0].cost) == (Bought.EXCLUDE, 0.4)
        edition.lists.close()

    def test_of_a_tenant_without_segments_costs_the_disk_no_file_of_them(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        _, sha = seal(editions, made=replace(lists(), segments=()))
        assert not (tmp_path / ONE / "editions" / "e000001" / SEGMENTS).exists()
        edition = editions.open(ONE, 1, sha)
        edition.lists.close()
        assert edition.segments == ()

    def test_of_version_0_1_includes_products_bought_before_and_has_no_segments(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        number, _ = seal(editions, bought=Bought.EXCLUDE)
        sha = older_edition(tmp_path / ONE / "editions" / "e000001")

        edition = editions.open(ONE, number, sha)

        assert (edition.bought, edition.segments) == (Bought.INCLUDE, ())
        assert [entry.product for entry in entries(edition.lists.of("C-2") or b"")] == [1, 2, 3]
        edition.lists.close()

    def test_is_not_served_yet(self, editions: Editions) -> None:
        seal(editions)
        assert editions.current(ONE) is None
        assert editions.stamp(ONE) is None

    def test_the_same_lists_give_the_same_hash_in_another_home(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        assert seal(editions) == seal(Editions(tmp_path / "another", Disk()))

    def test_the_hash_tells_lists_segments_model_night_and_tenant_apart(
        self, editions: Editions
    ) -> None:
        changed = lists()
        changed.entries["probability"][0, 0] = 0.75
        renamed = replace(lists(), segments=("farms", "others"))
        hashes = [
            seal(editions, uid, made=made, model=model, night=night)[1]
            for uid, made, model, night in (
                ("t-1", lists(), 1, NIGHT),
                ("t-2", changed, 1, NIGHT),
                ("t-3", lists(), 2, NIGHT),
                ("t-4", lists(), 1, NIGHT + timedelta(days=1)),
                ("t-5", lists(), 1, NIGHT),
                ("t-6", renamed, 1, NIGHT),
            )
        ]
        assert len(set(hashes)) == len(hashes)

    def test_again_is_harmless(self, editions: Editions) -> None:
        assert seal(editions) == seal(editions)
        assert editions.numbers(ONE) == [1]

    def test_never_replaces_the_one_that_is_served(self, editions: Editions) -> None:
        publish(editions)
        other, _ = seal(editions, taken=0, made=lists(products=5))
        assert other == 2
        assert editions.numbers(ONE) == [1, 2]

    @pytest.mark.parametrize(
        ("field", "value"),
        [("product", 4), ("product", 1), ("probability", 1.5), ("probability", np.nan)],
        ids=["unknown product", "one twice", "above one", "not a number"],
    )
    def test_a_list_that_must_not_be_shown_is_refused(
        self, editions: Editions, field: str, value: float
    ) -> None:
        made = lists()
        made.entries[field][0, 0] = value
        with pytest.raises(Problem) as refused:
            seal(editions, made=made)
        assert refused.value.code == "LIST_INVALID"

    @pytest.mark.parametrize(
        "lines",
        [packed_lines([3], b"{}"), packed_lines([0], b"{}}"), packed_lines([0, 1], b"{}")],
        ids=["of a product that is not on the list", "no JSON", "fewer than it says"],
    )
    def test_first_lines_that_must_not_be_shown_are_refused(
        self, editions: Editions, lines: bytes
    ) -> None:
        with pytest.raises(Problem) as refused:
            seal(editions, lines=lambda bodies: [lines] * len(bodies))
        assert refused.value.code == "LIST_INVALID"

    def test_first_lines_of_another_version_are_nobodys_business(self, editions: Editions) -> None:
        of_another = bytes((LINES_FORM + 1,)) + b"whatever"
        assert seal(editions, lines=lambda bodies: [of_another] * len(bodies))[0] == 1

    def test_a_bad_popular_list_is_refused_too(self, editions: Editions) -> None:
        made = lists()
        made.popular["probability"][0] = -0.5
        with pytest.raises(Problem):
            seal(editions, made=made)


class TestPoint:
    def test_serves_the_edition(self, editions: Editions) -> None:
        current = publish(editions)
        assert editions.current(ONE) == current == replace(current, published_at=AT)

    def test_changes_the_stamp(self, editions: Editions) -> None:
        publish(editions)
        before = editions.stamp(ONE)
        publish(editions, taken=1, model=2, fence=2)
        assert editions.stamp(ONE) not in (before, None)

    def test_an_older_token_is_refused_and_what_is_served_stays(self, editions: Editions) -> None:
        publish(editions, fence=5)
        served = publish(editions, taken=1, model=2, fence=7)
        number, sha = seal(editions, taken=2, model=3)
        with pytest.raises(Problem) as refused:
            editions.point(ONE, Current(number, sha, 6, AT))
        assert refused.value.code == "FENCED"
        assert editions.current(ONE) == served

    def test_the_same_token_may_point_again(self, editions: Editions) -> None:
        current = publish(editions, fence=5)
        editions.point(ONE, current)
        assert editions.current(ONE) == current

    def test_goes_back_under_a_newer_token(self, editions: Editions) -> None:
        first = publish(editions, fence=1)
        publish(editions, taken=1, model=2, fence=2)
        editions.point(ONE, replace(first, fence=3))
        assert editions.current(ONE) == replace(first, fence=3)


class TestCurrent:
    def test_there_is_none_before_the_first_publication(self, editions: Editions) -> None:
        assert editions.current(ONE) is None

    def test_a_flipped_bit_in_the_pointer_never_serves_another_edition(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        publish(editions)
        publish(editions, taken=1, model=2, fence=2)
        path = tmp_path / ONE / "CURRENT"
        whole = path.read_bytes()
        for place in range(len(whole)):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << place % 7
            path.write_bytes(flipped)
            try:
                current = editions.current(ONE)
                assert current is not None
                edition = editions.open(ONE, current.edition, current.manifest_sha256)
            except Problem:
                continue
            edition.lists.close()
            assert edition.number == 2, flipped


class TestOpen:
    def test_refuses_another_manifest_than_the_pointer_names(self, editions: Editions) -> None:
        seal(editions)
        assert code_of(editions, 1, "0" * 64) == "SEALED_BROKEN"

    @pytest.mark.parametrize("name", [LISTS, PRODUCTS, SEGMENTS])
    @pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
    def test_refuses_a_damaged_file(
        self, editions: Editions, tmp_path: Path, name: str, damage: str
    ) -> None:
        seal(editions)
        path = tmp_path / ONE / "editions" / "e000001" / name
        data = bytearray(path.read_bytes())
        if damage == "gone":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(data[: len(data) // 2])
        else:
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        assert code_of(editions) == "SEALED_BROKEN"

    def test_refuses_one_that_is_not_there(self, editions: Editions) -> None:
        assert code_of(editions, 9) == "SEALED_BROKEN"

    def test_refuses_another_tenants_folder_copied_under_this_one(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        _, sha = seal(editions, OTHER, made=lists(tag="theirs"))
        shutil.copytree(tmp_path / OTHER, tmp_path / ONE)
        assert code_of(editions, 1, sha) == "TENANT_MISMATCH"
        assert code_of(editions, 1) == "TENANT_MISMATCH"

    def test_keeps_reading_an_edition_that_was_removed_meanwhile(self, editions: Editions) -> None:
        number, sha = seal(editions)
        edition = editions.open(ONE, number, sha)
        editions.discard(ONE, number)
        assert [entry.product for entry in entries(edition.lists.of("C-1") or b"")] == [0, 1, 2]
        edition.lists.close()


class TestTenantsApart:
    def test_one_tenants_pointer_and_numbers_are_its_own(self, editions: Editions) -> None:
        publish(editions, ONE, model=1)
        publish(editions, ONE, taken=1, model=2, fence=2)
        publish(editions, OTHER, model=9)
        mine, theirs = editions.current(ONE), editions.current(OTHER)
        assert mine is not None
        assert theirs is not None
        assert (mine.edition, theirs.edition) == (2, 1)
        assert editions.numbers(ONE) == [1, 2]
        assert editions.numbers(OTHER) == [1]
        assert (editions.model_of(ONE, 2), editions.model_of(OTHER, 1)) == (2, 9)

    def test_discard_and_sweep_touch_one_tenant_only(
        self, editions: Editions, tmp_path: Path
    ) -> None:
        for uid in (ONE, OTHER):
            publish(editions, uid)
            (tmp_path / uid / "editions" / ".stage-e000002-ab12").mkdir()
        editions.discard(ONE, 1)
        editions.sweep(ONE)
        assert editions.numbers(OTHER) == [1]
        assert (tmp_path / OTHER / "editions" / ".stage-e000002-ab12").exists()
        assert not (tmp_path / ONE / "editions" / ".stage-e000002-ab12").exists()


class TestCheck:
    def test_accepts_an_edition_without_customers(self, editions: Editions) -> None:
        made = lists()
        none = replace(made, customers=(), entries=made.entries[:0])
        number, sha = seal(editions, made=none)
        editions.check(ONE, number, sha)
        assert editions.numbers(ONE) == [number]
