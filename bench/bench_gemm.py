"""int8 gemm: uint8 [M, K] by int8 [K, N] to int32, weights packed beforehand as in a layer."""

import numpy as np
import pytest
from onnx import helper

import pycompress
from bench.small_model import small_model

# M, N, K: one token, a few, a batch; a square of weights and the two halves of a transformer's MLP.
SHAPES = [
    (1, 1024, 1024),
    (4, 1024, 1024),
    (16, 1024, 1024),
    (256, 1024, 1024),
    (128, 1536, 384),
    (128, 384, 1536),
]


@pytest.fixture(params=SHAPES, ids=lambda s: "x".join(map(str, s)))
def operands(request, rng, benchmark):
    m, n, k = request.param
    benchmark.group = f"gemm M={m} N={n} K={k}"
    benchmark.extra_info["operations"] = 2 * m * n * k
    a = rng.integers(0, 256, (m, k), np.uint8)
    b = rng.integers(-127, 128, (k, n), np.int8)
    return a, b, (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int32)


@pytest.mark.usefixtures("isa")
def bench_gemm(benchmark, operands):
    a, b, right = operands
    packed = pycompress.pack(b)
    out = np.empty_like(right)
    np.testing.assert_array_equal(pycompress.qgemm(a, packed, out=out), right)
    benchmark(pycompress.qgemm, a, packed, out=out)


def bench_gemm_onnxruntime(benchmark, peer, operands):
    a, b, right = operands
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    run = peer(small_model([node], {"a": a}, {"b": b}, np.int32), {"a": a})
    np.testing.assert_array_equal(run(), right)
    benchmark(run)
