"""Tensors of less than 8 bits and of 8-bit floats, held in wider types that the engine has.

Every number of a narrow type is one of the wide type, so that only what makes a narrow tensor
rounds: QuantizeLinear and Cast get the rounding behind them, and whatever reads one reads the wide
one. Weights are not touched: they have formats of their own.

    QuantizeLinear to int4   => QuantizeLinear to int8, Clip to -8..7
    QuantizeLinear to float8 => Div by the scale, round_to
    DequantizeLinear of int4 => DequantizeLinear of int8
    ... of float8            => Sub of the zero point, Mul by the scale
    Cast to float8           => Cast to float32, round_to
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.graph.names import Names
from pycompress.graph.survey import survey
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    Dtype = np.dtype[Any]


class _Integers(NamedTuple):
    wide: str
    low: int
    high: int
    code: int  # of the wide type in ONNX


class _Floats(NamedTuple):
    """The arguments of the engine's `round_to`."""

    digits: int
    least_exponent: int
    most: float
    infinite: bool = False
    one_zero: bool = False


_INTEGERS = {
    "int4": _Integers("int8", -8, 7, 3),
    "uint4": _Integers("uint8", 0, 15, 2),
    "int2": _Integers("int8", -2, 1, 3),
    "uint2": _Integers("uint8", 0, 3, 2),
}
_FLOATS = {
    "float8_e4m3fn": _Floats(3, -6, 448.0),
    "float8_e4m3fnuz": _Floats(3, -7, 240.0, one_zero=True),
    "float8_e5m2": _Floats(2, -14, 57344.0, infinite=True),
    "float8_e5m2fnuz": _Floats(2, -15, 57344.0, one_zero=True),
    "float4_e2m1fn": _Floats(1, 0, 6.0),
    "bfloat16": _Floats(7, -126, float.fromhex("0x1.fep127"), infinite=True),
}
_FLOAT, _ONNX_FLOAT = np.dtype(np.float32), 1


def wide(dtype: Dtype | None) -> Dtype | None:
    """Return the type that holds a narrow one, None when it is not narrow."""
    if dtype is None or dtype.isbuiltin == 1:  # NumPy's own
        return None
    if dtype.name in _FLOATS:
        return _FLOAT
    return np.dtype(_INTEGERS[dtype.name].wide) if dtype.name in _INTEGERS else None


def widen_narrow(graph: Graph) -> Graph:
    """Return `graph` with wide types in place of narrow ones, or as it is where that can't be.

    Parameters
    ----------
    graph : Graph
        With the element types that are known filled in. What it holds narrow, and an operator other
        than the three reads or makes, is left to other engines as a whole.
    """
    held = survey(graph.nodes).dtypes + [v.dtype for v in graph.inputs]
    narrow = {} if all(wide(dtype) is None for dtype in held) else _narrow(graph)
    if not narrow or not all(_can(n, narrow) for n in graph.nodes):
        return graph
    graph = graph.copy()
    names, narrow = Names(graph), _narrow(graph)
    graph.nodes = [part for node in graph.nodes for part in _widened(node, narrow, names)]
    for value in narrow:
        value.dtype = wide(value.dtype) or value.dtype
    return graph


def _narrow(graph: Graph) -> dict[Value, Dtype]:
    values = [*graph.inputs, *(v for n in graph.nodes for v in n.outputs)]
    return {v: v.dtype for v in values if v.dtype is not None and wide(v.dtype) is not None}


def _can(node: Node, narrow: dict[Value, Dtype]) -> bool:
    makes = any(v in narrow for v in node.outputs)
    if not makes and not any(v in narrow for v in node.reads()):
        return True
    source = node.inputs[0] if node.inputs else None
    if source is None:
        return False
    if node.is_op("Cast"):  # a cast to few bits wraps, which nothing here does
        return (
            wide(source.dtype) is not None or source.dtype in {_FLOAT, np.dtype(np.float64)}
        ) and node.output.dtype.name not in _INTEGERS  # type: ignore[union-attr]
    floats = (node.output if makes else source).dtype
    simple = floats is not None and floats.name not in _FLOATS
    if not node.is_op("QuantizeLinear", "DequantizeLinear"):
        return False
    parameters = [v for v in node.inputs[1:] if v is not None]
    known = source.shape is not None and all(
        v.shape is not None and len(v.shape) <= 1 for v in parameters
    )
    return simple or (known and not node.attrs.get("block_size"))


def _widened(node: Node, narrow: dict[Value, Dtype], names: Names) -> list[Node]:
    first = node.input(0)
    target, source = narrow.get(node.output), None if first is None else narrow.get(first)
    if target is None and source is None:
        return [node]
    for position, value in enumerate(node.inputs):
        if value is not None and value.const is not None and wide(value.dtype) is not None:
            node.inputs[position] = _constant(names, value.name, value.array(), wide(value.dtype))
    if target is not None:
        node.output.dtype = wide(target)
        if node.op == "QuantizeLinear":
            return _quantizer(node, target.name, names)
        return _cast(node, target.name, names)
    floats = source is not None and source.name in _FLOATS
    return _dequantizer(node, names) if floats and node.op == "DequantizeLinear" else [node]


def _quantizer(node: Node, name: str, names: Names) -> list[Node]:
    x, zero = node.inputs[0], node.input(2)
    out = node.output
    made = Value(names.fresh(f"{out.name}_wide"), out.dtype, out.shape)
    if name in _INTEGERS:
        kind = _INTEGERS[name]
        low, high = (
            _constant(names, f"{out.name}_{end}", np.array(limit), out.dtype)
            for end, limit in (("low", kind.low), ("high", kind.high))
        )
        attrs = {k: v for k, v in node.attrs.items() if k != "output_dtype"}
        if zero is None:
            attrs["output_dtype"] = kind.code
        first = Node(node.op, list(node.inputs), [made], attrs, name=node.name)
        return [first, Node("Clip", [made, low, high], [out], name=names.fresh(out.name))]
    before, (scale, zero) = _along_axis(node, names)
    ratio = Node("Div", [x, scale], [made], name=node.name)
    if zero is None:
        return [*before, ratio, _rounding(made, out, name, node, names)]
    moved = Value(names.fresh(f"{out.name}_moved"), _FLOAT, out.shape)
    shift = Node("Add", [made, zero], [moved], name=names.fresh(out.name))
    return [*before, ratio, shift, _rounding(moved, out, name, node, names)]


def _cast(node: Node, name: str, names: Names) -> list[Node]:
    out = node.output
    made = Value(names.fresh(f"{out.name}_wide"), _FLOAT, out.shape)
    first = Node("Cast", list(node.inputs), [made], {"to": _ONNX_FLOAT}, name=node.name)
    return [first, _rounding(made, out, name, node, names)]


def _rounding(x: Value, y: Value, name: str, node: Node, names: Names) -> Node:
    saturates = name != "bfloat16" and bool(node.attrs.get("saturate", 1))
    attrs = {**_FLOATS[name]._asdict(), "saturate": saturates}
    return Node("round_to", [x], [y], attrs, NATIVE, names.fresh(y.name))


def _dequantizer(node: Node, names: Names) -> list[Node]:
    x, out = node.inputs[0], node.output
    before, (scale, zero) = _along_axis(node, names)
    if zero is None:
        return [*before, Node("Mul", [x, scale], [out], name=node.name)]
    moved = Value(names.fresh(f"{out.name}_moved"), _FLOAT, out.shape)
    shift = Node("Sub", [x, zero], [moved], name=node.name)
    return [*before, shift, Node("Mul", [moved, scale], [out], name=names.fresh(out.name))]


def _along_axis(node: Node, names: Names) -> tuple[list[Node], tuple[Value, Value | None]]:
    """Return scale and zero point shaped to meet the axis that they belong to, and what does it."""
    x, scale, zero = (*node.inputs, None)[:3]
    assert x is not None
    assert scale is not None
    rank = len(x.shape or ())
    axis = int(node.attrs.get("axis", 1)) % max(rank, 1)
    shape = np.array([-1 if i == axis else 1 for i in range(rank)], np.int64)
    made: list[Node] = []

    def shaped(value: Value) -> Value:
        if value.shape in {(), (1,)}:
            return value
        out = Value(names.fresh(f"{value.name}_along"), _FLOAT)
        target = _constant(names, f"{value.name}_shape", shape, shape.dtype)
        made.append(Node("Reshape", [value, target], [out], name=names.fresh(out.name)))
        return out

    along = shaped(scale), None if zero is None else shaped(zero)
    return made, along


def _constant(names: Names, stem: str, array: np.ndarray, dtype: Dtype | None) -> Value:
    array = np.asarray(array).astype(dtype)
    return Value(names.fresh(stem), array.dtype, array.shape, array)
