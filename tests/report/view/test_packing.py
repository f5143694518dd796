import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal

from headwater.report.view.levels import of_numbers
from headwater.report.view.packing import GRAIN, Columns, grained, packed, unpacked

LEVEL = st.floats(-400, 400, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])
TABLE = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=LEVEL)


@given(TABLE)
def test_what_was_packed_comes_out_again(levels: np.ndarray) -> None:
    assert_array_equal(unpacked(packed(levels), len(levels)), levels)


@pytest.mark.parametrize("text", ["", "!!", "AAAA", packed(np.zeros(3, np.float32))[:-4]])
def test_what_was_not_packed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"array|base64|Incorrect padding|Only base64"):
        unpacked(text, 1)


@given(TABLE)
def test_grain_moves_a_level_by_less_than_a_percent_and_keeps_what_is_no_number(levels: np.ndarray) -> None:
    rounded = grained(levels)
    known = np.isfinite(levels)
    assert_array_equal(rounded[~known], levels[~known])
    assert np.all(np.abs(rounded[known] - levels[known]) <= 0.5 / GRAIN + 4e-5)


@given(TABLE, st.integers(1, 12))
def test_columns_keep_the_smallest_and_the_largest_of_their_steps(levels: np.ndarray, most: int) -> None:
    count = levels.shape[1]
    columns = Columns.at_most(count, most)
    assert len(columns.starts) <= most
    low, high = columns.lowest(levels), columns.highest(levels)
    for place, start in enumerate(columns.starts):
        stop = columns.starts[place + 1] if place + 1 < len(columns.starts) else count
        for row in range(len(levels)):
            known = [v for v in levels[row, start:stop].tolist() if not math.isnan(v)]
            assert_array_equal(low[row, place], min(known) if known else np.nan)
            assert_array_equal(high[row, place], max(known) if known else np.nan)


def test_columns_name_the_steps_they_stand_for() -> None:
    steps = np.array([3, 5, 8, 13, 21])
    columns = Columns.at_most(5, 3)
    assert columns.first(steps).tolist() == [3, 8, 21]
    assert columns.last(steps).tolist() == [5, 13, 21]
    assert not columns.are_single
    assert Columns.at_most(5, 5).are_single


def test_no_steps_make_no_columns() -> None:
    columns = Columns.at_most(0, 5)
    empty = np.zeros((2, 0), np.float32)
    assert columns.lowest(empty).shape == columns.highest(empty).shape == (2, 0)
    assert unpacked(packed(empty), 2).shape == (2, 0)


def test_zero_missing_and_nonfinite_have_levels_of_their_own() -> None:
    levels = of_numbers(np.array([[1e-26, 0.0, np.nan, 2.0]]), np.array([[0.0, 0.0, 0.0, 3.0]]))
    assert_array_equal(levels[0, 1:], np.array([-np.inf, np.nan, np.inf], np.float32))
    assert levels[0, 0] == pytest.approx(-26)
