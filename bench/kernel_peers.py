"""Other libraries on the same work: each gives a call that computes it, and how far off it may be.

A peer that is not installed has no rows. Adding one is a function for each kind of work that it can
do, and a row in `PEERS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from onnx import helper

import pycompress
from bench.small_model import small_model
from pycompress.bench.cases import INT4_BLOCK
from pycompress.bench.work import A_SCALE, A_ZERO, Y_ZERO


@dataclass(frozen=True)
class Entry:
    """A peer at work: the call that is timed, and its answer as ours would be.

    Attributes
    ----------
    call : callable
    answer : callable
        Called with what `call` returned.
    off : float
        How far an answer may be from the right one.
    """

    call: Callable
    answer: Callable = np.asarray
    off: float = 0.0


# ---- NumPy, in float32


def numpy_gemm(_, work, __):
    a, w = (work.operands[name].astype(np.float32) for name in ("a", "w"))
    out = np.empty(work.right.shape, np.float32)
    return Entry(lambda: np.matmul(a, w, out=out), off=1e-5 * np.abs(work.right).max())


def numpy_matmul(_, work, __):
    a, b = (work.operands[name].astype(np.float32) for name in ("a", "b"))
    out = np.empty(work.right.shape, np.float32)
    return Entry(lambda: np.matmul(a, b, out=out), off=1e-5 * np.abs(work.right).max())


def numpy_float32(_, work, __):
    a, w = work.operands["a"], work.operands["w"]
    out = np.empty(work.right.shape, np.float32)
    return Entry(lambda: np.matmul(a, w, out=out))


def numpy_linear(_, work, __):
    x, bias = work.operands["x"], work.operands["bias"]
    w = work.operands["w"] * work.operands["scale"]
    largest = np.abs(work.right).max()
    return Entry(lambda: x @ w + bias, off=0.1 * largest)  # it does not quantize x


def numpy_quantize(case, work, _):
    x = work.operands["x"]
    along = [-1 if i == case.axis else 1 for i in range(x.ndim)]
    scale = work.operands["scale"].reshape(along)
    return Entry(lambda: np.clip(np.rint(x / scale), -128, 127).astype(np.int8))


# ---- onnxruntime


def onnxruntime_run(model, feed, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)[0]


def onnxruntime_gemm(_, work, threads):
    a, w = work.operands["a"], work.operands["w"]
    node = helper.make_node("MatMulInteger", ["a", "w"], ["y"])
    return Entry(
        onnxruntime_run(small_model([node], {"a": a}, {"w": w}, np.int32), {"a": a}, threads)
    )


def onnxruntime_matmul(_, work, threads):
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    model = small_model([node], work.operands, {}, np.int32)
    return Entry(onnxruntime_run(model, work.operands, threads))


def onnxruntime_linear(_, work, threads):
    """What quantize_dynamic writes, which onnxruntime fuses into one operator."""
    x = work.operands["x"]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["real"], to=1),
        helper.make_node("Mul", ["s", "scale"], ["both"]),
        helper.make_node("Mul", ["real", "both"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y"]),
    ]
    constants = {name: work.operands[name] for name in ("w", "scale", "bias")}
    constants["wz"] = np.zeros(len(constants["scale"]), np.int8)
    model = small_model(nodes, {"x": x}, constants, np.float32)
    return Entry(onnxruntime_run(model, {"x": x}, threads))


def onnxruntime_float32(_, work, threads):
    a, w = work.operands["a"], work.operands["w"]
    model = small_model(
        [helper.make_node("MatMul", ["a", "w"], ["y"])], {"a": a}, {"w": w}, a.dtype
    )
    return Entry(onnxruntime_run(model, {"a": a}, threads))


def onnxruntime_int4(_, work, threads):
    """4-bit weights in the same blocks, a in int8 as ours."""
    a, w = work.operands["a"], work.operands["w"]
    quantized = pycompress.quantize_int4(w, INT4_BLOCK)
    k, n = quantized.shape
    settings = {"K": k, "N": n, "bits": 4, "block_size": INT4_BLOCK, "accuracy_level": 4}
    node = helper.make_node(
        "MatMulNBits", ["a", "b", "s"], ["y"], domain="com.microsoft", **settings
    )
    constants = {"b": quantized.data, "s": quantized.scale}
    model = small_model([node], {"a": a}, constants, a.dtype)
    return Entry(onnxruntime_run(model, {"a": a}, threads), off=1e-3 * np.abs(work.right).max())


def onnxruntime_conv(case, work, threads):
    model, feed = qdq_convolution(case, work)
    return Entry(onnxruntime_run(model, feed, threads), channels_last, off=1)


def onnxruntime_quantize(case, work, threads):
    x, scale = work.operands["x"], work.operands["scale"]
    scale = scale[0] if case.axis is None else scale
    constants = {"s": np.asarray(scale), "z": np.zeros(np.shape(scale), np.int8)}
    axis = {} if case.axis is None else {"axis": case.axis}
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], **axis)
    model = small_model([node], {"x": x}, constants, np.int8)
    return Entry(onnxruntime_run(model, {"x": x}, threads), off=1)  # x / scale, or times 1 / scale


def qdq_convolution(case, work):
    """A convolution as other runtimes take it: NCHW, between quantized tensors."""
    _, _, _, kernel, stride, groups = case.shape
    x = np.ascontiguousarray(np.moveaxis(work.operands["x"], -1, 1))
    scale = work.operands["scale"]
    constants = {
        "xs": np.array(A_SCALE),
        "xz": np.array(A_ZERO, np.uint8),
        "wq": work.operands["w"],
        "ws": scale,
        "wz": np.zeros(len(scale), np.int8),
        "ys": work.operands["y_scale"],
        "yz": np.array(Y_ZERO, np.uint8),
    }
    window = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wf"], axis=0),
        helper.make_node("Conv", ["xf", "wf"], ["yf"], **window),
        helper.make_node("QuantizeLinear", ["yf", "ys", "yz"], ["y"]),
    ]
    return small_model(nodes, {"x": x}, constants, np.uint8), {"x": x}


def channels_last(y):
    return np.moveaxis(y, 1, -1)


# ---- torch


def torch_with(threads):
    import torch

    torch.set_num_threads(threads)
    return torch


def torch_gemm(_, work, threads):
    """Signed by signed, as its operator is: a - 128, which is put right in the answer."""
    torch = torch_with(threads)
    a = torch.from_numpy((work.operands["a"] ^ 0x80).view(np.int8))
    w = torch.from_numpy(work.operands["w"])
    lost = 128 * work.operands["w"].astype(np.int32).sum(axis=0)
    return Entry(lambda: torch._int_mm(a, w), lambda y: y.numpy() + lost)  # noqa: SLF001 (it has no other)


def torch_float32(_, work, threads):
    torch = torch_with(threads)
    a, w = torch.from_numpy(work.operands["a"]), torch.from_numpy(work.operands["w"])
    out = torch.empty(work.right.shape)
    return Entry(lambda: torch.matmul(a, w, out=out), lambda y: y.numpy())


def torch_bf16(_, work, threads):
    """The product alone: a is bfloat16 already, and the result stays it."""
    torch = torch_with(threads)
    a, w = (torch.from_numpy(work.operands[name]).to(torch.bfloat16) for name in ("a", "w"))
    off = 0.01 * np.abs(work.right).max()
    return Entry(lambda: torch.matmul(a, w), lambda y: y.float().numpy(), off)


def torch_linear(_, work, threads):
    torch = torch_with(threads)
    x, w, scale, bias = (torch.from_numpy(work.operands[n]) for n in ("x", "w", "scale", "bias"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to replace its quantized tensors some day
        real = (w * scale).T.contiguous()
        zero = torch.zeros(len(scale), dtype=torch.int64)
        quantized = torch.quantize_per_channel(real, scale.double(), zero, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(quantized, bias)
    off = 0.02 * np.abs(work.right).max()  # it may use 7 bits of x
    return Entry(lambda: torch.ops.quantized.linear_dynamic(x, packed), lambda y: y.numpy(), off)


def torch_quantize(case, work, threads):
    torch = torch_with(threads)
    x, scale = torch.from_numpy(work.operands["x"]), torch.from_numpy(work.operands["scale"])
    one, zero = float(scale[0]), torch.zeros(len(scale), dtype=torch.int64)

    def call():
        if case.axis is None:
            return torch.quantize_per_tensor(x, one, 0, torch.qint8)
        return torch.quantize_per_channel(x, scale.double(), zero, case.axis, torch.qint8)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once that they will be replaced
        call()
    return Entry(call, lambda q: q.int_repr().numpy(), off=1)


PEERS = {
    "numpy": {
        "gemm": numpy_gemm,
        "matmul": numpy_matmul,
        "linear": numpy_linear,
        "quantize": numpy_quantize,
        "float32": numpy_float32,
    },
    "onnxruntime": {
        "gemm": onnxruntime_gemm,
        "matmul": onnxruntime_matmul,
        "linear": onnxruntime_linear,
        "conv": onnxruntime_conv,
        "quantize": onnxruntime_quantize,
        "int4": onnxruntime_int4,
        "float32": onnxruntime_float32,
    },
    "torch": {
        "gemm": torch_gemm,
        "linear": torch_linear,
        "quantize": torch_quantize,
        "bf16": torch_bf16,
        "float32": torch_float32,
    },
}


def peers_of(kind, threads):
    """Names of the installed peers that do a kind of work on so many threads."""
    able = [name for name, kinds in PEERS.items() if kind in kinds and find_spec(name)]
    return [name for name in able if threads == 1 or name != "numpy"]  # conftest.py gives it one
