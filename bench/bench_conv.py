"""Quantized convolution, uint8 in and out: four layers of image models."""

import numpy as np
import pytest
from onnx import helper

import pycompress

X_SCALE, Y_SCALE, ZERO = np.float32(0.02), np.float32(0.1), 128

# height and width, channels in, channels out, kernel, stride, groups
LAYERS = {
    "stem": (112, 3, 32, 3, 2, 1),
    "3x3": (28, 64, 64, 3, 1, 1),
    "1x1": (28, 128, 128, 1, 1, 1),
    "depthwise": (56, 96, 96, 3, 1, 96),
}


@pytest.fixture(params=LAYERS)
def layer(request, rng, benchmark):
    size, channels, filters, kernel, stride, groups = LAYERS[request.param]
    benchmark.group = f"conv {request.param}"
    x = rng.integers(0, 256, (1, size, size, channels), np.uint8)
    w = rng.integers(-127, 128, (filters, channels // groups, kernel, kernel), np.int8)
    scale = rng.uniform(1e-3, 2e-3, filters).astype(np.float32)
    settings = {"stride": stride, "padding": kernel // 2, "groups": groups}
    return x, w, scale, settings


@pytest.mark.usefixtures("isa")
def bench_conv(benchmark, layer):
    x, w, scale, settings = layer
    packed = pycompress.pack_conv(w, scale=scale, **settings)
    arguments = {
        "x_scale": X_SCALE,
        "x_zero_point": ZERO,
        "y_scale": Y_SCALE,
        "y_zero_point": ZERO,
    }
    y = pycompress.qconv(x, packed, **arguments)
    np.testing.assert_array_equal(y, right_answer(x, w, scale, settings))
    benchmark(pycompress.qconv, x, packed, out=y, **arguments)


def bench_conv_onnxruntime(benchmark, peer, layer):
    x, w, scale, settings = layer
    node = helper.make_node(
        "QLinearConv",
        ["x", "xs", "z", "w", "ws", "wz", "ys", "z"],
        ["y"],
        strides=[settings["stride"]] * 2,
        pads=[settings["padding"]] * 4,
        group=settings["groups"],
    )
    constants = {
        "xs": np.array(X_SCALE),
        "z": np.array(ZERO, np.uint8),
        "w": w,
        "ws": scale,
        "wz": np.zeros(len(scale), np.int8),
        "ys": np.array(Y_SCALE),
    }
    run = peer(node, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}, constants)
    right = right_answer(x, w, scale, settings).transpose(0, 3, 1, 2)
    assert np.abs(run().astype(int) - right).max() <= 1  # it may round another way at a tie
    benchmark(run)


def right_answer(x, w, scale, settings):
    """The definition, with a window's taps added one at a time."""
    stride, padding, groups = settings["stride"], settings["padding"], settings["groups"]
    filters, depth, kernel, _ = w.shape
    centred = np.pad(x.astype(np.int32) - ZERO, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    size = (centred.shape[1] - kernel) // stride + 1
    total = np.zeros((1, size, size, filters), np.int32)
    for i, j in np.ndindex(kernel, kernel):
        window = centred[:, i : i + size * stride : stride, j : j + size * stride : stride]
        parts = window.reshape(1, size, size, groups, depth).astype(np.float64)
        taps = w[:, :, i, j].reshape(groups, filters // groups, depth).astype(np.float64)
        total += np.einsum("nhwgd,gfd->nhwgf", parts, taps).reshape(total.shape).astype(np.int32)
    factor = (X_SCALE.astype(np.float64) * scale / Y_SCALE).astype(np.float32)
    return np.clip(np.rint(total.astype(np.float32) * factor) + ZERO, 0, 255).astype(np.uint8)
