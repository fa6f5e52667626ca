"""What "the same rows" means: by value, whatever the format, the order or the pieces."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schema.rowhash import content_of, joined, row_hashes

ROWS = st.lists(
    st.tuples(
        st.text(max_size=20),
        st.one_of(st.none(), st.floats(allow_nan=False)),
        st.integers(-(2**62), 2**62),
    ),
    max_size=12,
)


def table(rows: list[tuple[str, float | None, int]]) -> pa.Table:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "name": pa.array([name for name, _, _ in rows], pa.string()),
            "value": pa.array([value for _, value, _ in rows], pa.float64()),
            "count": pa.array([count for _, _, count in rows], pa.int64()),
            "at": pa.array([start + timedelta(seconds=len(r[0])) for r in rows], pa.timestamp("us", "UTC")),
        }
    )  # fmt: skip


def content(rows: pa.Table) -> str:
    return content_of(row_hashes(rows))


class TestTwoRows:
    def test_are_the_same_exactly_where_all_their_values_are(self) -> None:
        texts = ["", "a", "ab", "abcdefgh", "abcdefghi", "abcdefgh\0", "b", "é", "a" * 300]
        hashes = row_hashes(pa.table({"x": [*texts, *texts]}))

        assert (hashes[:, : len(texts)] == hashes[:, len(texts) :]).all()
        assert len(np.unique(hashes[0])) == len(np.unique(hashes[1])) == len(texts)

    def test_differ_where_a_value_moves_to_another_column(self) -> None:
        one, other = pa.table({"a": ["x"], "b": ["y"]}), pa.table({"a": ["y"], "b": ["x"]})

        assert content(one) != content(other)

    def test_differ_where_a_value_moves_to_another_row(self) -> None:
        one = pa.table({"a": ["x", "y"], "b": ["1", "2"]})
        other = pa.table({"a": ["x", "y"], "b": ["2", "1"]})

        assert content(one) != content(other)

    def test_are_the_same_whether_text_is_a_dictionary_or_a_slice(self) -> None:
        words = pa.array(["skip", "abc", None, "abc", "abcdefghijk"])
        plain = pa.table({"x": words.slice(1)})

        assert (row_hashes(plain) == row_hashes(pa.table({"x": words.dictionary_encode().slice(1)}))).all()  # fmt: skip

    def test_are_the_same_where_zero_has_a_sign(self) -> None:
        hashes = row_hashes(pa.table({"x": [0.0, -0.0]}))

        assert (hashes[:, 0] == hashes[:, 1]).all()

    def test_are_the_same_where_one_lacks_a_column_the_other_has_empty(self) -> None:
        known = pa.table({"a": ["x"]})
        later = known.append_column("b", pa.nulls(1, pa.string()))

        assert content(known) == content(later)
        assert content(later) != content(known.append_column("b", pa.array([""])))


class TestContent:
    @given(rows=ROWS, seed=st.integers(0, 9))
    def test_does_not_depend_on_the_order_of_rows_and_columns(
        self, rows: list[tuple[str, float | None, int]], seed: int
    ) -> None:
        made = table(rows)
        order = np.random.default_rng(seed).permutation(len(made))
        mixed = made.take(pa.array(order)).select(["at", "count", "name", "value"])

        assert content(made) == content(mixed)

    @given(rows=ROWS, cut=st.integers(0, 12))
    def test_of_parts_is_that_of_the_whole(
        self, rows: list[tuple[str, float | None, int]], cut: int
    ) -> None:
        made = table(rows)

        assert joined([content(made[:cut]), content(made[cut:])]) == content(made)

    def test_counts_every_row(self) -> None:
        once, twice = pa.table({"a": ["x"]}), pa.table({"a": ["x", "x"]})

        assert content(once) != content(twice)
        assert content(twice) != content(pa.table({"a": ["x"] * 4}))

    def test_of_no_rows_is_zeros(self) -> None:
        assert content(table([])) == "0" * 32 == joined([])
