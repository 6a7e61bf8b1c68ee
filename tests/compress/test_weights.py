import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from pycompress.convert import quantize_table, quantize_weight
from pycompress.convert.activations import affine, quantize_bias
from pycompress.convert.weights import SMALLEST_SCALE

WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def rows(array, axis):
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


@given(WEIGHTS, st.data())
@settings(deadline=None)
def test_scales_are_normal_and_integers_symmetric(weight, data):
    axis = data.draw(st.integers(0, weight.ndim - 1))
    quantized = quantize_weight(weight, axis)
    assert quantized.data.shape == weight.shape
    assert quantized.scale.shape == (weight.shape[axis],)
    assert (quantized.scale >= np.float32(SMALLEST_SCALE)).all()
    assert quantized.data.min() >= -127
    assert not quantized.zero_point.any()


@given(WEIGHTS)
@settings(deadline=None)
def test_every_weight_is_within_half_a_step(weight):
    quantized = quantize_weight(weight, 0)
    scale = quantized.scale[:, None].astype(np.float64)
    error = np.abs(rows(quantized.data, 0).astype(np.float64) * scale - rows(weight, 0))
    assert (error <= scale * 0.5001).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice_has_its_own_scale(axis):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 6, 7)).astype(np.float32)
    weight *= (
        (10.0 ** np.arange(weight.shape[axis]))
        .astype(np.float32)
        .reshape([-1 if i == axis else 1 for i in range(3)])
    )
    error = np.abs(rows(quantize_weight(weight, axis).dequantize() - weight, axis)).max(axis=1)
    assert (error <= 0.004 * np.abs(rows(weight, axis)).max(axis=1)).all()


def test_channels_of_zeros_and_of_denormals():
    weight = np.array([[0, 0], [1e-40, -1e-45], [1, -1]], np.float32)
    quantized = quantize_weight(weight, 0)
    np.testing.assert_array_equal(quantized.data[0], [0, 0])
    assert quantized.scale[0] == 1
    np.testing.assert_allclose(quantized.dequantize(), weight, atol=1e-38, rtol=1e-6)


@pytest.mark.parametrize("special", [-np.inf, np.inf, np.nan])
def test_a_non_finite_row_of_a_table_survives(special):
    table = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    table[[1, 4]] = special
    found = quantize_table(table).dequantize()
    np.testing.assert_array_equal(found[[1, 4]], table[[1, 4]])
    np.testing.assert_allclose(found[[0, 2, 3, 5]], table[[0, 2, 3, 5]], atol=0.03)


def test_a_row_of_both_infinities_survives():
    table = np.array([[np.inf, -np.inf], [1, 2]], np.float32)
    np.testing.assert_array_equal(quantize_table(table).dequantize()[0], table[0])


@pytest.mark.parametrize("bad", [[1, -np.inf], [np.nan, np.inf]])
def test_a_mixed_row_is_refused_with_a_reason(bad):
    assert "mix" in quantize_table(np.array([[1, 2], bad], np.float32))


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.floats(-(2.0**100), 2.0**100, width=32))
def test_activation_parameters_cover_their_range(a, b):
    low, high = min(a, b), max(a, b)
    found = affine((low, high))
    scale, zero = float(found.scale), found.zero_point
    assert 0 <= zero <= 255
    assert scale >= SMALLEST_SCALE
    slack = scale * 0.51 + 1e-6 * max(abs(low), abs(high))
    assert (0 - zero) * scale <= min(low, 0) + slack
    assert (255 - zero) * scale >= max(high, 0) - slack


@pytest.mark.parametrize("bounds", [(-np.inf, 1), (0, np.nan), (-3e38, 3e38)])
def test_a_range_without_a_scale_is_refused(bounds):
    with pytest.raises(ValueError, match="8-bit scale"):
        affine(bounds)


def test_a_range_of_nothing_but_zeros():
    assert (affine((0, 0)).scale, affine((0, 0)).zero_point) == (1, 0)


def test_bias_is_in_units_of_both_scales():
    weight = np.array([[1, -0.5], [0.25, 0.125]], np.float32)
    quantized = quantize_weight(weight, 0)
    bias = np.array([0.3, -7], np.float32)
    units, same = quantize_bias(bias, np.float32(0.02), quantized, weight)
    assert same is quantized
    np.testing.assert_array_equal(units.scale, np.float32(0.02) * quantized.scale)
    np.testing.assert_allclose(units.dequantize(), bias, atol=1e-4)


def test_a_bias_that_would_overflow_widens_the_scale_of_its_channel_only():
    weight = np.array([[1e-9, -1e-9], [1, 0.5]], np.float32)
    bias = np.array([1e3, 1.0], np.float32)
    before = quantize_weight(weight, 0)
    units, after = quantize_bias(bias, np.float32(0.1), before, weight)
    assert after.scale[0] > before.scale[0]
    assert after.scale[1] == before.scale[1]
    assert np.abs(units.data.astype(np.int64)).max() + 2 * 255 * 127 < 2**31
    np.testing.assert_allclose(units.dequantize(), bias, rtol=1e-5)
    np.testing.assert_allclose(after.dequantize()[0], weight[0], atol=1e-6)


def test_a_channel_of_zero_weights_keeps_its_bias():
    weight = np.array([[0, 0], [1, 1]], np.float32)
    bias = np.array([1e-4, 1], np.float32)
    units, _ = quantize_bias(bias, np.float32(0.5), quantize_weight(weight, 0), weight)
    np.testing.assert_allclose(units.dequantize(), bias, rtol=1e-5)
