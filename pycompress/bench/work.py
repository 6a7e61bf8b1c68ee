"""The work of a case: its operands, its right answer, and the call that is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import pycompress
from pycompress.bench.cases import INT4_BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycompress.bench.cases import Case

Call = Callable[[], "NDArray[Any]"]

A_SCALE, A_ZERO, Y_ZERO = np.float32(0.02), 121, 128


@dataclass(frozen=True)
class Work:
    """A case, ready to be timed.

    Attributes
    ----------
    operands : dict of arrays
        gemm, int4, bf16, float32: a, w. matmul: a, b. linear: x, w, scale, bias. conv: x, w,
        scale, y_scale. quantize: x, scale.
    right : ndarray
        The answer, by the definition.
    tolerance : float
        Relative, of a float result; 0: the same bits.
    prepare : callable
        Packs for the instruction set in use and returns the call, which writes into one array that
        is always the same.
    """

    operands: dict[str, NDArray[Any]]
    right: NDArray[Any]
    tolerance: float
    prepare: Callable[[], Call]

    def check(self, answer: NDArray[Any], what: str, off: float = 0.0) -> None:
        """Refuse an answer that is wrong: nobody wants to know how fast it was.

        Parameters
        ----------
        answer
            Of the shape of `right`.
        what
            Whose it is, for the message.
        off
            How far it may be from the right one: peers round in other ways.

        Raises
        ------
        ArithmeticError
        """
        allowed = off + self.tolerance * float(np.abs(self.right).max(initial=0.0))
        wrong = np.abs(answer.astype(np.float64) - self.right) > allowed
        if wrong.any():
            msg = f"{what}: {int(wrong.sum())} of {wrong.size} values are wrong; it is not timed"
            raise ArithmeticError(msg)


def make(case: Case) -> Work:
    """Make operands and the right answer of a case; the same ones at every run."""
    return _MAKE[case.kind](case, np.random.default_rng(1))


def _gemm(case: Case, rng: np.random.Generator) -> Work:
    m, n, k = case.shape
    a = rng.integers(0, 256, (m, k), np.uint8)
    w = rng.integers(-127, 128, (k, n), np.int8)

    def prepare() -> Call:
        packed = pycompress.pack(w)
        out = np.empty((m, n), np.int32)
        return lambda: pycompress.qgemm(a, packed, out=out)

    return Work({"a": a, "w": w}, _integer_product(a, w), 0.0, prepare)


def _matmul(case: Case, rng: np.random.Generator) -> Work:
    count, m, n, k = case.shape
    a = rng.integers(0, 256, (count, m, k), np.uint8)
    b = rng.integers(-128, 128, (count, k, n), np.int8)

    def prepare() -> Call:
        out = np.empty((count, m, n), np.int32)
        return lambda: pycompress.qmatmul(a, b, out=out)

    return Work({"a": a, "b": b}, _integer_product(a, b), 0.0, prepare)


def _linear(case: Case, rng: np.random.Generator) -> Work:
    m, n, k = case.shape
    x = rng.normal(0, 1, (m, k)).astype(np.float32)
    w = rng.integers(-127, 128, (k, n), np.int8)
    scale = rng.uniform(0.004, 0.02, n).astype(np.float32)
    bias = rng.normal(0, 1, n).astype(np.float32)

    def prepare() -> Call:
        packed = pycompress.pack(w, scale, bias)
        out = np.empty((m, n), np.float32)
        return lambda: pycompress.linear(x, packed, out=out)

    # ONNX DynamicQuantizeLinear, then MatMulInteger, then the scales.
    low, high = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    x_scale = np.float32((high - low) / np.float32(255))
    zero = int(np.clip(np.rint(-low / x_scale), 0, 255))
    q = np.clip(np.rint(x / x_scale) + zero, 0, 255) - zero
    sums = q.astype(np.float64) @ w.astype(np.float64)
    right = (sums * (np.float64(x_scale) * scale) + bias).astype(np.float32)
    return Work({"x": x, "w": w, "scale": scale, "bias": bias}, right, 1e-5, prepare)


def _conv(case: Case, rng: np.random.Generator) -> Work:
    size, channels, filters, kernel, stride, groups = case.shape
    depth, padding = channels // groups, kernel // 2
    x = rng.integers(0, 256, (1, size, size, channels), np.uint8)
    w = rng.integers(-127, 128, (filters, depth, kernel, kernel), np.int8)
    scale = rng.uniform(1e-3, 2e-3, filters).astype(np.float32)
    out_size = case.out_size
    # A sum of so many products of random bytes: a third of the results' range to either side.
    y_scale = np.float32(A_SCALE * 1.5e-3 * 74 * 74 * (depth * kernel**2) ** 0.5 / 40)

    def prepare() -> Call:
        packed = pycompress.pack_conv(w, scale, stride=stride, padding=padding, groups=groups)
        out = np.empty((1, out_size, out_size, filters), np.uint8)
        return lambda: pycompress.qconv(
            x,
            packed,
            x_scale=float(A_SCALE),
            x_zero_point=A_ZERO,
            y_scale=float(y_scale),
            y_zero_point=Y_ZERO,
            out=out,
        )

    # The taps of a window are added one at a time. Every sum is an integer below 2^53.
    around = [(padding, padding), (padding, padding), (0, 0)]
    image = np.pad(x[0].astype(np.float64) - A_ZERO, around)
    sums = np.zeros((out_size**2, groups, filters // groups))
    for i, j in np.ndindex(kernel, kernel):
        reach = stride * (out_size - 1) + 1
        window = image[i : i + reach : stride, j : j + reach : stride]
        taps = w[:, :, i, j].reshape(groups, filters // groups, depth).astype(np.float64)
        parts = window.reshape(-1, groups, depth)
        if depth == 1:
            sums += parts * taps[:, :, 0]
        else:
            sums += np.matmul(parts.swapaxes(0, 1), taps.swapaxes(1, 2)).swapaxes(0, 1)
    factor = (np.float64(A_SCALE) * scale / np.float64(y_scale)).astype(np.float32)
    real = sums.reshape(-1, filters).astype(np.float32) * factor
    right = np.clip(np.rint(real) + Y_ZERO, 0, 255).astype(np.uint8)
    right = right.reshape(1, out_size, out_size, filters)
    operands = {"x": x, "w": w, "scale": scale, "y_scale": np.array(y_scale)}
    return Work(operands, right, 0.0, prepare)


def _quantize(case: Case, rng: np.random.Generator) -> Work:
    x = rng.normal(0, 3, case.shape).astype(np.float32)
    channels = 1 if case.axis is None else case.shape[case.axis]
    scale = rng.uniform(0.03, 0.05, channels).astype(np.float32)
    along = [-1 if i == case.axis else 1 for i in range(len(case.shape))]
    given = scale if case.axis is not None else scale[0]

    def prepare() -> Call:
        out = np.empty(case.shape, np.int8)
        return lambda: pycompress.quantize(x, given, axis=case.axis, out=out)

    right = np.clip(np.rint(x / scale.reshape(along)), -128, 127).astype(np.int8)
    return Work({"x": x, "scale": scale}, right, 0.0, prepare)


def _int4(case: Case, rng: np.random.Generator) -> Work:
    m, n, k = case.shape
    a = rng.normal(0, 1, (m, k)).astype(np.float32)
    w = rng.normal(0, 0.05, (k, n)).astype(np.float32)
    quantized = pycompress.quantize_int4(w, INT4_BLOCK)

    def prepare() -> Call:
        packed = pycompress.pack_int4(quantized)
        out = np.empty((m, n), np.float32)
        return lambda: pycompress.gemm_int4(a, packed, out=out)

    # Each block of each row of `a` becomes int8 with a scale of its own.
    padded = np.zeros((m, -(-k // INT4_BLOCK) * INT4_BLOCK), np.float32)
    padded[:, :k] = a
    blocks = padded.reshape(m, -1, INT4_BLOCK)
    largest = np.maximum(np.abs(blocks).max(axis=2, keepdims=True), np.float32(1e-30))
    seen = np.rint(blocks * (127 / largest)) * (largest / 127)
    right = seen.reshape(m, -1)[:, :k].astype(np.float64) @ quantized.dequantize()
    return Work({"a": a, "w": w}, right.astype(np.float32), 1e-4, prepare)


def _bf16(case: Case, rng: np.random.Generator) -> Work:
    m, n, k = case.shape
    a = rng.normal(0, 1, (m, k)).astype(np.float32)
    w = rng.normal(0, 0.05, (k, n)).astype(np.float32)

    def prepare() -> Call:
        packed = pycompress.pack_bf16(w)
        out = np.empty((m, n), np.float32)
        return lambda: pycompress.gemm_bf16(a, packed, out=out)

    right = _rounded_to_bf16(a) @ _rounded_to_bf16(w)
    return Work({"a": a, "w": w}, right.astype(np.float32), 1e-5, prepare)


def _rounded_to_bf16(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return finite values of 8 significant bits, rounded half to even."""
    bits = x.view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return kept.astype(np.uint32).view(np.float32).astype(np.float64)


def _float32(case: Case, rng: np.random.Generator) -> Work:
    m, n, k = case.shape
    a = rng.normal(0, 1, (m, k)).astype(np.float32)
    w = rng.normal(0, 0.05, (k, n)).astype(np.float32)

    def prepare() -> Call:
        packed = pycompress.pack(w)
        out = np.empty((m, n), np.float32)
        return lambda: pycompress.linear(a, packed, out=out)

    right = a.astype(np.float64) @ w.astype(np.float64)
    return Work({"a": a, "w": w}, right.astype(np.float32), 1e-5, prepare)


def _integer_product(a: NDArray[Any], w: NDArray[Any]) -> NDArray[np.int32]:
    """Return the exact product: every partial sum is an integer below 2^53."""
    return (a.astype(np.float64) @ w.astype(np.float64)).astype(np.int32)


_MAKE: dict[str, Callable[[Case, np.random.Generator], Work]] = {
    "gemm": _gemm,
    "matmul": _matmul,
    "linear": _linear,
    "conv": _conv,
    "quantize": _quantize,
    "int4": _int4,
    "bf16": _bf16,
    "float32": _float32,
}
