"""Work whose every bit is promised: what tests/digests.json holds the digests of.

Inputs come from integers alone, so that no machine's mathematics has a part in them.

Integers are the same on every set. Floats are the same on every set whose fused multiply-add rounds
once, and have a second digest, `NAME-unfused`, for `scalar`, which rounds twice.
"""

import hashlib
import json
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

import pycompress as pc
from pycompress import _core

TYPES = (np.uint8, np.int8)
PAIRS = list(product(TYPES, TYPES))
FILE = Path(__file__).parent / "digests.json"
SHAPES = ((1, 16, 16), (1, 67, 33), (3, 15, 8), (4, 16, 64), (7, 49, 27), (33, 130, 515))
SCALES = (0.3, 7.7, float.fromhex("0x1.0002p-5"), 2.0**-30, 1e-40, 1e30)
LENGTHS = (1, 15, 16, 67, 130, 4100)
SUMS = ("sum", "sum_square", "sum_abs")
FUNCTIONS = (
    "exp",
    "log",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu_tanh",
    "erf",
    "silu",
    "softplus",
    "hard_swish",
)
WINDOWS = (  # x [N, H, W, C], w [O, I / g, kh, kw], groups, stride, padding, dilation
    ((1, 9, 11, 3), (32, 3, 3, 3), 1, 2, 1, 1),
    ((2, 7, 6, 16), (24, 16, 1, 1), 1, 1, 0, 1),
    ((1, 12, 10, 32), (18, 16, 3, 5), 2, 1, 2, 2),
    ((1, 13, 14, 40), (40, 1, 3, 3), 40, 1, 1, 1),
    ((1, 13, 14, 35), (35, 1, 5, 5), 35, 2, 2, 1),
)


def integers(rng, dtype, shape):
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape, dtype)


def floats(rng, shape, step=2.0**-9):
    return (rng.integers(-4096, 4097, shape) * step).astype(np.float32)


def scales(rng, n):
    return (rng.integers(64, 1024, n) * np.float32(2.0**-15)).astype(np.float32)


def gemm(a_type, w_type, m, n, k):
    rng = np.random.default_rng(m + n + k)
    a, w = integers(rng, a_type, (m, k)), integers(rng, w_type, (k, n))
    w_zero, scale, bias = integers(rng, w_type, n), scales(rng, n), floats(rng, n)
    yield pc.qgemm(a, pc.pack(w, None, None, w_zero), 7)
    packed = pc.pack(w, scale, bias, w_zero)
    a_scale, a_zero = scales(rng, m), integers(rng, a_type, m)
    yield pc.qlinear(a, packed, a_scale=0.02, a_zero_point=3, activation="relu")
    yield pc.qlinear(a, packed, a_scale=a_scale, a_zero_point=a_zero)
    for dtype in ("uint8", "int8"):
        residual = integers(rng, np.dtype(dtype), (m, n))
        yield pc.qlinear(
            a, packed, a_scale=0.02, a_zero_point=3, y_scale=0.37, y_zero_point=9, y_dtype=dtype,
            residual=residual, residual_scale=0.21, residual_zero_point=5,
        )  # fmt: skip


def dynamic_linear(m, n, k):
    rng = np.random.default_rng(m + n + k)
    yield pc.Linear(floats(rng, (k, n)), floats(rng, n), "relu")(floats(rng, (m, k)))


def int4(m, n, k):
    rng = np.random.default_rng(m + n + k)
    w = pc.quantize_int4(floats(rng, (k, n)))
    yield pc.gemm_int4(floats(rng, (m, k)), pc.pack_int4(w))


def quantize(scale):
    rng = np.random.default_rng(1)
    ties = (np.arange(-300, 300) + np.float32(0.5)) * np.float32(scale)
    bits = rng.integers(0, 2**32, 5000, np.uint32).view(np.float32)
    x = np.concatenate([ties.astype(np.float32), bits])
    for dtype in ("uint8", "int8"):
        q = pc.quantize(x, scale, 3, dtype=dtype)
        yield q
        yield pc.dequantize(q, scale, 3)


def quantize_channels(axis):
    rng = np.random.default_rng(axis)
    x = floats(rng, (6, 35, 70))
    scale = scales(rng, x.shape[axis])
    zero = rng.integers(-50, 50, x.shape[axis])
    q = pc.quantize(x, scale, zero, axis=axis)
    yield q
    yield pc.dequantize(q, scale, zero, axis=axis)
    found = pc.quantize_weights(x, axis)
    yield found.data
    yield found.scale


def conv(window, x_type):
    x_shape, w_shape, groups, stride, padding, dilation = window
    rng = np.random.default_rng(x_shape[1])
    x, w = integers(rng, x_type, x_shape), integers(rng, np.int8, w_shape)
    w[w == -128] = -127
    packed = pc.pack_conv(
        w, scales(rng, w_shape[0]), floats(rng, w_shape[0]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip
    for y in ({}, {"y_scale": 0.9, "y_zero_point": 4}):
        yield pc.qconv(x, packed, x_scale=0.02, x_zero_point=11, activation="relu", **y)


def float_kernel(op, n):
    rng = np.random.default_rng(n)
    x = floats(rng, (3, n))
    if op == "softmax":
        yield _core.softmax(x)
    elif op == "layer_norm":
        yield _core.layer_norm(x, floats(rng, n), floats(rng, n))
    elif op in SUMS:
        yield np.array([_core.reduce(op, row) for row in x], np.float32)
    else:
        yield _core.unary(op, x)


def kernel_cases():
    """Name of each case, and a function whose arrays make its digest."""
    for a_type, w_type in PAIRS:
        pair = f"{np.dtype(a_type)}-{np.dtype(w_type)}"
        for m, n, k in SHAPES:
            yield f"gemm-{pair}-{m}x{n}x{k}", lambda t=a_type, u=w_type, s=(m, n, k): gemm(t, u, *s)
    for m, n, k in SHAPES:
        yield f"linear-{m}x{n}x{k}", lambda s=(m, n, k): dynamic_linear(*s)
        yield f"int4-{m}x{n}x{k}", lambda s=(m, n, k): int4(*s)
    for scale in SCALES:
        yield f"quantize-{scale}", lambda s=scale: quantize(s)
    for axis in range(3):
        yield f"quantize-axis{axis}", lambda a=axis: quantize_channels(a)
    for (i, window), x_type in product(enumerate(WINDOWS), (np.uint8, np.int8)):
        yield f"conv-{i}-{np.dtype(x_type)}", lambda w=window, t=x_type: conv(w, t)

    for op, n in product(("softmax", "layer_norm", *SUMS), LENGTHS):
        yield f"float-{op}-{n}", lambda o=op, n=n: float_kernel(o, n)
    for op in FUNCTIONS:
        yield f"float-{op}", lambda o=op: float_kernel(o, 333)


def model_cases():
    """Sessions over quantized models, as another tool would have written them, and over our own."""
    # Here, because the tests of the kernels run without onnx.
    import onnx

    from tests.digest_models import MODELS
    from tests.runtime.test_integer_models import TYPES, qdq_cnn

    for dtype in TYPES:

        def run(dtype=dtype):
            model, feeds = qdq_cnn(dtype)
            rng = np.random.default_rng(3)
            feeds = {name: floats(rng, x.shape, 2.0**-11) for name, x in feeds.items()}
            yield from pc.InferenceSession(model.proto(), num_threads=1).run(None, feeds)

        yield f"model-qdq_cnn-{np.dtype(dtype)}", run

    def run_float(made):
        shape = [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim]
        x = floats(np.random.default_rng(5), shape)
        yield from pc.InferenceSession(made, num_threads=1).run(None, {"x": x})

    def run_compressed(made):
        with tempfile.TemporaryDirectory() as place:
            source, target = Path(place) / "m.onnx", Path(place) / "m.int8.onnx"
            source.write_bytes(made.SerializeToString())
            pc.compress(source, target)
            written = target.read_bytes()
        yield np.frombuffer(written, np.uint8)
        yield from run_float(onnx.load_from_string(written))

    for name, make in MODELS.items():
        yield f"model-float-{name}", lambda m=make: run_float(m())
        yield f"model-float-{name}-int8", lambda m=make: run_compressed(m())


def key(name):
    """The name under which the digest of a case stands, on the set in use."""
    return f"{name}-unfused" if "float-" in name and _core.isa() == "scalar" else name


def keys(names):
    """Every name under which digests of cases stand."""
    return {*names, *(f"{name}-unfused" for name in names if "float-" in name)}


def digest(arrays):
    """SHA-256 of arrays: their types, shapes and bytes."""
    total = hashlib.sha256()
    with np.errstate(all="ignore"):
        for array in arrays:
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def wanted():
    return json.loads(FILE.read_text())
