"""Computing now what does not depend on the model's inputs."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph import size_rules
from pycompress.graph.evaluate import can_evaluate, evaluate
from pycompress.graph.ir import in_halves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Graph, Node, Value
    from pycompress.graph.shapes import Shapes

_ALWAYS = 64 * 1024
"""Bytes up to which a result is kept even when the constants it comes from stay too."""

_HELD = 64 * 1024 * 1024
"""The same for a session, which would compute it in each run and writes no file; and what may be
held of results that are only on the way to smaller ones."""


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
    others read does not). What is computed from a large result may be small again: the deviation of
    a weight is, in a convolution that standardizes its weights. DequantizeLinear stays, and so does
    a Cast of bfloat16: what they read is the smaller form.
    """
    shapes = edit.shapes()
    held: dict[Value, np.ndarray] = {}
    for node in edit.nodes():
        results = _computed(edit, node, always, held)
        if results is None and node.op in size_rules.OPS:
            results = _known_size(shapes, node)
        if results is None or not edit.owns(node) or any(map(edit.is_output, node.outputs)):
            continue
        for value, array in zip(node.outputs, results, strict=False):
            if value.dtype is None or value.dtype == array.dtype:
                edit.make_constant(value, array)
        for value in [v for v in held if v.producer is None or not edit.owns(v.producer)]:
            del held[value]  # only what is gone by now needed it


def _may_fold(node: Node, held: Mapping[Value, np.ndarray] = MappingProxyType({})) -> bool:
    for value in node.inputs:
        if value is not None and value not in held and not isinstance(value.const, np.ndarray):
            return False
    if not can_evaluate(node) or len(node.outputs) != 1:
        return False
    return node.op != "Cast" or not any(in_halves(v.const) for v in node.inputs if v is not None)


def _computed(
    edit: Edit, node: Node, always: int, held: dict[Value, np.ndarray]
) -> list[np.ndarray] | None:
    """Return the results of a node that may stay; others go into `held`, for those behind."""
    if not _may_fold(node, held):
        return None
    if node.op in {"Expand", "Tile", "Pad", "Gather"}:
        expected = _expected(node)
        if expected > always and expected > _freed(edit, node, held):
            return None
    inputs = [None if v is None else held[v] if v in held else v.array() for v in node.inputs]
    results = evaluate(node, inputs)
    if results is None:
        return None
    size = sum(r.nbytes for r in results)
    if size <= always or size <= _freed(edit, node, held):
        return results
    if size + sum(array.nbytes for array in held.values()) <= _HELD:
        held[node.output] = results[0]
    return None


def _expected(node: Node) -> int:
    """Return the bytes of a result that is easily huge, from its shape."""
    value = node.output
    sizes = [d for d in value.shape or () if isinstance(d, int)]
    if value.shape is None or len(sizes) < len(value.shape):
        return 0
    return math.prod(sizes) * (value.dtype.itemsize if value.dtype else 8)


def _freed(edit: Edit, node: Node, held: Mapping[Value, np.ndarray]) -> int:
    """Return the bytes of the constants that nobody needs once `node` is one."""
    gone = {node}
    behind = [node]
    constants: dict[Value, None] = {}
    while behind:
        for value in behind.pop(0).inputs:
            if value is None or edit.is_output(value):
                continue
            maker = value.producer
            if isinstance(value.const, np.ndarray):
                constants[value] = None
            elif value in held and maker is not None and gone.issuperset(edit.readers(value)):
                gone.add(maker)
                behind.append(maker)
    return sum(v.array().nbytes for v in constants if gone.issuperset(edit.readers(v)))


def _known_size(shapes: Shapes, node: Node) -> list[np.ndarray] | None:
    """Return the output of a node with one of `size_rules.OPS` whose answer is fixed."""
    if node.domain or node.op == "Identity":
        return None
    content = shapes.content(node.output)
    if content is None or node.output.dtype is None:
        return None
    shape = shapes.shape(node.output)
    if shape is None or not all(isinstance(d, int) for d in content):
        return None
    dims = [d for d in shape if isinstance(d, int)]
    if len(dims) != len(shape) or int(np.prod(dims, dtype=np.int64)) != len(content):
        return None
    return [np.array(content, node.output.dtype).reshape(dims)]
