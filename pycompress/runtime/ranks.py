"""The number of dimensions of results, where the layout pass needs it and the model is mute."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompress.graph.ir import Node

    Ranks = Sequence[int | None]
    Rule = Callable[[Node, Ranks], int | None]


def _widest(_: Node, ranks: Ranks) -> int | None:
    known = [r for r in ranks if r is not None]
    return max(known) if known and len(known) == len(ranks) else None


def _gather(_: Node, ranks: Ranks) -> int | None:
    table, indices = ranks[:2]
    return None if table is None or indices is None else table + indices - 1


def _reduce(node: Node, ranks: Ranks) -> int | None:
    return ranks[0] if node.attrs.get("keepdims", 1) else None


def _by_axes(sign: int) -> Rule:
    """Make the rule for Squeeze and Unsqueeze."""

    def rule(node: Node, ranks: Ranks) -> int | None:
        axes = node.input(1)
        if ranks[0] is None or axes is None or axes.const is None:
            return None
        return ranks[0] + sign * axes.array().size

    return rule


def _length(node: Node, index: int) -> int | None:
    """Return how long the shape is that input `index` gives."""
    value = node.input(index)
    if value is None:
        return None
    dims = value.const.shape if value.const is not None else value.shape
    one = dims is not None and len(dims) == 1 and isinstance(dims[0], int)
    return int(dims[0]) if dims is not None and one and dims[0] is not None else None


def _expand(node: Node, ranks: Ranks) -> int | None:
    return _widest(node, [ranks[0], _length(node, 1)])


_ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Where")
_LOGIC = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor")
_UNARY = ("Cast", "Clip", "Relu", "Sigmoid", "Tanh", "Erf", "Sqrt", "Exp", "Log", "Neg", "Identity")
_KEEP = ("Softmax", "LayerNormalization", "BatchNormalization", "Concat", "Slice", "Pad", "Split")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")
_RULES: dict[str, Rule] = {
    **dict.fromkeys((*_ELEMENTWISE, *_LOGIC, "MatMul", "q_add", "q_mul"), _widest),
    **dict.fromkeys((*_UNARY, *_KEEP, "linear", "activation"), lambda _, ranks: ranks[0]),
    **dict.fromkeys((*_REDUCTIONS, "ArgMax", "ArgMin"), _reduce),
    "Gather": _gather,
    "embedding": _gather,
    "Squeeze": _by_axes(-1),
    "Unsqueeze": _by_axes(+1),
    "Flatten": lambda *_: 2,
    "Gemm": lambda *_: 2,
    "Reshape": lambda node, _: _length(node, 1),
    "ConstantOfShape": lambda node, _: _length(node, 0),
    "Expand": _expand,
}


def rank_of_result(node: Node, ranks: Ranks) -> int | None:
    """Return the rank of the node's first output from the ranks of its inputs, or None."""
    rule = _RULES.get(node.op)
    return None if rule is None or not ranks else rule(node, ranks)
