import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pycompress.calibration import METHODS, Histogram, entropy, minmax, mse, percentile

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
PARTS = st.lists(st.lists(FINITE, max_size=20), min_size=1, max_size=6)


def seen(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.update(np.array(part, np.float32))
    return histogram


def equal(a, b):
    assert (a.low, a.high, a.exponent, a.first) == (b.low, b.high, b.exponent, b.first)
    assert (a.total, a.zeros, a.non_finite) == (b.total, b.zeros, b.non_finite)
    np.testing.assert_array_equal(a.counts, b.counts)


@given(PARTS)
@settings(deadline=None)
def test_any_way_of_merging_equals_one_pass(parts):
    whole = seen([x for part in parts for x in part])
    equal(seen(*parts), whole)
    equal(seen(*reversed(parts)), whole)
    merged = Histogram()
    for part in parts:
        merged.merge(seen(part))
    equal(merged, whole)


@given(PARTS)
@settings(deadline=None)
def test_every_finite_value_is_counted_in_bounded_memory(parts):
    histogram = seen(*parts)
    assert histogram.counts.sum() == histogram.total == sum(map(len, parts))
    assert histogram.counts.size <= 2048


def test_non_finite_values_are_set_apart():
    histogram = seen([1, np.nan, np.inf, -np.inf, -2, 0, -0.0])
    assert (histogram.low, histogram.high) == (-2, 1)
    assert (histogram.total, histogram.zeros, histogram.non_finite) == (4, 2, 3)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("values", [[], [0], [5], [-5], [3e38, -3e38], [1e-45], [1, 2, 3]], ids=str)
def test_a_range_holds_zero_and_stays_within_what_was_seen(method, values):
    low, high = method(seen(values))
    assert min([0, *map(np.float32, values)]) <= low <= 0 <= high
    assert high <= max([0, *map(np.float32, values)])


def test_minmax_is_exact():
    assert minmax(seen([0.1, -0.7], [0.3])) == (float(np.float32(-0.7)), float(np.float32(0.3)))


def test_percentile_cuts_outliers_and_no_more():
    values = np.concatenate([np.linspace(-1, 1, 99_999), [100.0]])
    low, high = percentile(seen(values), keep=0.999)
    assert -1 <= low < -0.9
    assert 0.9 < high < 1.2


def brute_force_error(values, low, high):
    step = (high - low) / 255
    quantized = np.clip(np.rint(values / step) - np.rint(low / step), 0, 255) + np.rint(low / step)
    return np.square(quantized * step - values).sum()


@pytest.mark.parametrize("seed", range(4))
def test_mse_range_beats_minmax_on_long_tails(seed):
    values = np.random.default_rng(seed).standard_t(3, 50_000).astype(np.float32)
    histogram = seen(values)
    assert brute_force_error(values, *mse(histogram)) < brute_force_error(
        values, *minmax(histogram)
    )


def test_mse_range_does_not_clip_what_is_uniform():
    values = np.linspace(0, 1, 10_000, dtype=np.float32)
    low, high = mse(seen(values))
    assert low == 0
    assert high > 0.98


def test_entropy_cuts_a_far_tail_and_keeps_what_is_even():
    rng = np.random.default_rng(0)
    even = rng.uniform(-1, 1, 200_000)
    low, high = entropy(seen(even))
    assert low < -0.9
    assert high > 0.9
    tail = np.concatenate([rng.standard_normal(200_000), [60.0]])
    assert entropy(seen(tail))[1] < 0.6 * 60
    assert entropy(seen(np.zeros(100))) == (0.0, 0.0)
    # what is zero has an integer of its own and says nothing about the others
    sparse = np.concatenate([np.zeros(2_000_000), np.abs(even)])
    assert entropy(seen(sparse))[1] > 0.9
