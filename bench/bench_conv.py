"""Quantized convolution, uint8 in and out: four layers of image models, each a session of its own.

The tensors are NCHW as in ONNX, so that the change of layout at both ends counts for both engines.
"""

import numpy as np
import pytest
from onnx import helper

import pycompress
from bench.small_model import small_model

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
    """The layer as a QDQ model, its input, and the right answer."""
    size, channels, filters, kernel, stride, groups = LAYERS[request.param]
    benchmark.group = f"conv {request.param}"
    x = rng.integers(0, 256, (1, channels, size, size), np.uint8)
    w = rng.integers(-127, 128, (filters, channels // groups, kernel, kernel), np.int8)
    scale = rng.uniform(1e-3, 2e-3, filters).astype(np.float32)
    settings = {"stride": stride, "padding": kernel // 2, "groups": groups}
    return qdq_model(x, w, scale, settings), x, right_answer(x, w, scale, settings)


@pytest.mark.usefixtures("isa")
def bench_conv(benchmark, layer):
    model, x, right = layer
    session = pycompress.InferenceSession(model, num_threads=1)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], right)
    benchmark(session.run, None, {"x": x})


def bench_conv_onnxruntime(benchmark, peer, layer):
    model, x, right = layer
    run = peer(model, {"x": x})
    assert np.abs(run().astype(int) - right).max() <= 1  # it may round another way at a tie
    benchmark(run)


def qdq_model(x, w, scale, settings):
    constants = {
        "xs": np.array(X_SCALE),
        "z": np.array(ZERO, np.uint8),
        "wq": w,
        "ws": scale,
        "wz": np.zeros(len(scale), np.int8),
        "ys": np.array(Y_SCALE),
    }
    conv = helper.make_node(
        "Conv",
        ["xf", "wf"],
        ["yf"],
        strides=[settings["stride"]] * 2,
        pads=[settings["padding"]] * 4,
        group=settings["groups"],
    )
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "z"], ["xf"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wf"], axis=0),
        conv,
        helper.make_node("QuantizeLinear", ["yf", "ys", "z"], ["y"]),
    ]
    return small_model(nodes, {"x": x}, constants, np.uint8)


def right_answer(x, w, scale, settings):
    """The definition, with a window's taps added one at a time."""
    stride, padding, groups = settings["stride"], settings["padding"], settings["groups"]
    filters, depth, kernel, _ = w.shape
    centred = x.transpose(0, 2, 3, 1).astype(np.int32) - ZERO
    centred = np.pad(centred, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    size = (centred.shape[1] - kernel) // stride + 1
    total = np.zeros((1, size, size, filters), np.int32)
    for i, j in np.ndindex(kernel, kernel):
        window = centred[:, i : i + size * stride : stride, j : j + size * stride : stride]
        parts = window.reshape(1, size, size, groups, depth).astype(np.float64)
        taps = w[:, :, i, j].reshape(groups, filters // groups, depth).astype(np.float64)
        total += np.einsum("nhwgd,gfd->nhwgf", parts, taps).reshape(total.shape).astype(np.int32)
    factor = (X_SCALE.astype(np.float64) * scale / Y_SCALE).astype(np.float32)
    q = np.clip(np.rint(total.astype(np.float32) * factor) + ZERO, 0, 255).astype(np.uint8)
    return q.transpose(0, 3, 1, 2)
