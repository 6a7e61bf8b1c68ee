"""Computing now what does not depend on the model's inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.evaluate import can_evaluate, evaluate
from pycompress.graph.ir import in_halves

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Graph, Node, Value
    from pycompress.graph.shapes import Shapes

_ALWAYS = 64 * 1024
"""Bytes up to which a result is kept even when the constants it comes from stay too."""

_HELD = 64 * 1024 * 1024
"""The same for a session, which would compute it in each run and writes no file."""


def fold_for_session(edit: Edit) -> None:
    """Do as `fold_constants`, and with large results, too: kernels that the model computes."""
    fold_constants(edit, _HELD)


def has_known_results(graph: Graph) -> bool:
    """Tell whether `fold_for_session` has anything to do."""
    return any(_may_fold(n) or any(map(has_known_results, n.subgraphs())) for n in graph.nodes)


def fold_constants(edit: Edit, always: int = _ALWAYS) -> None:
    """Turn nodes whose inputs are known, and sizes that are fixed, into constants.

    A file must not grow by it: a large result replaces its node only when constants as large go
    away with the node (Transpose of a weight does, Expand of a number or Transpose of a weight that
    others read does not). DequantizeLinear stays, and so does a Cast of bfloat16: what they read is
    the smaller form.
    """
    shapes = edit.shapes()
    for node in edit.nodes():
        results = _computed(edit, node, always) or _known_size(shapes, node)
        if results is None or not edit.owns(node) or any(map(edit.is_output, node.outputs)):
            continue
        for value, array in zip(node.outputs, results, strict=False):
            if value.dtype is None or value.dtype == array.dtype:
                edit.make_constant(value, array)


def _may_fold(node: Node) -> bool:
    for value in node.inputs:
        if value is not None and not isinstance(value.const, np.ndarray):
            return False
    if not can_evaluate(node) or len(node.outputs) != 1:
        return False
    return node.op != "Cast" or not any(in_halves(v.const) for v in node.inputs if v is not None)


def _computed(edit: Edit, node: Node, always: int) -> list[np.ndarray] | None:
    if not _may_fold(node):
        return None
    freed = sum(_freed(edit, node, v) for v in dict.fromkeys(node.inputs) if v is not None)
    if node.op in {"Expand", "Tile", "Pad", "Gather"} and _expected(node) > max(always, freed):
        return None
    results = evaluate(node, [None if v is None else v.array() for v in node.inputs])
    if results is None or sum(r.nbytes for r in results) > max(always, freed):
        return None
    return results


def _expected(node: Node) -> int:
    """Return the bytes of a result that is easily huge, from its shape."""
    value = node.output
    sizes = [d for d in value.shape or () if isinstance(d, int)]
    if value.shape is None or len(sizes) < len(value.shape):
        return 0
    return int(np.prod(sizes, dtype=object)) * (value.dtype.itemsize if value.dtype else 8)


def _freed(edit: Edit, node: Node, value: Value) -> int:
    own = isinstance(value.const, np.ndarray) and edit.is_only_read_by(value, node)
    return value.array().nbytes if own else 0


def _known_size(shapes: Shapes, node: Node) -> list[np.ndarray] | None:
    """Return the output of a node of shape arithmetic whose answer is fixed."""
    content = shapes.content(node.output)
    if content is None or node.domain or node.op == "Identity" or node.output.dtype is None:
        return None
    shape = shapes.shape(node.output)
    if shape is None or not all(isinstance(d, int) for d in content):
        return None
    dims = [d for d in shape if isinstance(d, int)]
    if len(dims) != len(shape) or int(np.prod(dims, dtype=np.int64)) != len(content):
        return None
    return [np.array(content, node.output.dtype).reshape(dims)]
