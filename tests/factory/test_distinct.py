import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from factory.distinct import distinct


class TestDistinctValues:
    @given(arrays(np.int64, st.integers(0, 30), elements=st.integers(-3, 3)))
    def test_are_each_there_once_in_order(self, values: np.ndarray) -> None:
        kept = values.copy()
        assert distinct(values).tolist() == sorted(set(values.tolist()))
        assert np.array_equal(values, kept)
