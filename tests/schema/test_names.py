from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema import names
from schema.errors import Problem
from schema.names import Bought, Event, FeedbackKind, Mode, Outcome, Role, Status, tenant_id

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class TestATenantsName:
    @pytest.mark.parametrize("text", ["a", "7", "acme", "acme-2", "a-b--c", "9lives", "x" * 63])
    def test_is_lower_case_letters_digits_and_hyphens(self, text: str) -> None:
        assert tenant_id(text) == text

    @pytest.mark.parametrize(
        "text",
        ["", "-acme", "Acme", "acme_2", "a b", "a.b", "../acme", "a/b", "acmé", "acme\n", "a\x00"],
    )
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(Problem, match="cannot be a tenant's name") as told:
            tenant_id(text)

        assert told.value.code == "TENANT_NAME"

    def test_has_at_most_63_characters_so_that_it_fits_a_host_name(self) -> None:
        with pytest.raises(Problem):
            tenant_id("x" * 64)

    @given(text=st.text(max_size=80))
    def test_is_a_safe_piece_of_a_path_whatever_was_typed(self, text: str) -> None:
        try:
            name = tenant_id(text)
        except Problem:
            return
        assert name == text
        assert set(name) <= {*LETTERS, "-"}
        assert name[0] != "-"
        assert 1 <= len(name) <= 63

    @pytest.mark.parametrize("text", ["X" * 5000, "\x00" * 5000, "é" * 5000])
    def test_that_is_refused_is_not_repeated_at_full_length(self, text: str) -> None:
        with pytest.raises(Problem) as told:
            tenant_id(text)

        assert len(told.value.what) < 500


class TestTheWords:
    """Programs depend on them: a changed word is a changed contract."""

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (Mode, "on freeze off"),
            (Outcome, "promoted rejected held too_small unchanged frozen off failed"),
            (Event, "view click add_to_cart purchase return rating"),
            (FeedbackKind, "shown clicked accepted dismissed purchased"),
            (Status, "sellable out_of_stock discontinued"),
            (Role, "seller admin auditor operator"),
            (Bought, "include exclude only"),
            (names.Reason, "reorder similar popular segment"),
            (names.Source, "personal popular"),
        ],
    )
    def test_are_these_and_no_others(self, kind: type[StrEnum], words: str) -> None:
        assert [member.value for member in kind] == words.split()

    def test_of_a_reason_keep_their_places_because_editions_store_the_place(self) -> None:
        assert list(names.Reason).index(names.Reason.REORDER) == 0
        assert list(names.Reason).index(names.Reason.SIMILAR) == 1
        assert list(names.Reason).index(names.Reason.POPULAR) == 2
        assert list(names.Reason).index(names.Reason.SEGMENT) == 3
