"""What lets a positive factor for each channel through, and where its channels lie behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeAlias

from pycompress.convert.plan import label

if TYPE_CHECKING:
    from pycompress.graph.ir import Node, Shape, Value


class Refused(Exception):  # noqa: N818 - it is no error, but a sentence for the report
    """A factor does not get through."""


@dataclass(frozen=True)
class Layout:
    """Where the channels of a value lie.

    Attributes
    ----------
    axes : tuple of int
        The first is the slowest.
    dims : tuple of int
        How the channels are divided up among them.
    repeat : int
        Neighbouring elements of the last axis that belong to one channel.
    """

    axes: tuple[int, ...]
    dims: tuple[int, ...]
    repeat: int = 1


HOMOGENEOUS = (None, "", "relu", "leaky_relu")
"""Activations that let a positive factor through."""

Step: TypeAlias = Callable[["Node", int, Layout], Layout]
"""Takes a node, which input it is that the channels come in by, and their layout there."""


def of_layer(
    node: Node, index: int, layout: Layout, members: Mapping[Value, Layout]
) -> list[tuple[Value, Layout]]:
    """Return what comes into a stream because a node reads it: its result, and what it adds.

    Parameters
    ----------
    node : Node
    index : int
        The input that is in the stream.
    layout : Layout
        Of that input.
    members : dict
        The stream so far.

    Raises
    ------
    Refused
        The node does not let a factor through.
    """
    if node.is_op("Shape"):
        return []
    if node.is_preset("activation") and node.attrs.get("activation") in HOMOGENEOUS:
        return [(node.output, layout)]
    step = STEPS.get(node.op) if not node.domain else None
    if step is None or len(node.outputs) != 1:
        msg = f"{_named(node)} reads it, which does not let a factor through"
        raise Refused(msg)
    found = [(node.output, step(node, index, layout))]
    for place, value in enumerate(node.inputs):
        if value is None or place == index:
            continue
        if node.op in SUMS and value.const is None:
            _same_channels(node, value, layout)
            found.append((value, layout))
        elif node.op not in SUMS and value in members:
            msg = f"{_named(node)} reads it twice"
            raise Refused(msg)
    return found


def passed(node: Node, layout: Layout) -> list[Value]:
    """Return the values whose factors a node hands on, given the layout of its result.

    Raises
    ------
    Refused
        It hands none on, or lays their channels out anew.
    """
    keeps = node.is_op(*SUMS, *KEEPS) or node.is_preset("activation")
    if not keeps or node.attrs.get("activation") not in HOMOGENEOUS:
        msg = f"it meets what comes from {_named(node)}"
        raise Refused(msg)
    values = node.inputs if node.op in SUMS else node.inputs[:1]
    found = [v for v in values if v is not None and v.const is None]
    for value in found:
        _same_channels(node, value, layout)
    return found


def _same_channels(node: Node, value: Value, layout: Layout) -> None:
    """Refuse what is broadcast against the stream along its channels."""
    shape, whole = value.shape, node.output.shape
    if (
        shape is None
        or whole is None
        or len(shape) != len(whole)
        or any(shape[axis] != whole[axis] for axis in layout.axes)
    ):
        msg = f"{_named(node)} joins it with '{value.name}', whose channels are not known to fit"
        raise Refused(msg)


def _named(node: Node) -> str:
    return f"{node.op} '{label(node)}'"


def _keep(node: Node, index: int, layout: Layout) -> Layout:
    if index:
        msg = f"{_named(node)} takes it for a parameter"
        raise Refused(msg)
    return layout


def _pool(node: Node, index: int, layout: Layout) -> Layout:
    if layout.axes != (1,):
        msg = f"{_named(node)} gathers channels"
        raise Refused(msg)
    return _keep(node, index, layout)


def _resize(node: Node, index: int, layout: Layout) -> Layout:
    if node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        msg = f"{_named(node)} may put a number of its own in"
        raise Refused(msg)
    return _pool(node, index, layout)


def _times(node: Node, index: int, layout: Layout) -> Layout:
    if node.op == "Div" and index:
        msg = f"{_named(node)} divides by it"
        raise Refused(msg)
    if node.inputs[0] is node.inputs[1]:
        msg = f"{_named(node)} squares it"
        raise Refused(msg)
    return _as_wide(node, index, layout)


def _as_wide(node: Node, index: int, layout: Layout) -> Layout:
    """Keep the layout of an operand that has as many axes and channels as the result."""
    value = node.inputs[index]
    if value is not None:
        _same_channels(node, value, layout)
    return layout


def _transpose(node: Node, index: int, layout: Layout) -> Layout:  # noqa: ARG001 - as all
    order = list(node.attrs.get("perm") or ())
    if not order:
        msg = f"{_named(node)} turns all axes round"
        raise Refused(msg)
    return Layout(tuple(order.index(axis) for axis in layout.axes), layout.dims, layout.repeat)


def _matmul(node: Node, index: int, layout: Layout) -> Layout:
    """Keep the layout where the axis that is summed over holds no channels."""
    ranks = [len(v.shape) if v is not None and v.shape is not None else None for v in node.inputs]
    if ranks[0] is None or ranks[0] != ranks[1]:
        msg = f"the ranks of what {_named(node)} multiplies are not known to be the same"
        raise Refused(msg)
    if (ranks[0] - (2 if index else 1)) in layout.axes:
        msg = f"{_named(node)} sums over the channels"
        raise Refused(msg)
    value = node.inputs[index]
    whole = node.output.shape
    shape = None if value is None else value.shape
    batch = [axis for axis in layout.axes if axis < ranks[0] - 2]
    if shape is None or whole is None or any(shape[a] != whole[a] for a in batch):
        msg = f"{_named(node)} broadcasts it"
        raise Refused(msg)
    return layout


def _reshape(node: Node, index: int, layout: Layout) -> Layout:
    """Follow channels at the end of a shape, or with all that comes behind them.

    Elements keep their order, so an axis that holds a channel's elements one after the other still
    does, whatever becomes of the axes before.
    """
    value = node.inputs[index]
    before = None if value is None else value.shape
    after = node.output.shape
    if index or before is None or after is None:
        msg = f"the shapes around {_named(node)} are unknown"
        raise Refused(msg)
    last = layout.axes[-1]
    inner = before[last + 1 :]
    together = layout.axes == tuple(range(layout.axes[0], last + 1))
    if not together or not all(isinstance(d, int) for d in inner):
        msg = f"{_named(node)} takes its channels apart"
        raise Refused(msg)
    repeat = layout.repeat * prod(d for d in inner if isinstance(d, int))
    found = _suffix(after, prod(layout.dims), repeat)
    if found is None:
        msg = f"{_named(node)} takes its channels apart"
        raise Refused(msg)
    return found


def _suffix(shape: Shape, channels: int, repeat: int) -> Layout | None:
    """Return the layout at the end of a shape whose last axes hold the channels and no more."""
    if repeat != 1:
        axis = len(shape) - 1
        return Layout((axis,), (channels,), repeat) if shape[-1] == channels * repeat else None
    size = 1
    axes: list[int] = []
    for axis in reversed(range(len(shape))):
        dim = shape[axis]
        if not isinstance(dim, int):
            return None
        size *= dim
        if dim != 1:
            axes.insert(0, axis)
        if size == channels:
            axes = axes or [axis]  # of one channel
            return Layout(tuple(axes), tuple(int(shape[a] or 0) for a in axes))
        if size > channels:
            return None
    return None


KEEPS: dict[str, Step] = {
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "Identity", "Neg", "Abs"), _keep),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"), _pool),
    "Resize": _resize,
}
"""Operators of one operand that leave channels where they are."""

SUMS: dict[str, Step] = dict.fromkeys(("Add", "Sub"), _as_wide)
"""Operators all of whose operands have to have the same factors."""

STEPS: dict[str, Step] = {
    **KEEPS,
    **SUMS,
    **dict.fromkeys(("Mul", "Div"), _times),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose,
    "MatMul": _matmul,
}
"""By operator: what a factor passes through."""
