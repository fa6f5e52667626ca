"""The bytes of an edition's lists."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schema.errors import Problem
from schema.records import ENTRY, PACKED, entries
from storage.lists import ListReader, write
from tests.storage.made import lists


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "lists.lmdb", lists())
    return tmp_path / "lists.lmdb"


class TestWrite:
    def test_the_same_lists_give_the_same_bytes(self, path: Path, tmp_path: Path) -> None:
        write(tmp_path / "again", lists())
        assert (tmp_path / "again").read_bytes() == path.read_bytes()

    def test_the_order_of_customers_does_not_matter(self, tmp_path: Path) -> None:
        made = lists(("C-1", "C-2", "C-3"))
        turned = replace(made, customers=made.customers[::-1], entries=made.entries[::-1])
        write(tmp_path / "one", made)
        write(tmp_path / "two", turned)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    def test_other_lists_give_other_bytes(self, path: Path, tmp_path: Path) -> None:
        made = lists()
        made.entries["probability"][0, 0] = 0.75
        write(tmp_path / "other", made)
        assert (tmp_path / "other").read_bytes() != path.read_bytes()

    def test_has_room_for_many_customers_and_the_longest_ids(self, tmp_path: Path) -> None:
        names = [f"{n:0128}" for n in range(3_000)]
        write(tmp_path / "many", lists(names, products=50))
        reader = ListReader(tmp_path / "many")
        assert len(reader) == 3_000
        assert reader.of(names[-1]) is not None
        reader.close()

    def test_leaves_one_file_only(self, path: Path) -> None:
        assert os.listdir(path.parent) == [path.name]


def told(body: bytes) -> bytes:
    """Lines that tell their list."""
    return b"lines of " + body


def all_told(bodies: Sequence[bytes]) -> list[bytes]:
    return [told(body) for body in bodies]


class TestFirstLines:
    @pytest.fixture
    def reader(self, tmp_path: Path) -> Iterator[ListReader]:
        write(tmp_path / "first", lists(), all_told)
        reader = ListReader(tmp_path / "first")
        yield reader
        reader.close()

    def test_stand_beside_every_list_the_popular_one_as_well(self, reader: ListReader) -> None:
        names, bodies = reader.everyone()
        assert [reader.first(name) for name in names] == [told(body) for body in bodies]

    def test_are_no_lists_of_customers(self, reader: ListReader) -> None:
        assert len(reader) == 3
        assert [name for name, _ in reader.each()] == ["C-1", "C-2", "C-3"]
        assert reader.everyone()[0] == ["", "C-1", "C-2", "C-3"]

    @pytest.mark.parametrize("nobody", ["\x01C-1", "\x01\x00popular"])
    def test_are_nobodys_list(self, reader: ListReader, nobody: str) -> None:
        assert reader.of(nobody) is None

    @pytest.mark.parametrize(
        "nobody", ["C-4", "C-1 ", "\x00popular", "\x01C-1", "x" * 511, "x" * 600, "\ud800"]
    )
    def test_of_anybody_else_there_are_none(self, reader: ListReader, nobody: str) -> None:
        assert reader.first(nobody) is None

    def test_may_be_missing_as_in_older_editions(self, path: Path) -> None:
        reader = ListReader(path)
        assert [reader.first(name) for name in ("", "C-1")] == [None, None]
        reader.close()

    def test_find_room_however_long_they_are(self, tmp_path: Path) -> None:
        made = lists([f"C-{n}" for n in range(500)])
        write(tmp_path / "long", made, lambda bodies: [body + b"x" * 10_000 for body in bodies])
        reader = ListReader(tmp_path / "long")
        assert len(reader) == 500
        reader.close()

    def test_of_an_edition_without_customers_are_the_popular_ones(self, tmp_path: Path) -> None:
        made = lists()
        write(tmp_path / "none", replace(made, customers=(), entries=made.entries[:0]), all_told)
        reader = ListReader(tmp_path / "none")
        assert len(reader) == 0
        assert list(reader.each()) == []
        assert reader.first("") == told(reader.popular())
        reader.close()


class TestListReader:
    def test_goes_through_every_customers_own_list_and_no_strangers(self, path: Path) -> None:
        reader = ListReader(path)
        assert {name: reader.of(name) for name in ("C-1", "C-2", "C-3")} == dict(reader.each())
        assert len(reader) == 3
        reader.close()

    def test_gives_every_customer_their_own_list_best_first(self, path: Path) -> None:
        reader = ListReader(path)
        for row, customer in enumerate(("C-1", "C-2", "C-3")):
            found = reader.of(customer)
            assert found is not None
            shown = entries(found)
            assert [entry.product for entry in shown] == [(row + n) % 4 for n in range(3)]
            assert [entry.probability for entry in shown] == pytest.approx([1 / 2, 1 / 4, 1 / 6])
        reader.close()

    def test_every_field_survives(self, tmp_path: Path) -> None:
        made = lists(("C-1",))
        fields = (3, 2, 0.25, 65_535, 65_534, 7, 1)
        made.entries[0, 0] = np.array(fields, np.dtype(list(ENTRY)))
        write(tmp_path / "one", made)
        reader = ListReader(tmp_path / "one")
        found = reader.of("C-1")
        assert found is not None
        assert tuple(entries(found)[0]) == fields
        reader.close()

    def test_padding_is_not_shown(self, path: Path) -> None:
        reader = ListReader(path)
        for body in (reader.popular(), reader.of("C-1") or b""):
            assert [entry.product for entry in entries(body)] == [0, 1, 2]
        reader.close()

    @pytest.mark.parametrize(
        "nobody", ["", "C-4", "c-1", "C-1 ", "\x00popular", "x" * 600, "\ud800"]
    )
    def test_knows_no_list_of_anybody_else(self, path: Path, nobody: str) -> None:
        reader = ListReader(path)
        assert reader.of(nobody) is None
        reader.close()

    def test_counts_customers_and_names_everyone(self, path: Path) -> None:
        reader = ListReader(path)
        assert len(reader) == 3
        names, bodies = reader.everyone()
        assert names == ["", "C-1", "C-2", "C-3"]
        assert all(bodies)
        reader.close()

    def test_an_edition_without_customers_still_has_its_popular_list(self, tmp_path: Path) -> None:
        made = lists()
        write(tmp_path / "none", replace(made, customers=(), entries=made.entries[:0]))
        reader = ListReader(tmp_path / "none")
        assert len(reader) == 0
        assert len(reader.popular()) == 3 * PACKED.size
        reader.close()

    def test_a_file_cut_short_is_refused_and_kills_nobody(self, tmp_path: Path) -> None:
        write(tmp_path / "whole", lists([f"C-{n}" for n in range(500)]))
        whole = (tmp_path / "whole").read_bytes()
        for number, length in enumerate((5_000, 8_192, 12_288, len(whole) // 2, len(whole) - 1)):
            path = tmp_path / f"cut-{number}"
            path.write_bytes(whole[:length])
            with pytest.raises(Problem) as refused:
                ListReader(path)
            assert refused.value.code == "LISTS_SHORT"

    @pytest.mark.parametrize("length", [0, 1, 100, 4_096, 4_097])
    def test_a_file_cut_within_its_first_page_is_refused_too(self, path: Path, length: int) -> None:
        os.truncate(path, length)
        with pytest.raises(Problem):
            ListReader(path)
