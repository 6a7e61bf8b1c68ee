"""Dropping nodes that pass their input on unchanged, and those that undo each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.dims import broadcast
from pycompress.graph.edit import Edit

if TYPE_CHECKING:
    from pycompress.graph.ir import Node, Shape, Value
    from pycompress.graph.shapes import Shapes

_MOVES_NOTHING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")

_OPS = frozenset(
    (
        *("Identity", "Dropout", "Cast", "Transpose", "Concat", "Sum", "Max", "Min", "Mean"),
        *("Mul", "Div", "Add", "Sub", "Equal", "Where", "Pad", "Expand", "Slice"),
        *_MOVES_NOTHING,
    )
)
"""The operators that `_join` and `_unchanged` look at."""


_MOVING = frozenset(("Transpose", "Reshape"))
_JOINING = _MOVING | {"Add", "Sub", "Mul", "Div", "Equal", "Where"}
"""The operators that `_join` looks at: without an Expand in front, the two that move values."""


def drop_identities(edit: Edit) -> None:
    """Let readers of Identity and the like read the input itself; join chains of moves."""
    shapes = edit.shapes()
    nodes = edit.nodes()
    joins = _JOINING if any(node.op == "Expand" for node in nodes) else _MOVING
    for node in nodes:
        if node.op not in _OPS or node.domain or not edit.owns(node):
            continue
        if node.op in joins:
            _join(edit, shapes, node)
        source = _unchanged(edit, shapes, node)
        if source is not None:
            edit.replace(node.output, source)


def _unchanged(edit: Edit, shapes: Shapes, node: Node) -> Value | None:
    """Return the input that the first output equals, or None."""
    x = node.input(0)
    if x is None or not node.outputs:
        return None
    same = False
    match node.op:
        case "Identity":
            same = True
        case "Dropout":
            mode = node.input(2)
            training = mode is not None and (mode.const is None or bool(mode.array().any()))
            same = not training and not any(
                edit.readers(v) or edit.is_output(v) for v in node.outputs[1:]
            )
        case "Cast":
            same = x.dtype is not None and x.dtype == node.output.dtype
        case "Transpose":
            perm = node.attrs.get("perm")
            same = perm is not None and list(perm) == sorted(perm)
        case "Concat" | "Sum" | "Max" | "Min" | "Mean":
            same = len(node.inputs) == 1
        case "Mul" | "Div" | "Add" | "Sub":
            neutral = 1 if node.op in {"Mul", "Div"} else 0
            return _beside(shapes, node, neutral)
        case "Pad":
            pads = node.input(1)
            same = pads is not None and pads.const is not None and not pads.array().any()
        case "Reshape" | "Expand" | "Flatten" | "Squeeze" | "Unsqueeze":
            same = _equal(shapes.shape(x), shapes.shape(node.output))
        case "Slice":
            steps = node.input(4)
            forward = steps is None or (
                steps.const is not None and bool((steps.array() == 1).all())
            )
            same = forward and _equal(shapes.shape(x), shapes.shape(node.output))
    return x if same else None


def _beside(shapes: Shapes, node: Node, neutral: float) -> Value | None:
    """Return the operand that stands beside the neutral number."""
    places = (1, 0) if node.op in {"Mul", "Add"} else (1,)
    for place in places:
        number, other = node.inputs[place], node.inputs[1 - place]
        if number is None or other is None or not isinstance(number.const, np.ndarray):
            continue
        content = number.const
        same = content.size > 0 and content.item(0) == neutral and bool((content == neutral).all())
        if same and _equal(shapes.shape(other), shapes.shape(node.output)):
            return other
    return None


def _equal(a: Shape | None, b: Shape | None) -> bool:
    return a is not None and a == b and None not in a


def _join(edit: Edit, shapes: Shapes, node: Node) -> None:
    """Let a node read past the one before it, where that makes no difference."""
    before = edit.producer(node.input(0))
    if before is not None and before.is_op("Transpose") and node.op == "Transpose":
        perms = before.attrs.get("perm"), node.attrs.get("perm")
        if perms[0] is not None and perms[1] is not None and len(perms[0]) == len(perms[1]):
            node.attrs["perm"] = [int(perms[0][i]) for i in perms[1]]
            edit.set_inputs(node, [before.inputs[0]])
    elif before is not None and before.is_op(*_MOVES_NOTHING) and node.op == "Reshape":
        target = shapes.content(node.input(1))
        copies = target is None or (0 in target and not node.attrs.get("allowzero"))
        if not copies:  # a 0 stands for a size of the tensor in between
            edit.set_inputs(node, [before.inputs[0], *node.inputs[1:]])
    elif len(node.inputs) == 2 and node.op not in _MOVING:
        _read_past_expand(edit, shapes, node)


def _read_past_expand(edit: Edit, shapes: Shapes, node: Node) -> None:
    """Element-wise operators broadcast by themselves what an Expand in front of them broadcasts."""
    for position, value in enumerate(node.inputs):
        expand = edit.producer(value)
        if expand is None or not expand.is_op("Expand"):
            continue
        inputs = list(node.inputs)
        inputs[position] = expand.inputs[0]
        if _equal(broadcast(*map(shapes.shape, inputs)), shapes.shape(node.output)):
            edit.set_inputs(node, inputs)
