"""Graph -> Executable: rewritten, cut into segments, lowered to native programs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from pycompress.graph import simplify, to_formats
from pycompress.graph.ir import Graph, Node, Value
from pycompress.graph.passes import SIMPLIFIED
from pycompress.runtime.absorb import absorb
from pycompress.runtime.attention import fuse_attention
from pycompress.runtime.dtypes import infer, widen_halves
from pycompress.runtime.fallback import ReferenceStep
from pycompress.runtime.fuse import fuse
from pycompress.runtime.layout import to_channels_last
from pycompress.runtime.lower import Builder
from pycompress.runtime.notices import FallbackWarning
from pycompress.runtime.partition import Segment, partition, reads
from pycompress.runtime.steps import BranchStep, Executable
from pycompress.runtime.support import refusal, refusal_when_cut

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np

    from pycompress.runtime.steps import Step


def prepare(graph: Graph) -> Graph:
    """Return `graph` as the engine wants it: preset formats, integers absorbed, channels last.

    It is the caller's no longer: its nodes and values are changed.
    """
    graph = widen_halves(graph)
    # Whoever made preset nodes has simplified the graph.
    if SIMPLIFIED not in graph.metadata and not any(node.is_preset() for node in graph.nodes):
        graph = simplify(graph, in_place=True)
    graph = to_formats(graph, in_place=True).graph
    graph = absorb(graph)
    infer(graph)
    graph = fuse_attention(fuse(graph))
    infer(graph)
    return to_channels_last(graph, refusal)


def build(
    graph: Graph, threads: int, fallbacks: dict[str, str], float_format: str = "float32"
) -> Executable:
    """Return the steps of a graph; their keys are its values.

    Parameters
    ----------
    graph : Graph
        As a reader gives it, or rewritten already. It is changed.
    threads : int
    fallbacks : dict
        Operators that run through onnx.reference, and why; filled in. Each is warned of when it is
        first met.
    float_format : str
        What linear layers and convolutions that are not of integers compute in.
    """
    graph = prepare(graph)
    infer(graph)
    constants: dict[Hashable, np.ndarray] = {
        v: v.array() for v in graph.outputs if v.const is not None
    }
    steps = [
        _step(step, graph, fallbacks, threads, float_format)
        for step in partition(graph, lambda node: refusal_when_cut(node) is None)
    ]
    return Executable(graph.inputs, graph.outputs, constants, steps)


def _step(
    step: Segment | Node,
    graph: Graph,
    fallbacks: dict[str, str],
    threads: int,
    float_format: str,
) -> Step:
    if isinstance(step, Segment):
        return Builder(threads, float_format).build(step)
    if step.is_op("If"):
        return _branch_step(step, graph, fallbacks, threads, float_format)
    return _reference(step, graph, fallbacks)


def _branch_step(
    node: Node, graph: Graph, fallbacks: dict[str, str], threads: int, float_format: str
) -> BranchStep:
    condition = node.inputs[0]
    if condition is None:
        msg = f"node '{node.name}' (If) has no condition"
        raise ValueError(msg)
    inputs = list(dict.fromkeys(reads(node)))

    def branch(key: str) -> Executable:
        part: Graph = node.attrs[key]
        whole = Graph(part.name, inputs, part.outputs, part.nodes, graph.opset, graph.opsets)
        # A copy: what it captures is not an input of the graph around it.
        executable = build(whole.copy(), threads, fallbacks, float_format)
        for mine, theirs in zip(node.outputs, executable.outputs, strict=True):
            mine.dtype = cast("Value", theirs).dtype if mine.dtype is None else mine.dtype
        return executable

    branches = branch("else_branch"), branch("then_branch")
    known = condition.const is not None
    return BranchStep(
        inputs, node.outputs, bool(condition.array().item()) if known else condition, branches
    )


def _reference(node: Node, graph: Graph, fallbacks: dict[str, str]) -> ReferenceStep:
    name = node.op if node.domain == "" else f"{node.domain}.{node.op}"
    if name not in fallbacks:
        fallbacks[name] = refusal_when_cut(node) or ""
        message = (
            f"operator '{name}' (node '{node.name}') runs through onnx.reference: {fallbacks[name]}"
        )
        warnings.warn(message, FallbackWarning, stacklevel=5)
    return ReferenceStep(node, graph.opset, graph.opsets)
