"""Poolings, Resize and transposed convolution against onnx.reference, channels last."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from tests.program_harness import onnx_type, reference, run

RNG = np.random.default_rng(8)


def last(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def first(x):
    return np.moveaxis(x, -1, 1)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def onnxruntime(op, inputs, attrs, opset=22):
    """Run one operator in onnxruntime, where onnx.reference lacks ceil_mode or groups."""
    names = [f"x{i}" for i in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], **attrs)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(n, onnx_type(x), x.shape)
            for n, x in zip(names, inputs, strict=True)
        ],
        [helper.make_tensor_value_info("y", onnx_type(inputs[0]), None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


POOLS = [
    ((1, 3, 8), {"kernel_shape": [3]}),
    ((2, 5, 9, 8), {"kernel_shape": [3, 2], "strides": [2, 2]}),
    ((1, 17, 7, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 4, 8, 9), {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
    (
        (1, 4, 7, 7),
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 0, 1, 1]},
    ),
    ((1, 4, 9, 9), {"kernel_shape": [2, 3], "dilations": [2, 3], "pads": [1, 2, 0, 1]}),
    ((1, 6, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 6, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    (
        (1, 3, 4, 5, 6),
        {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2], "pads": [0, 1, 1, 1, 1, 0]},
    ),
    ((1, 64, 30, 40), {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [2, 2, 2, 2]}),
]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
@pytest.mark.parametrize(("shape", "attrs"), POOLS)
def test_max_pool(shape, attrs, dtype, threads):
    x = (RNG.standard_normal(shape) * 60).clip(-128, 127)
    x = (x + 128 * (dtype == np.uint8)).astype(dtype)
    (y,) = run("MaxPool", [last(x)], attrs, threads=threads)
    np.testing.assert_array_equal(first(y), onnxruntime("MaxPool", [x], attrs))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(("shape", "attrs"), POOLS)
def test_average_pool(shape, attrs, include):
    x = f32(*shape)
    attrs = {**attrs, "count_include_pad": include}
    (y,) = run("AveragePool", [last(x)], attrs, threads=2)
    if include and {"ceil_mode", "pads"} <= attrs.keys():
        # onnxruntime 1.23 divides by too little here. The padded 8 x 8 falls into blocks of 2 x 2.
        padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))
        wanted = padded.reshape(1, 4, 4, 2, 4, 2).mean((3, 5))
    else:
        wanted = onnxruntime("AveragePool", [x], attrs)
    np.testing.assert_allclose(first(y), wanted, rtol=1e-5, atol=1e-6)


LARGER = [  # than their input, by less than a stride
    ((1, 3, 4), {"kernel_shape": [5], "strides": [2]}),
    ((1, 3, 5, 4), {"kernel_shape": [3, 5], "strides": [1, 3], "pads": [0, 0, 1, 0]}),
    ((1, 3, 5, 4), {"kernel_shape": [6, 5], "strides": [2, 2], "auto_pad": "VALID"}),
]


@pytest.mark.parametrize(("shape", "attrs"), LARGER)
def test_a_window_that_is_larger_is_cut_off(shape, attrs):
    x = f32(*shape)
    (y,) = run("MaxPool", [last(x)], attrs)
    np.testing.assert_array_equal(first(y), onnxruntime("MaxPool", [x], attrs))
    (y,) = run("AveragePool", [last(x)], attrs)
    np.testing.assert_allclose(first(y), onnxruntime("AveragePool", [x], attrs), rtol=1e-5)


def test_a_window_that_is_a_stride_larger_has_no_place():
    with pytest.raises(ValueError, match="smaller than the window, 6"):
        run("MaxPool", [f32(1, 4, 3)], {"kernel_shape": [6], "strides": [2]})


def test_padding_never_wins():
    x = np.full((1, 3, 3, 2), -np.inf, np.float32)
    x[0, 1, 1] = [-5.0, np.inf]
    (y,) = run("MaxPool", [x], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})
    assert (y[..., 0] == -5).all()
    assert (y[..., 1] == np.inf).all()
    low = np.full((1, 2, 2, 3), -128, np.int8)
    (y,) = run("MaxPool", [low], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]})
    assert (y == -128).all()


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 33, 7, 6), (2, 4, 3, 4, 5)])
def test_global_pools(shape):
    x = f32(*shape)
    space = tuple(range(2, x.ndim))
    (y,) = run("GlobalAveragePool", [last(x)])
    np.testing.assert_allclose(first(y), x.mean(space, keepdims=True), rtol=1e-5, atol=1e-6)
    (y,) = run("GlobalMaxPool", [last(x)])
    np.testing.assert_array_equal(first(y), x.max(space, keepdims=True))
    for dtype in (np.uint8, np.int8):
        q = RNG.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
        (y,) = run("GlobalMaxPool", [last(q)])
        np.testing.assert_array_equal(first(y), q.max(space, keepdims=True))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("zeros", [(0, 0), (-3, 9), (127, -128)])
def test_integer_global_average_pool(dtype, zeros):
    x_zero, y_zero = (z + 128 if dtype == np.uint8 else z for z in zeros)
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max + 1, (2, 9, 7, 21)).astype(dtype)
    scales = {"x_scale": 0.05, "y_scale": 0.004}
    attrs = {**scales, "x_zero": x_zero, "y_zero": y_zero}
    (y,) = run("q_global_average_pool", [x], attrs)
    sums = (x.astype(np.int64) - x_zero).sum((1, 2), keepdims=True)
    x_scale, y_scale = (np.float64(np.float32(s)) for s in scales.values())
    v = sums.astype(np.float32) * np.float32(x_scale / (63 * y_scale))
    wanted = np.clip(np.rint(v) + y_zero, info.min, info.max).astype(dtype)
    np.testing.assert_array_equal(y, wanted)


def test_indices_of_max_pool_are_refused():
    with pytest.raises(ValueError, match="Indices"):
        run("MaxPool", [f32(1, 4, 4, 1)], {"kernel_shape": [2, 2]}, outputs=2)


MODES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]


def resize(x, attrs, scales=None, sizes=None, roi=None):
    inputs = [
        x,
        None if roi is None else np.array(roi, np.float32),
        None if scales is None else np.array(scales, np.float32),
        None if sizes is None else np.array(sizes, np.int64),
    ]
    (wanted,) = reference("Resize", inputs, attrs)
    (y,) = run("Resize", inputs, attrs, constants=(1, 2, 3), threads=2)
    assert y.shape == wanted.shape
    if x.dtype == np.float32:
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("coordinates", MODES)
@pytest.mark.parametrize("scales", [(1, 2, 2, 1), (1, 0.6, 1.7, 1), (1, 0.5, 3, 1)])
def test_resize_nearest(coordinates, scales):
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        attrs = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
        resize(f32(1, 4, 5, 3), attrs, scales)
        resize(RNG.integers(-128, 128, (1, 4, 5, 3)).astype(np.int8), attrs, scales)


@pytest.mark.parametrize("coordinates", MODES)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", [(1, 2, 2, 1), (1, 0.6, 1.7, 1), (1, 1, 0.25, 1)])
def test_resize_blends(coordinates, mode, scales):
    attrs = {"coordinate_transformation_mode": coordinates, "mode": mode}
    resize(f32(2, 8, 9, 3), attrs, scales)
    resize(f32(2, 8, 9, 3), {**attrs, "exclude_outside": int(mode == "cubic")}, scales)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_resize_with_antialias(mode):
    resize(f32(1, 9, 8, 2), {"mode": mode, "antialias": 1}, (1, 0.4, 0.7, 1))
    resize(f32(1, 9, 8, 2), {"mode": mode, "antialias": 1}, (1, 0.5, 2, 1))


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_resize_to_sizes_of_some_axes(policy):
    attrs = {"mode": "linear", "axes": [1, 2], "keep_aspect_ratio_policy": policy}
    resize(f32(1, 4, 6, 3), attrs, sizes=(7, 8))
    resize(f32(1, 4, 6, 3), {"mode": "linear"}, sizes=(1, 9, 3, 3))


def test_resize_of_a_crop():
    attrs = {
        "mode": "linear",
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "extrapolation_value": 7.5,
    }
    roi = [0, 0.25, -0.2, 0, 1, 1.3, 0.9, 1]
    resize(f32(1, 6, 7, 2), attrs, sizes=(1, 5, 4, 2), roi=roi)


def test_resize_refusals():
    x = f32(1, 4, 4, 1)
    ones = np.ones(4, np.float32)
    with pytest.raises(ValueError, match="'mode' must be"):
        run("Resize", [x, None, ones], {"mode": "area"}, constants=(2,))
    with pytest.raises(ValueError, match=r"exactly one of input 2 \(scales\)"):
        run("Resize", [x])
    with pytest.raises(ValueError, match="must have 4 values, found 3"):
        run("Resize", [x, None, ones[:3]], constants=(2,))
    with pytest.raises(ValueError, match="must be positive"):
        run("Resize", [x, None, -ones], constants=(2,))
    for size in (1e10, 1e35):
        with pytest.raises(ValueError, match=r"2\^40 elements|too large"):
            run("Resize", [x, None, np.full_like(ones, size)], constants=(2,))


TRANSPOSED = [
    ((1, 3, 5), (3, 4, 3), {"strides": [2]}),
    ((2, 6, 4, 5), (6, 5, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 6, 4, 5), (6, 2, 2, 3), {"strides": [3, 2], "output_padding": [1, 1], "group": 3}),
    ((1, 4, 5, 5), (4, 17, 3, 3), {"dilations": [2, 2], "pads": [2, 1, 0, 1]}),
    ((1, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 12]}),
    ((1, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((1, 2, 3, 4, 3), (2, 3, 2, 2, 2), {"strides": [2, 1, 2]}),
    # taps that do not overlap: lines of the output are products
    ((2, 5, 3, 4), (5, 17, 2, 2), {"strides": [2, 2]}),
    ((2, 5, 1, 7), (5, 8, 1, 2), {"strides": [1, 2], "auto_pad": "VALID"}),
    ((1, 3, 40), (3, 5, 4), {"strides": [4]}),
    ((2, 2, 2, 3, 4), (2, 9, 2, 3, 2), {"strides": [2, 3, 2]}),
    ((1, 5, 3, 4), (5, 17, 2, 2), {"strides": [2, 2], "output_padding": [1, 0]}),
]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("x_shape", "w_shape", "attrs"), TRANSPOSED)
def test_transposed_convolution(x_shape, w_shape, attrs):
    x, w = f32(*x_shape), f32(*w_shape)
    bias = f32(w_shape[1] * attrs.get("group", 1))
    wanted = onnxruntime("ConvTranspose", [x, w, bias], attrs)
    (y,) = run("conv_transpose", [last(x), w, bias], attrs, constants=(1, 2), threads=2)
    np.testing.assert_allclose(first(y), wanted, rtol=1e-4, atol=1e-4)
    (y,) = run("conv_transpose", [last(x), w], {**attrs, "activation": "relu"}, constants=(1,))
    plain = wanted - bias.reshape(-1, *[1] * (x.ndim - 2))
    np.testing.assert_allclose(first(y), np.maximum(plain, 0), rtol=1e-4, atol=1e-4)
    attrs = {**attrs, "activation": "silu"}
    (y,) = run("conv_transpose", [last(x), w, bias], attrs, constants=(1, 2))
    wanted = wanted / (1 + np.exp(-wanted))
    np.testing.assert_allclose(first(y), wanted, rtol=1e-4, atol=1e-4)


def test_transposed_convolution_of_integer_weights():
    x, w = f32(1, 6, 5, 4), RNG.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
    scale = RNG.uniform(0.001, 0.1, 6).astype(np.float32)
    real = w.reshape(2, 3, 3, 3, 3) * scale.reshape(2, 1, 3, 1, 1)
    real = real.reshape(w.shape).astype(np.float32)
    wanted = onnxruntime("ConvTranspose", [x, real], {"group": 2, "strides": [2, 2]})
    attrs = {"group": 2, "strides": [2, 2], "w_scale": scale}
    (y,) = run("conv_transpose", [last(x), w], attrs, constants=(1,))
    np.testing.assert_allclose(first(y), wanted, rtol=1e-4, atol=1e-4)


def test_transposed_convolution_refusals():
    with pytest.raises(ValueError, match=r"wanted \[N, 2 spatial dimensions, 3\]"):
        run("conv_transpose", [f32(1, 4, 4, 2), f32(3, 2, 2, 2)], constants=(1,))
    with pytest.raises(ValueError, match="no multiple of group 2"):
        run("conv_transpose", [f32(1, 4, 4, 3), f32(3, 2, 2, 2)], {"group": 2}, constants=(1,))
