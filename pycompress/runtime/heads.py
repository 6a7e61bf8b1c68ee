"""How exporters take the heads of attention apart, brought to one form for `attention` to find.

torch.onnx writes K' with its batch and heads joined and parted again, and queries, keys and values
that one layer computes as places along an axis of its reshaped, transposed result:

k [B, H, T, D] -> Reshape [B H, T, D] -> Transpose [B H, D, T] -> Reshape [B, H, D, T]

x [B, S, 3 H D] -> Reshape [B, S, 3, H, D] -> Transpose [3, B, H, S, D] -> place i: [B, H, S, D]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.permute import integers, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycompress.graph.ir import Shape


def part_heads(graph: Graph) -> Graph:
    """Return `graph`, changed: K' is a Transpose, and q, k and v are columns of what has them."""
    graph.nodes = [part for node in graph.nodes for part in _turned(node)]
    graph.prune()
    readers = graph.consumers()
    for node in list(graph.nodes):
        if node.is_op("Transpose"):
            graph.nodes += _columns(node, readers)
    graph.prune()
    return graph


def _known(shape: Shape | None, rank: int) -> Shape | None:
    """Return the shape if it has this rank and no size that nothing is known of."""
    return None if shape is None or len(shape) != rank or None in shape else shape


def _turned(node: Node) -> list[Node]:
    """Return a Transpose for a Reshape that parts what was joined to swap the last axes."""
    turn = node.inputs[0].producer if node.is_op("Reshape") and node.inputs[0] else None
    if turn is None or not turn.is_op("Transpose") or turn.attrs.get("perm") != [0, 2, 1]:
        return [node]
    join = None if turn.inputs[0] is None else turn.inputs[0].producer
    source = None if join is None or not join.is_op("Reshape") else join.inputs[0]
    if join is None or source is None:
        return [node]
    joined, after = _known(join.output.shape, 3), _known(node.output.shape, 4)
    if joined is None or after is None or after[2:] != (joined[2], joined[1]):
        return [node]
    heads = (*after[:2], *joined[1:])
    made = []
    if source.shape != heads:
        sizes = [size if isinstance(size, int) else -1 for size in heads]
        if sizes.count(-1) > 1:
            return [node]
        target = integers(sizes, f"{node.output.name}_heads")
        apart = Value(f"{node.output.name}_apart", source.dtype, heads)
        made.append(Node("Reshape", [source, target], [apart], name=apart.name))
        source = apart
    return [
        *made,
        Node("Transpose", [source], node.outputs, {"perm": [0, 1, 3, 2]}, name=node.name),
    ]


def _columns(turn: Node, readers: Mapping[Value, Sequence[Node]]) -> list[Node]:
    """Return the nodes that give each reader of `turn` its place along the first axis.

    The readers' outputs are computed anew, from columns; none when it is no such Transpose.
    """
    reshape = None if turn.inputs[0] is None else turn.inputs[0].producer
    source = None if reshape is None or not reshape.is_op("Reshape") else reshape.inputs[0]
    perm = [int(axis) for axis in turn.attrs.get("perm") or ()]
    if reshape is None or source is None or len(perm) != 5 or perm[0] != 2:
        return []
    given, wide = _known(source.shape, 3), _known(reshape.output.shape, 5)
    if given is None or wide is None or given[:2] != wide[:2]:
        return []
    count, heads, depth = wide[2:]
    if not (isinstance(count, int) and isinstance(heads, int) and isinstance(depth, int)):
        return []
    found = [_places(node, readers) for node in readers.get(turn.output, ())]
    places = [place for each in found for place in each or ()]
    if None in found or not places or given[2] != count * heads * depth:
        return []
    if any(not 0 <= at < count for at, _ in places):
        return []

    stem = turn.name or turn.output.name
    columns = [
        Value(f"{source.name}_columns{i}", source.dtype, (*given[:2], heads * depth))
        for i in range(count)
    ]
    made = [Node("Split", [source], columns, {"axis": 2, "num_outputs": count}, name=stem)]
    target = integers((0, 0, heads, depth), f"{stem}_heads")
    rest = [axis - (axis > 2) for axis in perm[1:]]
    for at, out in places:
        apart = Value(f"{out.name}_apart", out.dtype, (*given[:2], heads, depth))
        made.append(Node("Reshape", [columns[at], target], [apart], name=apart.name))
        if out.producer is not None:
            out.producer.outputs = [Value(f"{out.name}_unused", out.dtype)]
        made.append(Node("Transpose", [apart], [out], {"perm": list(rest)}, name=out.name))
    return made


def _places(node: Node, readers: Mapping[Value, Sequence[Node]]) -> list[tuple[int, Value]] | None:
    """Return the places along the first axis that a node takes, and the values that have them."""
    if node.is_op("Gather"):
        index, at = node.input(1), numbers(node.input(1))
        if index is None or at is None or index.array().ndim != 0 or node.attrs.get("axis", 0) != 0:
            return None
        return [(at[0], node.output)]
    if node.is_op("Slice"):
        start, end, axis = (numbers(node.input(i)) for i in (1, 2, 3))
        step = None if node.input(4) is None else numbers(node.input(4))
        if axis != [0] or step not in (None, [1]) or start is None or end != [start[0] + 1]:
            return None
        parts = {start[0]: node.output}
    elif node.is_op("Split") and node.attrs.get("axis", 0) == 0:
        if any(out.shape is None or out.shape[0] != 1 for out in node.outputs):
            return None
        parts = {i: out for i, out in enumerate(node.outputs) if readers.get(out)}
    else:
        return None
    found = [(at, _squeezed(part, readers)) for at, part in parts.items()]
    places = [(at, out) for at, out in found if out is not None]
    return places if len(places) == len(found) else None


def _squeezed(value: Value, readers: Mapping[Value, Sequence[Node]]) -> Value | None:
    """Return what the only reader makes of a value by dropping its first axis."""
    after = readers.get(value, ())
    only = after[0] if len(after) == 1 else None
    if only is not None and only.is_op("Squeeze") and numbers(only.input(1)) == [0]:
        return only.output
    if only is not None and only.is_op("Reshape") and _known(value.shape, 5) is not None:
        return only.output if only.output.shape == (value.shape or ())[1:] else None
    return None
