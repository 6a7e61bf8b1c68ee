"""How operators that do not care about layout are rewritten to work on permuted tensors.

A rule gets the layout pass, the node, and the form to follow: ``x = Transpose(form.of,
form.perm)``. It emits the node anew, on `form.of`, with its axis numbers translated, and says which
permutation leads to the old result; or it returns False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import PRESET, Node, Value
from pycompress.runtime.moves import NATIVE
from pycompress.runtime.permute import axes_through, channels_last, integers, is_identity, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Shape
    from pycompress.runtime.layout import Form, Layout
    from pycompress.runtime.permute import Perm

    Rule = Callable[[Layout, Node, Form], bool]

LOOKS_THROUGH = frozenset(("Shape", "MatMul"))
"""Operators that read a permuted tensor at no cost, whoever else reads it."""


def _elementwise(layout: Layout, node: Node, lead: Form) -> bool:
    inputs = [None if v is None else layout.operand(v, lead.perm) for v in node.inputs]
    if any(v is None and old is not None for v, old in zip(inputs, node.inputs, strict=True)):
        return False
    layout.define(node, inputs, dict(node.attrs), lead.perm, sticky=lead.sticky)
    return True


def _first(layout: Layout, node: Node, lead: Form) -> Value | None:
    """Return the first input as seen through the form's permutation, if the rank fits."""
    x = node.inputs[0]
    return (
        layout.seen_through(x, lead.perm)
        if x is not None and layout.rank(x) == len(lead.perm)
        else None
    )


def _others(layout: Layout, node: Node) -> list[Value | None]:
    """Return what a node reads besides its first input, as it is without permutation."""
    return [None if v is None else layout.plain(v) for v in node.inputs[1:]]


def _quantize(layout: Layout, node: Node, lead: Form) -> bool:
    x, scale = _first(layout, node, lead), node.inputs[1]
    rank = None if scale is None else layout.rank(scale)
    if x is None or rank is None or rank > 1 or node.attrs.get("block_size"):
        return False
    attrs = dict(node.attrs)
    if rank == 1:
        attrs["axis"] = axes_through([attrs.get("axis", 1)], lead.perm)[0]
    layout.define(node, [x, *_others(layout, node)], attrs, lead.perm, sticky=lead.sticky)
    return True


def _concat(layout: Layout, node: Node, lead: Form) -> bool:
    if any(v is None or layout.rank(v) != len(lead.perm) for v in node.inputs):
        return False
    inputs: list[Value | None] = [
        layout.seen_through(v, lead.perm) for v in node.inputs if v is not None
    ]
    attrs = node.attrs | {"axis": axes_through([node.attrs["axis"]], lead.perm)[0]}
    layout.define(node, inputs, attrs, lead.perm, sticky=lead.sticky)
    return True


def _along(default: int) -> Rule:
    """Make the rule for operators with an `axis`, of this default, that keep the rank."""

    def rule(layout: Layout, node: Node, lead: Form) -> bool:
        x = _first(layout, node, lead)
        if x is None:
            return False
        attrs = node.attrs | {"axis": axes_through([node.attrs.get("axis", default)], lead.perm)[0]}
        layout.define(node, [x, *_others(layout, node)], attrs, lead.perm, sticky=lead.sticky)
        return True

    return rule


def _arg(layout: Layout, node: Node, lead: Form) -> bool:
    x, axis = _first(layout, node, lead), node.attrs.get("axis", 0) % len(lead.perm)
    if x is None:
        return False
    perm = lead.perm if node.attrs.get("keepdims", 1) else without(lead.perm, [axis])
    layout.define(node, [x], node.attrs | {"axis": lead.perm[axis]}, perm, sticky=lead.sticky)
    return True


def _const_axes(node: Node, index: int, rank: int) -> list[int] | None:
    axes = node.input(index)
    if axes is None or axes.const is None:
        return None
    return [int(axis) % rank for axis in axes.array().reshape(-1)]


def _reduce(layout: Layout, node: Node, lead: Form) -> bool:
    x, rank = _first(layout, node, lead), len(lead.perm)
    axes = list(range(rank)) if node.input(1) is None else _const_axes(node, 1, rank)
    if (
        x is None
        or axes is None
        or not axes
        or (node.input(1) is None and node.attrs.get("noop_with_empty_axes"))
    ):
        return False
    perm = lead.perm if node.attrs.get("keepdims", 1) else without(lead.perm, axes)
    moved = integers(sorted(axes_through(axes, lead.perm)), f"{node.output.name}_axes")
    layout.define(node, [x, moved], dict(node.attrs), perm, sticky=lead.sticky)
    return True


def _squeeze(layout: Layout, node: Node, lead: Form) -> bool:
    x, axes = _first(layout, node, lead), _const_axes(node, 1, len(lead.perm))
    if x is None or axes is None:
        return False
    moved = integers(sorted(axes_through(axes, lead.perm)), f"{node.output.name}_axes")
    layout.define(node, [x, moved], {}, without(lead.perm, axes), sticky=lead.sticky)
    return True


def _unsqueeze(layout: Layout, node: Node, lead: Form) -> bool:
    count = 0 if (v := node.input(1)) is None or v.const is None else v.array().size
    x, axes = _first(layout, node, lead), _const_axes(node, 1, len(lead.perm) + count)
    if x is None or axes is None:
        return False
    old, new = iter(lead.perm), iter(range(count))
    perm = tuple(
        next(new) if i in axes else next(old) + count for i in range(len(lead.perm) + count)
    )
    front = integers(range(count), f"{node.output.name}_axes")
    layout.define(node, [x, front], {}, perm, sticky=lead.sticky)
    return True


def _windowed(index: int, per_axis: int) -> Rule:
    """Make the rule for Pad and Slice: input `index` holds axes, input 1 `per_axis` for each."""

    def rule(layout: Layout, node: Node, lead: Form) -> bool:
        x, axes = _first(layout, node, lead), _const_axes(node, index, len(lead.perm))
        if x is None:
            return False
        if node.input(index) is None:
            count = _length(node.inputs[1])
            whole = count is not None and count % per_axis == 0
            axes = list(range(count // per_axis)) if whole and count is not None else None
        if axes is None:
            return False
        inputs = [x, *_others(layout, node)]
        inputs += [None] * (index + 1 - len(inputs))
        inputs[index] = integers(axes_through(axes, lead.perm), f"{node.output.name}_axes")
        layout.define(node, inputs, dict(node.attrs), lead.perm, sticky=lead.sticky)
        return True

    return rule


def _length(value: Value | None) -> int | None:
    """Return the number of elements of a vector, where it is known."""
    if value is None:
        return None
    dims = value.const.shape if value.const is not None else value.shape
    return dims[0] if dims is not None and len(dims) == 1 and isinstance(dims[0], int) else None


def _gather(layout: Layout, node: Node, lead: Form) -> bool:
    x, indices = _first(layout, node, lead), node.inputs[1]
    rank = None if indices is None else layout.rank(indices)
    if x is None or indices is None or rank is None or rank > 1:
        return False
    axis = node.attrs.get("axis", 0) % len(lead.perm)
    perm = lead.perm if rank == 1 else without(lead.perm, [axis])
    layout.define(
        node, [x, layout.plain(indices)], {"axis": lead.perm[axis]}, perm, sticky=lead.sticky
    )
    return True


def _shape(layout: Layout, node: Node, lead: Form) -> bool:
    whole = Value(f"{node.output.name}_permuted", np.dtype(np.int64), (len(lead.perm),))
    layout.emit(Node("Shape", [lead.of], [whole], name=node.name))
    order = lead.perm[slice(node.attrs.get("start", 0), node.attrs.get("end"))]
    picks = integers(order, f"{node.output.name}_order")
    layout.emit(Node("Gather", [whole, picks], node.outputs, {"axis": 0}, name=node.name))
    return True


def _batch_norm(layout: Layout, node: Node, lead: Form) -> bool:
    """Write it as a product and a sum, which follow; its parameters are constants."""
    x, channels = _first(layout, node, lead), lead.perm[1]
    values = [v for v in node.inputs[1:] if v is not None and v.const is not None]
    if x is None or len(values) != 4 or len(node.outputs) != 1:
        return False
    scale, bias, mean, var = (v.array().astype(np.float64) for v in values)
    factor = scale / np.sqrt(var + float(node.attrs.get("epsilon", 1e-5)))
    dims = [-1 if axis == channels else 1 for axis in range(len(lead.perm))]
    parts = [part.astype(np.float32).reshape(dims) for part in (factor, bias - mean * factor)]
    a, b = (
        Value(f"{node.output.name}_{key}", part.dtype, part.shape, part)
        for key, part in zip(("factor", "offset"), parts, strict=True)
    )
    product = Value(f"{node.output.name}_scaled", np.dtype(np.float32))
    layout.emit(Node("Mul", [x, a], [product], name=node.name))
    whole = Node("Add", [product, b], node.outputs, name=node.name)
    layout.define(whole, [product, b], {}, lead.perm, sticky=lead.sticky)
    return True


def _instance_norm(layout: Layout, node: Node, lead: Form) -> bool:
    """Behind what leaves channels last, each channel is a group of its own."""
    x, rank, scale = _first(layout, node, lead), len(lead.perm), node.inputs[1]
    known = scale is not None and scale.shape is not None and len(scale.shape) == 1
    channels = scale.shape[0] if known and scale is not None and scale.shape else None
    if x is None or lead.perm != channels_last(rank) or not isinstance(channels, int):
        return False
    attrs = {"groups": channels, "epsilon": node.attrs.get("epsilon", 1e-5)}
    inputs = [x, *_others(layout, node)]
    norm = Node("group_norm", inputs, node.outputs, attrs, NATIVE, node.name)
    layout.define(norm, inputs, attrs, lead.perm, sticky=lead.sticky)
    return True


def _reshape(layout: Layout, node: Node, lead: Form) -> bool:
    """Let a Reshape that leaves the axes in their order take place where they lie."""
    x, after = node.inputs[0], node.output.shape
    before = None if x is None else x.shape
    if before is None or after is None or len(before) != len(lead.perm) or before[0] is None:
        return False
    return any(
        reshape(layout, node, lead, before, after)
        for reshape in (_join_pixels, _part_channels, _join_channels)
    )


def _join_pixels(layout: Layout, node: Node, lead: Form, before: Shape, after: Shape) -> bool:
    """(N, C, spatial...) -> (N, C, all of it)."""
    channels = before[1]
    if len(after) != 3 or before[:2] != after[:2] or not isinstance(channels, int):
        return False
    if lead.perm != channels_last(len(before)):
        return False
    target = integers([0, -1, channels], f"{node.output.name}_shape")
    layout.define(node, [lead.of, target], {}, (0, 2, 1), sticky=lead.sticky)
    return True


def _part_channels(layout: Layout, node: Node, lead: Form, before: Shape, after: Shape) -> bool:
    """(N, C, spatial...) -> (N, groups, channels, spatial...)."""
    rank = len(before)
    if None in before or len(after) != rank + 1 or after[:1] + after[3:] != before[:1] + before[2:]:
        return False
    sizes = [size for size in after[1:3] if isinstance(size, int)]
    if lead.perm != channels_last(rank) or len(sizes) != 2:
        return False
    target = integers([*[0] * (rank - 1), *sizes], f"{node.output.name}_shape")
    layout.define(node, [lead.of, target], {}, _parted_last(rank + 1), sticky=lead.sticky)
    return True


def _join_channels(layout: Layout, node: Node, lead: Form, before: Shape, after: Shape) -> bool:
    """(N, groups, channels, spatial...) -> (N, C, spatial...), in whichever order both lie."""
    rank, perm = len(before), lead.perm
    if None in before or rank < 4 or len(after) != rank - 1:
        return False
    if after[:1] + after[2:] != before[:1] + before[3:]:
        return False
    last, x = _parted_last(rank), node.inputs[0]
    where_it_lies = (perm[0], *perm[3:]) == (last[0], *last[3:])
    if x is None or not where_it_lies or not isinstance(after[1], int):
        return False
    target = integers([*[0] * (rank - 2), after[1]], f"{node.output.name}_shape")
    inputs: list[Value | None] = [layout.seen_through(x, last), target]
    layout.define(node, inputs, {}, channels_last(rank - 1), sticky=lead.sticky)
    return True


def _parted_last(rank: int) -> Perm:
    """Return that from (N, spatial..., groups, channels) to (N, groups, channels, spatial...)."""
    return (0, rank - 2, rank - 1, *range(1, rank - 2))


def _matmul(layout: Layout, node: Node, _: Form) -> bool:
    """Let the product read its operands transposed where that saves moving single elements."""
    if node.output.dtype != np.float32 or layout.refusal(node) is not None:
        return False
    attrs = dict(node.attrs)
    inputs: list[Value | None] = []
    for key, value in zip(("trans_a", "trans_b"), node.inputs, strict=True):
        form = None if value is None else layout.forms.get(value)
        if value is None or form is None or len(form.perm) < 2:
            inputs.append(value)
            continue
        swapped = (*form.perm[:-2], form.perm[-1], form.perm[-2])
        whole_rows = key == "trans_b" and swapped[-1] == len(swapped) - 1
        if is_identity(swapped) or whole_rows:
            attrs[key] = 1 - int(attrs.get(key, 0))
            inputs.append(layout.permuted(form.of, swapped))
        else:
            inputs.append(layout.plain(value))
    layout.emit(Node("MatMul", inputs, node.outputs, attrs, NATIVE, node.name, node.metadata))
    return True


_ELEMENTWISE = (
    *(
        "Abs",
        "Neg",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Silu",
        "Tanh",
        "Gelu",
        "Erf",
    ),
    *(
        "Exp",
        "Log",
        "Sqrt",
        "Reciprocal",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Softplus",
        "Sin",
        "Cos",
        "Not",
        "Identity",
        "Cast",
    ),
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Where"),
    *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor"),
)
_REDUCTIONS = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
    *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
)

RULES: dict[tuple[str, str], Rule] = {
    **{("", op): _elementwise for op in _ELEMENTWISE},
    **{(NATIVE, op): _elementwise for op in ("q_table", "q_add", "q_mul")},
    (PRESET, "activation"): _elementwise,
    ("", "QuantizeLinear"): _quantize,
    ("", "DequantizeLinear"): _quantize,
    ("", "Concat"): _concat,
    ("", "Softmax"): _along(-1),
    ("", "LogSoftmax"): _along(-1),
    ("", "Split"): _along(0),
    ("", "ArgMax"): _arg,
    ("", "ArgMin"): _arg,
    **{("", op): _reduce for op in _REDUCTIONS},
    ("", "Squeeze"): _squeeze,
    ("", "Unsqueeze"): _unsqueeze,
    ("", "Pad"): _windowed(3, 2),
    ("", "Slice"): _windowed(3, 1),
    ("", "Gather"): _gather,
    ("", "BatchNormalization"): _batch_norm,
    ("", "InstanceNormalization"): _instance_norm,
    ("", "Reshape"): _reshape,
    ("", "Shape"): _shape,
    ("", "MatMul"): _matmul,
    (NATIVE, "MatMul"): _matmul,
}
"""By domain and operator."""
