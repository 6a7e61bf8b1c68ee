"""float32 to uint8, one scale for the tensor: in L1, in L2, from L3, from memory."""

import numpy as np
import pytest
from onnx import helper

import pycompress
from bench.small_model import small_model

SCALE, ZERO = np.float32(0.05), 121


@pytest.fixture(params=[1 << 12, 1 << 16, 1 << 20, 1 << 24], ids=lambda n: f"{n}")
def operands(request, rng, benchmark):
    benchmark.group = f"quantize n={request.param}"
    benchmark.extra_info["bytes"] = 5 * request.param
    x = rng.normal(0, 3, request.param).astype(np.float32)
    right = np.clip(np.rint(x / SCALE) + ZERO, 0, 255).astype(np.uint8)
    return x, right


@pytest.mark.usefixtures("isa")
def bench_quantize(benchmark, operands):
    x, right = operands
    out = np.empty_like(right)
    pycompress.quantize(x, SCALE, ZERO, dtype="uint8", out=out)
    np.testing.assert_array_equal(out, right)
    benchmark(pycompress.quantize, x, SCALE, ZERO, dtype="uint8", out=out)


def bench_quantize_onnxruntime(benchmark, peer, operands):
    x, right = operands
    constants = {"s": np.array(SCALE), "z": np.array(ZERO, np.uint8)}
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
    run = peer(small_model([node], {"x": x}, constants, np.uint8), {"x": x})
    np.testing.assert_array_equal(run(), right)
    benchmark(run)
