"""Element types: what the engine takes, and what each node gives.

The engine has no float16: such a model is run in float32 inside, and its outputs are rounded at the
end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import PRESET, Graph, Node, Quantized, Value, in_halves
from pycompress.graph.survey import survey
from pycompress.runtime.elements import ENGINE
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    Dtype = np.dtype[Any]

_HALF, _FLOAT = np.dtype(np.float16), np.dtype(np.float32)
_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)
_ONNX_FLOAT, _ONNX_HALF = 1, 10
_FIXED: dict[str, tuple[Dtype, ...]] = {
    "EmbedLayerNormalization": (_FLOAT, np.dtype(np.int32), _FLOAT),
    **dict.fromkeys(("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "SequenceLength"), (_INT64,)),
    "NonMaxSuppression": (_INT64,),
    **dict.fromkeys(
        ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not"),
        (_BOOL,),
    ),
    **dict.fromkeys(("IsNaN", "IsInf", "OptionalHasElement"), (_BOOL,)),
    "MatMulInteger": (np.dtype(np.int32),),
    "ConvInteger": (np.dtype(np.int32),),
    "DynamicQuantizeLinear": (np.dtype(np.uint8), _FLOAT, np.dtype(np.uint8)),
}

_BODIES = {"If": ("then_branch", 0), "Loop": ("body", 1), "Scan": ("body", 0)}
"""Which body's outputs, and from which on, an operator gives."""
_NAMED = {"Cast": "to", "BitCast": "to", "EyeLike": "dtype"}
"""The attribute that names the element type of the result."""
_NO_TENSOR = frozenset(
    (
        *("SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceErase", "SequenceAt"),
        *("SplitToSequence", "ConcatFromSequence", "SequenceMap", "Optional", "OptionalGetElement"),
    )
)
"""Operators whose inputs do not tell the element type of what they give."""


def widen_halves(graph: Graph) -> Graph:
    """Return `graph` with float32 in place of float16 everywhere, inputs and outputs included."""
    found = survey(graph.nodes)
    has_half = _HALF in found.dtypes or any(v.dtype == _HALF for v in graph.inputs)
    may_cast = found.nested or not found.ops.isdisjoint(_NAMED)
    if not has_half and not (may_cast and any(_casts_to_half(n) for n in graph.nodes)):
        return graph
    graph = graph.copy()
    _widen(graph)
    return graph


def _casts_to_half(node: Node) -> bool:
    return node.attrs.get("to") == _ONNX_HALF or any(
        _casts_to_half(n) for sub in node.subgraphs() for n in sub.nodes
    )


def _widen(graph: Graph) -> None:
    for value in graph.values():
        if isinstance(value.const, np.ndarray) and value.const.dtype == _HALF:
            value.const = value.const.astype(_FLOAT)
        if value.dtype == _HALF:
            value.dtype = _FLOAT
    for node in graph.nodes:
        for key, attr in node.attrs.items():
            if isinstance(attr, np.ndarray) and attr.dtype == _HALF:
                node.attrs[key] = attr.astype(_FLOAT)
            elif key in {"to", "dtype"} and attr == _ONNX_HALF:
                node.attrs[key] = _ONNX_FLOAT
        for sub in node.subgraphs():
            _widen(sub)


def infer(graph: Graph) -> None:
    """Fill in the element types that follow from the operators, in place; known ones stay."""
    for value in graph.outputs:
        _say_type(value)
    if survey(graph.nodes).typed:
        return
    for node in graph.nodes:
        for read in node.inputs:
            if read is not None and read.const is not None:
                _say_type(read)
        for made in node.outputs:
            if made.dtype is None:
                for value, dtype in zip(node.outputs, _results(node), strict=False):
                    value.dtype = dtype if value.dtype is None else value.dtype
                break


def infer_new(graph: Graph) -> None:
    """Do as `infer` where passes may have left types open since, and know all of them by now."""
    if None in survey(graph.nodes).dtypes:
        infer(graph)


def _say_type(value: Value) -> None:
    const = value.const
    if const is not None and not (in_halves(const) and value.dtype == _FLOAT):
        value.dtype = _FLOAT if isinstance(const, Quantized) else const.dtype


def _results(node: Node) -> Iterator[Dtype | None]:
    first = node.inputs[0] if node.inputs else None
    same = None if first is None else first.dtype
    if node.is_preset("recurrent"):
        yield from (same for _ in node.outputs)
    elif node.domain in {PRESET, NATIVE} and node.op != "MatMul":
        yield _native_result(node, same)
    elif node.op in _BODIES:
        yield from _of_body(node)
    elif node.op in _FIXED:
        yield from _FIXED[node.op]
    elif node.op in _NAMED:
        yield _of_onnx(int(node.attrs[_NAMED[node.op]])) if _NAMED[node.op] in node.attrs else same
    elif node.op == "QuantizeLinear":
        zero, code = node.input(2), int(node.attrs.get("output_dtype", 0))
        yield _of_onnx(code) if code else np.dtype(np.uint8) if zero is None else zero.dtype
    elif node.op == "DequantizeLinear":
        scale = node.input(1)
        yield _FLOAT if scale is None else scale.dtype
    elif node.op == "ConstantOfShape":
        fill = node.attrs.get("value")
        yield _FLOAT if fill is None else fill.dtype
    elif node.op in {"Where", "OneHot"}:
        source = node.input(2)
        yield None if source is None else source.dtype
    elif node.op in {"TopK", "MaxPool", "Unique"}:
        yield same
        yield from (_INT64, _INT64, _INT64)
    elif node.op not in _NO_TENSOR:
        for _ in node.outputs:
            yield same


def _of_body(node: Node) -> Iterator[Dtype | None]:
    for sub in node.subgraphs():
        infer(sub)
    body, skipped = _BODIES[node.op]
    yield from (v.dtype for v in node.attrs[body].outputs[skipped:])


def _native_result(node: Node, same: Dtype | None) -> Dtype | None:
    if node.op in {"conv", "linear", "conv_transpose"}:
        dtype: Dtype = np.dtype(node.attrs.get("y_dtype", "float32"))
        return dtype
    return _FLOAT if node.op == "embedding" else same


def _of_onnx(element: int) -> Dtype | None:
    from onnx.helper import tensor_dtype_to_np_dtype

    return np.dtype(tensor_dtype_to_np_dtype(element))


def unsupported(values: list[Value | None]) -> str | None:
    """Return a sentence about the first of these values whose type the engine does not take."""
    for value in values:
        if value is not None and value.dtype not in ENGINE:
            return (
                f"'{value.name}' is {value.dtype if value.dtype is not None else 'of unknown type'}"
            )
    return None
