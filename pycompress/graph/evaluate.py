"""The standard operators, of opset 18, on arrays that are known before the model runs.

Only what turns up in front of the real work of a model is here: shape arithmetic, moving data,
element-wise functions, and QuantizeLinear of a weight. What is not here is not folded, and the
runtime computes it once when it plans.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.graph.ir import Node

Array: TypeAlias = "np.ndarray[Any, Any]"
Inputs: TypeAlias = "Sequence[Array | None]"
Operator: TypeAlias = "Callable[[Node, Inputs], Array | list[Array]]"


class NotFoldableError(Exception):
    """These inputs have no early answer: an error at run time, or an undefined result."""


def can_evaluate(node: Node) -> bool:
    """Tell whether `evaluate` knows a node's operator."""
    return node.domain == "" and node.op in _OPERATORS


def evaluate(node: Node, inputs: Inputs) -> list[Array] | None:
    """Compute a node's outputs; None when that fails, and the runtime is to say why."""
    try:
        with np.errstate(all="ignore"):
            result = _OPERATORS[node.op](node, inputs)
    except (NotFoldableError, ValueError, IndexError, TypeError, OverflowError, MemoryError):
        return None
    results = result if isinstance(result, list) else [result]
    return [np.asarray(r) for r in results]


def _given(array: Array | None) -> Array:
    if array is None:
        raise NotFoldableError
    return array


def _unary(function: Callable[[Array], Array]) -> Operator:
    def apply(node: Node, inputs: Inputs) -> Array:
        x = _given(inputs[0])
        return np.asarray(function(x)).astype(x.dtype, copy=False)

    return apply


def _wide(function: Callable[[Array], Array]) -> Operator:
    """Return an operator that is computed in float64, and rounded once: the same on any machine."""

    def apply(node: Node, inputs: Inputs) -> Array:
        x = _given(inputs[0])
        return np.asarray(function(x.astype(np.float64))).astype(x.dtype)

    return apply


def _matmul(node: Node, inputs: Inputs) -> Array:
    a, b = _given(inputs[0]), _given(inputs[1])
    exact = np.float64 if a.dtype.kind == "f" else a.dtype
    return np.asarray(np.matmul(a.astype(exact), b.astype(exact))).astype(a.dtype)


def _fold(function: Callable[[Array, Array], Array]) -> Operator:
    """Return an operator of one or more inputs from a function of two."""

    def apply(node: Node, inputs: Inputs) -> Array:
        result = _given(inputs[0])
        dtype = result.dtype
        for other in inputs[1:]:
            result = np.asarray(function(result, _given(other)))
        return result.astype(dtype, copy=False)

    return apply


def _compare(function: Callable[[Array, Array], Array]) -> Operator:
    def apply(node: Node, inputs: Inputs) -> Array:
        return np.asarray(function(_given(inputs[0]), _given(inputs[1])))

    return apply


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if not b.all():
        raise NotFoldableError
    quotient = np.abs(a) // np.abs(b)  # towards zero, as in C
    return np.asarray(np.where((a < 0) == (b < 0), quotient, -quotient))


def _mod(node: Node, inputs: Inputs) -> Array:
    a, b = _given(inputs[0]), _given(inputs[1])
    if a.dtype.kind in "iu" and not b.all():
        raise NotFoldableError
    return np.asarray(np.fmod(a, b) if node.attrs.get("fmod") else np.mod(a, b))


def _power(node: Node, inputs: Inputs) -> Array:
    base, exponent = _given(inputs[0]), _given(inputs[1])
    if base.dtype.kind in "iu":
        raise NotFoldableError
    return np.power(base, exponent).astype(base.dtype)


def _cast(node: Node, inputs: Inputs) -> Array:
    from pycompress.readers.onnx.tensors import DTYPES

    x, dtype = _given(inputs[0]), DTYPES.get(node.attrs["to"])
    if dtype is None or (x.dtype.kind == "f" and dtype.kind in "iu" and not np.isfinite(x).all()):
        raise NotFoldableError
    if x.dtype.kind == "f" and dtype.kind in "iu" and x.size:
        limits = np.iinfo(dtype)
        if x.min() < limits.min or x.max() > limits.max:  # each machine answers differently
            raise NotFoldableError
    return x.astype(dtype)


def _axes(node: Node, array: Array | None, rank: int) -> tuple[int, ...] | None:
    return None if array is None else tuple(int(a) % rank for a in array.ravel())


def _reshape(node: Node, inputs: Inputs) -> Array:
    x, shape = _given(inputs[0]), _given(inputs[1]).tolist()
    if not node.attrs.get("allowzero"):
        shape = [x.shape[i] if d == 0 else d for i, d in enumerate(shape)]
    return x.reshape(shape)


def _flatten(node: Node, inputs: Inputs) -> Array:
    x, axis = _given(inputs[0]), node.attrs.get("axis", 1)
    axis += x.ndim if axis < 0 else 0
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _squeeze(node: Node, inputs: Inputs) -> Array:
    x = _given(inputs[0])
    return np.squeeze(x, _axes(node, inputs[1] if len(inputs) > 1 else None, x.ndim or 1))


def _unsqueeze(node: Node, inputs: Inputs) -> Array:
    x, axes = _given(inputs[0]), _given(inputs[1])
    return np.expand_dims(x, _axes(node, axes, x.ndim + axes.size) or ())


def _transpose(node: Node, inputs: Inputs) -> Array:
    return np.ascontiguousarray(np.transpose(_given(inputs[0]), node.attrs.get("perm")))


def _concat(node: Node, inputs: Inputs) -> Array:
    return np.concatenate([_given(a) for a in inputs], node.attrs["axis"])


def _slice(node: Node, inputs: Inputs) -> Array:
    x, starts, ends = (_given(a) for a in inputs[:3])
    axes = inputs[3] if len(inputs) > 3 else None
    steps = inputs[4] if len(inputs) > 4 else None
    at = _axes(node, axes, x.ndim) or tuple(range(starts.size))
    index = [slice(None)] * x.ndim
    for i, axis in enumerate(at):
        step = 1 if steps is None else int(steps[i])
        start, end = int(starts[i]), int(ends[i])
        if (
            step < 0 and end < -x.shape[axis]
        ):  # behind the first element, which NumPy writes as None
            index[axis] = slice(start, None, step)
        else:
            index[axis] = slice(start, end, step)
    return np.ascontiguousarray(x[tuple(index)])


def _gather(node: Node, inputs: Inputs) -> Array:
    return np.take(_given(inputs[0]), _given(inputs[1]), axis=node.attrs.get("axis", 0))


def _expand(node: Node, inputs: Inputs) -> Array:
    x, shape = _given(inputs[0]), _given(inputs[1])
    target = np.broadcast_shapes(x.shape, tuple(shape.tolist()))
    return np.ascontiguousarray(np.broadcast_to(x, target))


def _constant_of_shape(node: Node, inputs: Inputs) -> Array:
    value = node.attrs.get("value", np.zeros(1, np.float32))
    shape = tuple(_given(inputs[0]).tolist())
    if math.prod(shape) > 1 << 16:
        raise NotFoldableError
    return np.full(shape, value.reshape(()), value.dtype)


def _range(node: Node, inputs: Inputs) -> Array:
    start, limit, delta = (_given(a).reshape(()) for a in inputs)
    count = max(math.ceil((limit - start) / delta), 0)
    if count > 1 << 16:
        raise NotFoldableError
    return (start + np.arange(count) * delta).astype(start.dtype)


def _where(node: Node, inputs: Inputs) -> Array:
    condition, a, b = (_given(x) for x in inputs)
    return np.where(condition, a, b)


def _pad(node: Node, inputs: Inputs) -> Array:
    x, pads = _given(inputs[0]), _given(inputs[1]).reshape(2, -1)
    axes = inputs[3] if len(inputs) > 3 else None
    if node.attrs.get("mode", "constant") != "constant" or axes is not None or (pads < 0).any():
        raise NotFoldableError
    value = inputs[2] if len(inputs) > 2 else None
    return np.pad(x, pads.T, constant_values=0 if value is None else value.reshape(()))


def _clip(node: Node, inputs: Inputs) -> Array:
    x = _given(inputs[0])
    for bound, choose in zip(inputs[1:], (np.maximum, np.minimum), strict=False):
        x = x if bound is None else choose(x, bound)
    return x


def _reduce(function: Callable[..., Array]) -> Operator:
    def apply(node: Node, inputs: Inputs) -> Array:
        x = _given(inputs[0])
        axes = _axes(node, inputs[1] if len(inputs) > 1 else None, x.ndim or 1)
        if not axes and node.attrs.get("noop_with_empty_axes"):
            return x
        kept = bool(node.attrs.get("keepdims", 1))
        return np.asarray(function(x, axis=axes or None, keepdims=kept)).astype(x.dtype)

    return apply


def _summed(before: Callable[[Array], Array], after: Callable[[Array], Array]) -> Operator:
    """Return a sum of what `before` makes of the elements, in float64."""

    def total(x: Array, **keywords: Any) -> Array:  # noqa: ANN401
        return after(np.sum(before(x.astype(np.float64)), **keywords))

    return _reduce(total)


def _batch_normalization(node: Node, inputs: Inputs) -> Array:
    if node.attrs.get("training_mode"):
        raise NotFoldableError
    x = _given(inputs[0])
    along = (1, -1, *[1] * (x.ndim - 2))
    scale, bias, mean, var = (_given(a).astype(np.float64).reshape(along) for a in inputs[1:5])
    factor = scale / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
    return np.asarray((x - mean) * factor + bias).astype(x.dtype)


def _quantize(node: Node, inputs: Inputs) -> Array:
    x, scale = _given(inputs[0]), _given(inputs[1])
    zero = inputs[2] if len(inputs) > 2 else None
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    if dtype not in (np.int8, np.uint8) or x.dtype != np.float32 or node.attrs.get("block_size"):
        raise NotFoldableError
    if scale.ndim == 1:
        rank = [1] * x.ndim
        rank[node.attrs.get("axis", 1)] = scale.size
        scale, zero = scale.reshape(rank), None if zero is None else zero.reshape(rank)
    limits = np.iinfo(dtype)
    steps = np.rint(x / scale) + (0 if zero is None else zero.astype(np.float32))
    return np.nan_to_num(np.clip(steps, limits.min, limits.max), nan=limits.min).astype(dtype)


_OPERATORS: dict[str, Operator] = {
    "Identity": _unary(lambda x: x),
    "Neg": _unary(np.negative),
    "Abs": _unary(np.abs),
    "Sqrt": _unary(np.sqrt),
    "Exp": _wide(np.exp),
    "Log": _wide(np.log),
    "Sin": _wide(np.sin),
    "Cos": _wide(np.cos),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Round": _unary(np.rint),
    "Sign": _unary(np.sign),
    "Tanh": _wide(np.tanh),
    "Reciprocal": _unary(lambda x: 1 / x),
    "Sigmoid": _wide(lambda x: 1 / (1 + np.exp(-x))),
    "Relu": _unary(lambda x: np.maximum(x, 0)),
    "Not": _unary(np.logical_not),
    "Add": _fold(np.add),
    "Sub": _fold(np.subtract),
    "Mul": _fold(np.multiply),
    "Div": _fold(_divide),
    "Min": _fold(np.minimum),
    "Max": _fold(np.maximum),
    "Sum": _fold(np.add),
    "And": _compare(np.logical_and),
    "Or": _compare(np.logical_or),
    "Xor": _compare(np.logical_xor),
    "Equal": _compare(np.equal),
    "Less": _compare(np.less),
    "LessOrEqual": _compare(np.less_equal),
    "Greater": _compare(np.greater),
    "GreaterOrEqual": _compare(np.greater_equal),
    "MatMul": _matmul,
    "Mod": _mod,
    "Pow": _power,
    "Cast": _cast,
    "Clip": _clip,
    "Shape": lambda n, i: np.array(
        _given(i[0]).shape[n.attrs.get("start", 0) : n.attrs.get("end")], np.int64
    ),
    "Size": lambda n, i: np.array(_given(i[0]).size, np.int64),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "Expand": _expand,
    "Tile": lambda n, i: np.tile(_given(i[0]), _given(i[1])),
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Where": _where,
    "Pad": _pad,
    "ReduceSum": _reduce(np.sum),
    "ReduceProd": _reduce(np.prod),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
    "ReduceL1": _summed(np.abs, lambda x: x),
    "ReduceL2": _summed(np.square, np.sqrt),
    "ReduceSumSquare": _summed(np.square, lambda x: x),
    "BatchNormalization": _batch_normalization,
    "QuantizeLinear": _quantize,
}
