"""Products with packed weights: exact integers, fused scales, and float in and out."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycompress import _core
from pycompress._core import PackedWeights
from pycompress.kernels.arrays import as_array

__all__ = ["Linear", "PackedWeights", "linear", "pack", "qgemm", "qlinear", "qmatmul"]

ActivationLike = str | tuple[Any, ...] | None


class QuantizedWeights(Protocol):
    """Integer weights with their scales, as :func:`pycompress.quantize_weights` returns them."""

    @property
    def data(self) -> NDArray[np.int8]:
        """The integers."""

    @property
    def scale(self) -> NDArray[np.float32]:
        """Their scales, one for each index on `axis`."""

    @property
    def axis(self) -> int | None:
        """The axis that the scales run along."""


@lru_cache(maxsize=256)
def _activation(activation: ActivationLike) -> _core.Activation:
    if activation is None:
        return _core.Activation("")
    if isinstance(activation, str):
        return _core.Activation(activation)
    if not 1 <= len(activation) <= 3:
        msg = f"activation must be a name or (name, alpha, beta), found {activation!r}"
        raise ValueError(msg)
    return _core.Activation(*activation)


def pack(
    w: ArrayLike,
    scale: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    zero_point: ArrayLike | None = None,
) -> PackedWeights:
    """Bring weights into the panels of the instruction set in use, once for many products.

    Parameters
    ----------
    w
        ``[K, N]`` int8, uint8 or float32, with any strides.
    scale
        float32, one or ``[N]``: real weight = (w - zero_point) * scale. Only for integers.
    bias
        float32, one or ``[N]``, in real units; :func:`qgemm` does not add it.
    zero_point
        Integers in the type of `w`, one or ``[N]``. Only for integer weights.

    Returns
    -------
    PackedWeights
        With ``shape``, ``dtype``, ``isa``, ``nbytes``, ``scale`` and ``bias``. `w` is not kept.

    Raises
    ------
    TypeError, ValueError
        A type, shape or value that does not fit; or a sum over K could leave int32, whatever it is
        multiplied with (K up to 66 311 is safe for weights in [-127, 127]).
    """
    return _core.pack(as_array("pack: w", w), scale, bias, zero_point)


def qgemm(
    a: ArrayLike,
    packed: PackedWeights,
    a_zero_point: ArrayLike = 0,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """Multiply integers exactly: ``(a - a_zero_point) . (w - zero_point)``.

    Parameters
    ----------
    a
        ``[..., K]`` uint8 or int8. A matrix may have rows that lie apart; else C-contiguous.
    packed
        Integer weights from :func:`pack`. All four pairs of signs run at full speed.
    a_zero_point
        In the type of `a`: one, or ``[M]``, one for each row.
    out
        ``[..., N]`` int32 to write into.

    Returns
    -------
    ndarray
        ``[..., N]`` int32: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape, layout or value does not fit; the message names it.

    Notes
    -----
    ONNX MatMulInteger (opset 10). The same bits on every instruction set and thread count.
    """
    if type(a) is not np.ndarray:
        a = as_array("qgemm: a", a)
    return _core.qgemm(a, packed, a_zero_point, out)


def qmatmul(
    a: ArrayLike,
    b: ArrayLike,
    a_zero_point: ArrayLike = 0,
    b_zero_point: ArrayLike = 0,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """Multiply two integer arrays exactly: ``(a - a_zero_point) . (b - b_zero_point)``.

    For operands that both come at run time, as in attention. Weights are packed once, by
    :func:`pack`, and multiplied by :func:`qgemm`.

    Parameters
    ----------
    a
        ``[..., M, K]`` uint8 or int8, contiguous along its last axis; other strides are free.
    b
        ``[..., K, N]`` uint8 or int8, with any strides: ``keys.swapaxes(-1, -2)`` is read where it
        lies. The leading dimensions of `a` and `b` broadcast. All four pairs of signs run at full
        speed.
    a_zero_point
        In the type of `a`: one, or ``[M]``, one for each row.
    b_zero_point
        In the type of `b`: one, or ``[N]``, one for each column.
    out
        ``[..., M, N]`` int32 to write into: C-contiguous, or a matrix whose rows may lie apart.

    Returns
    -------
    ndarray
        ``[..., M, N]`` int32: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape, layout or value does not fit; the message names it. Or a sum over
        K could leave int32.

    Notes
    -----
    ONNX MatMulInteger (opset 10). The same bits on every instruction set and thread count.
    """
    if type(a) is not np.ndarray:
        a = as_array("qmatmul: a", a)
    if type(b) is not np.ndarray:
        b = as_array("qmatmul: b", b)
    return _core.qmatmul(a, b, a_zero_point, b_zero_point, out)


def qlinear(
    a: ArrayLike,
    packed: PackedWeights,
    *,
    a_scale: ArrayLike,
    a_zero_point: ArrayLike = 0,
    y_scale: float | None = None,
    y_zero_point: int = 0,
    y_dtype: str = "uint8",
    activation: ActivationLike = None,
    residual: NDArray[Any] | None = None,
    residual_scale: float = 1.0,
    residual_zero_point: int = 0,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Run a quantized layer: ``y = act(real(a) . real(w) + bias + real(residual))``.

    Parameters
    ----------
    a
        ``[..., K]`` uint8 or int8.
    packed
        Integer weights from :func:`pack`, with a scale.
    a_scale, a_zero_point
        Of `a`: one, or ``[M]``, one for each row.
    y_scale
        None: the result is float32. Else it is quantized with this scale.
    y_zero_point, y_dtype
        Of a quantized result: "uint8" or "int8".
    activation
        None, a name ("relu", "clip", "hard_swish", "silu", "gelu" ...), or (name, alpha, beta).
    residual
        ``[..., N]`` of the type of the result, added before the activation.
    residual_scale, residual_zero_point
        Of an integer `residual`.
    out
        ``[..., N]`` of the type of the result to write into.

    Returns
    -------
    ndarray
        ``[..., N]`` float32, uint8 or int8: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape, layout or value does not fit; the message names it.

    Notes
    -----
    ONNX QLinearMatMul (opset 21) by its text: the product with float32(a_scale * scale / y_scale)
    is rounded half to even, then the zero point is added, then it saturates. None, "relu" and
    "clip" clamp before the rounding; other activations are computed in float32.
    """
    if type(a) is not np.ndarray:
        a = as_array("qlinear: a", a)
    return _core.qlinear(
        a,
        packed,
        a_scale,
        a_zero_point,
        y_scale,
        y_zero_point,
        y_dtype,
        None if activation is None else _activation(activation),
        residual,
        residual_scale,
        residual_zero_point,
        out,
    )


def linear(
    x: ArrayLike,
    packed: PackedWeights,
    *,
    activation: ActivationLike = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Multiply float32 by packed weights: ``y = act(x . real(w) + bias)``.

    Parameters
    ----------
    x
        ``[..., K]`` float32. With integer weights it has to be C-contiguous.
    packed
        From :func:`pack`. float32 weights: everything is float. Integer weights with a scale: `x`
        is quantized to uint8 with the scale and zero point that its range gives.
    activation
        As for :func:`qlinear`.
    out
        ``[..., N]`` float32 to write into.

    Returns
    -------
    ndarray
        ``[..., N]`` float32: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        An argument's type, shape or layout does not fit; the message names it.

    Notes
    -----
    With integer weights ONNX DynamicQuantizeLinear (opset 11), then MatMulInteger (opset 10).
    """
    if type(x) is not np.ndarray:
        x = as_array("linear: x", x)
    kept = None if activation is None else _activation(activation)
    return _core.linear(x, packed, kept, out)


class Linear:
    """A dense layer, float in and float out, with int8 weights and dynamic quantization inside.

    Parameters
    ----------
    w
        ``[K, N]`` float32; quantized here to int8 in [-127, 127] with one scale per column.
    bias
        ``[N]`` float32, or None.
    activation
        As for :func:`qlinear`.

    Raises
    ------
    TypeError, ValueError
        `w` is not a finite float32 matrix, or `bias` or `activation` does not fit.
    """

    def __init__(
        self,
        w: ArrayLike,
        bias: ArrayLike | None = None,
        activation: ActivationLike = None,
    ) -> None:
        array = as_array("Linear: w", w)
        if array.dtype != np.float32 or array.ndim != 2:
            msg = f"Linear: w must be float32 [K, N], found {array.dtype} {array.shape}"
            raise TypeError(msg) if array.dtype != np.float32 else ValueError(msg)
        largest = np.abs(array).max(axis=0, initial=0.0)
        if not np.isfinite(largest).all():
            column = int(np.argmin(np.isfinite(largest)))
            msg = f"Linear: w has a value that is not finite in column {column}"
            raise ValueError(msg)
        # A column of zeros, or of denormals that 127 steps cannot divide, takes scale 1.
        scale = (largest / np.float32(127)).astype(np.float32)
        scale[scale == 0] = 1
        q = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
        self._prepare(q, scale, bias, activation)

    @classmethod
    def from_quantized(
        cls,
        wq: QuantizedWeights,
        bias: ArrayLike | None = None,
        activation: ActivationLike = None,
    ) -> Linear:
        """Make a layer of weights that are integers already.

        Parameters
        ----------
        wq
            ``data`` ``[K, N]`` int8, and ``scale`` along ``axis`` 1, or one for all (axis None).
        bias
            ``[N]`` float32, or None.
        activation
            As for :func:`qlinear`.

        Returns
        -------
        Linear
            The layer.

        Raises
        ------
        TypeError, ValueError
            The weights are no matrix of integers with scales per column.
        """
        if wq.data.ndim != 2 or wq.axis not in {None, 1, -1}:
            msg = (
                f"Linear: wq must be [K, N] with axis 1 or None, "
                f"found shape {wq.data.shape} and axis {wq.axis}"
            )
            raise ValueError(msg)
        layer = cls.__new__(cls)
        layer._prepare(wq.data, wq.scale, bias, activation)  # noqa: SLF001
        return layer

    def _prepare(
        self,
        q: NDArray[Any],
        scale: ArrayLike,
        bias: ArrayLike | None,
        activation: ActivationLike,
    ) -> None:
        if q.dtype not in (np.int8, np.uint8):
            msg = f"Linear: the weights must be int8 or uint8, found {q.dtype}"
            raise TypeError(msg)
        self._activation = None if activation is None else _activation(activation)
        self.packed = pack(q, scale, bias)

    def __call__(self, x: ArrayLike, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Compute ``act(x . w + bias)``; see :func:`linear`."""
        if type(x) is not np.ndarray:
            x = as_array("Linear: x", x)
        return _core.linear(x, self.packed, self._activation, out)

    def __repr__(self) -> str:
        k, n = self.packed.shape
        return f"Linear({k} -> {n}, isa={self.packed.isa!r})"
