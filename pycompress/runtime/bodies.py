"""Nodes that are steps by themselves: those with bodies, and those that pass tensors on whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress import _core
from pycompress.graph.ir import Graph, Node, Value, captures
from pycompress.runtime import data
from pycompress.runtime.control import BranchStep, LoopStep, ScanStep
from pycompress.runtime.data import DataStep
from pycompress.runtime.dtypes import unsupported
from pycompress.runtime.partition import reads
from pycompress.runtime.sequences import OPERATORS, SequenceStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.runtime.control import Empty
    from pycompress.runtime.steps import Executable, Step

    Build = Callable[[Graph], Executable]


def stands_alone(node: Node) -> bool:
    """Tell whether `alone` makes a step of a node."""
    if node.domain != "":
        return False
    if node.op in data.OPERATORS:
        return data_refusal(node) is None
    if node.op == "Scan":  # of opset 8: another form, with a batch in front
        return "num_scan_inputs" in node.attrs and "directions" not in node.attrs
    return node.op in _MAKERS


def alone(node: Node, graph: Graph, build: Build) -> Step:
    """Return the step of a node.

    Parameters
    ----------
    node : Node
        One that `stands_alone`. Element types that its bodies have are written to its outputs.
    graph : Graph
        The graph around it.
    build : callable
        What makes executables of bodies.
    """
    return _MAKERS[node.op](node, graph, build)


def data_refusal(node: Node) -> str | None:
    """Return why an operator that runs by itself can't, or None: also for all others."""
    if node.domain != "" or node.op not in data.OPERATORS:
        return None
    reason = unsupported([*node.inputs, *node.outputs])
    if reason is None:
        try:
            _core.DataOp(node.op, node.name, len(node.inputs), len(node.outputs), node.attrs)
        except ValueError as error:
            reason = str(error)
    return reason


def _inputs(node: Node) -> list[Value]:
    """Return what the step of a node reads, constants included."""
    return list(dict.fromkeys([*(v for v in node.inputs if v is not None), *reads(node)]))


def _body(node: Node, key: str, graph: Graph, inputs: list[Value], build: Build) -> Executable:
    part: Graph = node.attrs[key]
    whole = Graph(part.name, inputs, part.outputs, part.nodes, graph.opset, graph.opsets)
    # A copy: what it captures is not an input of the graph around it.
    return build(whole.copy())


def _say_types(node: Node, made: list[Any]) -> None:
    for mine, theirs in zip(node.outputs, made, strict=False):
        if mine.dtype is None:
            mine.dtype = theirs.dtype


def _branch(node: Node, graph: Graph, build: Build) -> Step:
    condition = node.inputs[0]
    if condition is None:
        msg = f"node '{node.name}' (If) has no condition"
        raise ValueError(msg)
    inputs = list(dict.fromkeys(reads(node)))
    branches = [_body(node, f"{key}_branch", graph, inputs, build) for key in ("else", "then")]
    for branch in branches:
        _say_types(node, list(branch.outputs))
    known = condition.const is not None
    taken = bool(condition.array().item()) if known else inputs.index(condition)
    return BranchStep(inputs, node.outputs, branches, condition=taken)


def _loop(node: Node, graph: Graph, build: Build) -> Step:
    part: Graph = node.attrs["body"]
    count = len(node.inputs) - 2
    if len(part.inputs) != count + 2 or len(part.outputs) != len(node.outputs) + 1:
        msg = (
            f"node '{node.name}' (Loop) passes on {count} values and gives {len(node.outputs)}, "
            f"its body takes {len(part.inputs)} and gives {len(part.outputs)}"
        )
        raise ValueError(msg)
    first = node.inputs[2:]
    _loosen(part.inputs[2:], first, part.outputs[1 : 1 + count])
    outer = list(captures(part))
    body = _body(node, "body", graph, [*part.inputs, *outer], build)
    _say_types(node, list(body.outputs)[1:])
    inputs = _inputs(node)
    trips, condition = (None if v is None else inputs.index(v) for v in node.inputs[:2])
    return LoopStep(
        inputs,
        node.outputs,
        [body],
        name=node.name or node.output.name,
        trips=trips,
        condition=condition,
        carried=_found(inputs, first, node),
        captured=_found(inputs, outer, node),
        empty=[_empty(v) for v in list(body.outputs)[1 + count :]],
    )


def _scan(node: Node, graph: Graph, build: Build) -> Step:
    part: Graph = node.attrs["body"]
    scanned = int(node.attrs["num_scan_inputs"])
    states = len(node.inputs) - scanned
    collected = len(node.outputs) - states
    if (
        states < 0
        or len(part.inputs) != len(node.inputs)
        or len(part.outputs) != states + collected
    ):
        msg = (
            f"node '{node.name}' (Scan) has {len(node.inputs)} inputs, of which it cuts {scanned}, "
            f"its body takes {len(part.inputs)} and gives {len(part.outputs)}"
        )
        raise ValueError(msg)
    _loosen(part.inputs[:states], node.inputs[:states], part.outputs[:states])
    for inner, given in zip(part.inputs[states:], node.inputs[states:], strict=True):
        if inner.dtype is None and given is not None:
            inner.dtype = given.dtype
    outer = list(captures(part))
    body = _body(node, "body", graph, [*part.inputs, *outer], build)
    _say_types(node, list(body.outputs))
    inputs = _inputs(node)

    def numbers(key: str, count: int) -> list[int]:
        return [int(n) for n in node.attrs.get(key) or [0] * count]

    return ScanStep(
        inputs,
        node.outputs,
        [body],
        name=node.name or node.output.name,
        states=_found(inputs, node.inputs[:states], node),
        scanned=_found(inputs, node.inputs[states:], node),
        captured=_found(inputs, outer, node),
        axes=numbers("scan_input_axes", scanned),
        backwards=numbers("scan_input_directions", scanned),
        out_axes=numbers("scan_output_axes", collected),
        out_backwards=numbers("scan_output_directions", collected),
        empty=[_empty(v) for v in list(body.outputs)[states:]],
    )


def _loosen(inner: list[Value], given: list[Value | None], results: list[Value]) -> None:
    """Let a body's inputs have the types of what comes in, and only the sizes that all agree on."""
    for value, first, last in zip(inner, given, results, strict=True):
        if value.dtype is None and first is not None:
            value.dtype = first.dtype
        shapes = [v.shape for v in (value, first, last) if v is not None]
        if any(s is None for s in shapes) or len({len(s or ()) for s in shapes}) > 1:
            value.shape = None
        else:
            columns = zip(*(s or () for s in shapes), strict=True)
            value.shape = tuple(
                c[0] if isinstance(c[0], int) and len(set(c)) == 1 else None for c in columns
            )


def _found(inputs: list[Value], wanted: list[Any], node: Node) -> list[int]:
    if any(v is None for v in wanted):
        msg = f"node '{node.name}' ({node.op}) lacks the first of the values that it passes on"
        raise ValueError(msg)
    return [inputs.index(v) for v in wanted]


def _empty(value: Any) -> Empty:  # noqa: ANN401 - a Value, known as a key
    dtype = np.dtype(np.float32) if value.dtype is None else value.dtype
    return [dtype.name, [d if isinstance(d, int) else 0 for d in value.shape or ()]]


def _data(node: Node, *_: object) -> Step:
    inputs = _inputs(node)
    given = [None if v is None else inputs.index(v) for v in node.inputs]
    return DataStep(
        inputs,
        node.outputs,
        op=node.op,
        name=node.name or node.output.name,
        given=given,
        attrs=node.attrs,
    )


def _sequence(node: Node, *_: object) -> Step:
    inputs = _inputs(node)
    given = [None if v is None else inputs.index(v) for v in node.inputs]
    attrs = {k: v for k, v in node.attrs.items() if isinstance(v, int)}
    name = node.name or node.output.name
    return SequenceStep(inputs, node.outputs, op=node.op, name=name, given=given, attrs=attrs)


_MAKERS: dict[str, Callable[[Node, Graph, Build], Step]] = {
    "If": _branch,
    "Loop": _loop,
    "Scan": _scan,
    **dict.fromkeys(OPERATORS, _sequence),
    **dict.fromkeys(data.OPERATORS, _data),
}
