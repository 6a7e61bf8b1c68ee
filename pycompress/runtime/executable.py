"""Graph -> Executable: rewritten, cut into segments, lowered to native programs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.graph.passes import simplify_for_session
from pycompress.graph.rewrite import bring_to_formats
from pycompress.graph.survey import survey
from pycompress.runtime.absorb import absorb
from pycompress.runtime.attention import fuse_attention
from pycompress.runtime.bodies import alone, data_refusal, stands_alone
from pycompress.runtime.dtypes import infer, infer_new, widen_halves
from pycompress.runtime.fallback import ReferenceStep
from pycompress.runtime.functions import write_out
from pycompress.runtime.fuse import fuse
from pycompress.runtime.gain import fold_gains
from pycompress.runtime.handover import hand_over
from pycompress.runtime.heads import part_heads
from pycompress.runtime.layout import to_channels_last
from pycompress.runtime.lower import Builder
from pycompress.runtime.narrow import widen_narrow
from pycompress.runtime.norms import find_group_norms
from pycompress.runtime.notices import FallbackWarning
from pycompress.runtime.partition import Segment, partition
from pycompress.runtime.peer import PEER, REFERENCE, PeerStep
from pycompress.runtime.products import write_products
from pycompress.runtime.rounded import take_roundings
from pycompress.runtime.sink import sink
from pycompress.runtime.spectra import write_transforms
from pycompress.runtime.steps import Executable
from pycompress.runtime.support import looks_native, refusal, refusal_when_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from pycompress.runtime.steps import Step


def prepare(graph: Graph, float_format: str = "float32") -> Graph:
    """Return `graph` as the engine wants it: preset formats, integers absorbed, channels last.

    It is the caller's no longer: its nodes and values are changed.
    """
    last = partial(hand_over, float_format=float_format)
    graph = widen_halves(graph)
    infer(graph)
    graph = widen_narrow(write_out(graph, refusal))
    graph = bring_to_formats(write_transforms(simplify_for_session(graph)))
    graph = _use(take_roundings(graph), (write_products, "Einsum"))
    graph = _use(graph, (fold_gains, "Mul Add"), (sink, "Concat Resize"), (absorb, _Q))
    infer_new(graph)
    graph = _use(graph, (fuse, "MatMul Gemm"), *_ATTENTION, (find_group_norms, _NORM))
    infer_new(graph)
    return _use(to_channels_last(graph, refusal), (last, "linear conv"))


_Q, _NORM = "QuantizeLinear DequantizeLinear", "InstanceNormalization"
_ATTENTION = ((part_heads, "Softmax"), (fuse_attention, "Softmax"))


def _use(graph: Graph, *passes: tuple[Callable[[Graph], Graph], str]) -> Graph:
    """Apply passes, each named beside the operators that it starts from, where such are there."""
    ops = survey(graph.nodes).ops
    for change, starts in passes:
        if not ops.isdisjoint(starts.split()):
            graph = change(graph)
    return graph


@dataclass
class Fallbacks:
    """What runs the nodes that have no native kernel, and which these are.

    Attributes
    ----------
    engine : "onnxruntime" or "onnx.reference"
    reasons : dict
        Operators, and why; filled in. Each is warned of when it is first met.
    """

    engine: str
    reasons: dict[str, str] = field(default_factory=dict)

    def meet(self, node: Node, engine: str) -> None:
        """Note a node, and warn of its operator."""
        name = node.op if node.domain == "" else f"{node.domain}.{node.op}"
        if name not in self.reasons:
            self.reasons[name] = data_refusal(node) or refusal_when_cut(node) or ""
            message = f"operator '{name}' (node '{node.name}') runs through {engine}"
            message += f": {self.reasons[name]}"
            warnings.warn(message, FallbackWarning, stacklevel=6)


def build(
    graph: Graph, threads: int, fallbacks: Fallbacks, float_format: str = "float32"
) -> Executable:
    """Return the steps of a graph; their keys are its values.

    Parameters
    ----------
    graph : Graph
        As a reader gives it, or rewritten already. It is changed.
    threads : int
    fallbacks : Fallbacks
    float_format : str
        What linear layers and convolutions that are not of integers compute in.
    """
    graph = prepare(graph, float_format)
    infer_new(graph)
    constants: dict[Hashable, np.ndarray] = {
        v: v.array() for v in graph.outputs if v.const is not None
    }
    steps = _native_steps(graph, threads, float_format)
    if steps is None:
        steps = []
        parts = partition(graph, lambda node: refusal_when_cut(node) is None)
        for foreign, group in groupby(parts, _is_foreign):
            if foreign:
                nodes = [part for part in group if isinstance(part, Node)]
                steps += _foreign_steps(nodes, graph, threads, fallbacks)
            else:
                steps += [_step(part, graph, fallbacks, threads, float_format) for part in group]
    for step in steps:  # a program has its own
        for value in step.inputs:
            if isinstance(value, Value) and value.const is not None:
                array = value.array()
                constants[value] = np.ascontiguousarray(array).reshape(array.shape)
    for node in graph.nodes:  # the steps know values; through them the graph would stay, too
        for value in node.outputs:
            value.producer = None
    return Executable(graph.inputs, graph.outputs, constants, steps)


def _native_steps(graph: Graph, threads: int, float_format: str) -> list[Step] | None:
    """Return the steps of a graph that is native as a whole; None where it is not, after all."""
    if not looks_native(graph):
        return None
    parts = partition(graph, lambda _: True)
    try:
        return [
            Builder(threads, float_format).build(part)
            for part in parts
            if isinstance(part, Segment)
        ]
    except ValueError:
        return None  # which node it is, and what becomes of it, a closer look says


def _is_foreign(part: Segment | Node) -> bool:
    return isinstance(part, Node) and not stands_alone(part)


def _step(
    part: Segment | Node, graph: Graph, fallbacks: Fallbacks, threads: int, float_format: str
) -> Step:
    if isinstance(part, Segment):
        return Builder(threads, float_format).build(part)
    return alone(part, graph, lambda body: build(body, threads, fallbacks, float_format))


def _foreign_steps(
    nodes: list[Node], graph: Graph, threads: int, fallbacks: Fallbacks
) -> list[Step]:
    """Return one onnxruntime session for all the nodes, or the reference evaluator for each."""
    if fallbacks.engine == PEER:
        try:
            step = PeerStep(nodes, graph, threads)
        except ValueError:  # operators or types that it lacks too: the warnings say what runs them
            pass
        else:
            for node in nodes:
                fallbacks.meet(node, PEER)
            return [step]
    for node in nodes:
        fallbacks.meet(node, REFERENCE)
    return [ReferenceStep(node, graph.opset, graph.opsets) for node in nodes]
