"""A graph ready to run: native programs, and the steps between them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pycompress.graph import simplify, to_formats
from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.absorb import absorb
from pycompress.runtime.dtypes import infer, widen_halves
from pycompress.runtime.fallback import FallbackWarning, ReferenceStep
from pycompress.runtime.fuse import fuse
from pycompress.runtime.layout import to_channels_last
from pycompress.runtime.lower import Builder
from pycompress.runtime.partition import Segment, partition, reads
from pycompress.runtime.support import refusal, refusal_when_cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress import _core

    Row = tuple[str, str, int, float]


class Step(Protocol):
    """Something that computes values from values."""

    inputs: list[Value]
    outputs: list[Value]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for these inputs."""

    def profile(self) -> list[Row]:
        """Return (name, operator, calls, seconds) of what ran since profiling was switched on."""

    def set_profiling(self, enabled: bool) -> None:
        """Start or stop timing."""


class NativeStep:
    """A segment as a native program."""

    def __init__(self, segment: Segment, threads: int) -> None:
        self.inputs, self.outputs = segment.inputs, segment.outputs
        self._program: _core.Program = Builder(threads).build(segment)
        self.run = self._program.run
        self.profile = self._program.profile
        self.set_profiling = self._program.set_profiling


class BranchStep:
    """An If: the condition is looked at, and one of two executables runs."""

    def __init__(self, node: Node, graph: Graph, threads: int, fallbacks: dict[str, str]) -> None:
        self.node = node
        self.inputs = list(dict.fromkeys(reads(node)))
        self.outputs = node.outputs
        condition = node.inputs[0]
        if condition is None:
            msg = f"node '{node.name}' (If) has no condition"
            raise ValueError(msg)
        self._condition = condition
        self._branches = [
            self._branch(node.attrs[key], graph, threads, fallbacks)
            for key in ("else_branch", "then_branch")
        ]

    def _branch(
        self, branch: Graph, graph: Graph, threads: int, fallbacks: dict[str, str]
    ) -> Executable:
        whole = Graph(
            branch.name, list(self.inputs), branch.outputs, branch.nodes, graph.opset, graph.opsets
        )
        executable = Executable(whole, threads, fallbacks)
        for mine, theirs in zip(self.outputs, executable.outputs, strict=True):
            mine.dtype = theirs.dtype if mine.dtype is None else mine.dtype
        return executable

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of the branch that the condition picks."""
        known = self._condition.const is not None
        taken = self._condition.array() if known else arrays[self.inputs.index(self._condition)]
        return self._branches[bool(np.asarray(taken).reshape(()))].run(arrays)

    def profile(self) -> list[Row]:
        """Return the rows of both branches."""
        return [row for branch in self._branches for row in branch.profile()]

    def set_profiling(self, enabled: bool) -> None:
        """Start or stop timing both branches."""
        for branch in self._branches:
            branch.set_profiling(enabled)


def prepare(graph: Graph) -> Graph:
    """Return `graph` as the engine wants it: preset formats, integers absorbed, channels last."""
    graph = to_formats(simplify(widen_halves(graph))).graph
    graph = absorb(graph)
    infer(graph)
    graph = fuse(graph)
    infer(graph)
    return to_channels_last(graph, refusal)


class Executable:
    """The steps of one graph.

    Parameters
    ----------
    graph : Graph
        As a reader gives it, or rewritten already.
    threads : int
    fallbacks : dict
        Operators that run through onnx.reference, and why; filled in. Each is warned of when it is
        first met.

    Attributes
    ----------
    inputs, outputs : list of Value
        In the order of the graph's.
    """

    def __init__(self, graph: Graph, threads: int, fallbacks: dict[str, str]) -> None:
        graph = prepare(graph)
        infer(graph)
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self._constants = {v: v.array() for v in graph.outputs if v.const is not None}
        self._steps: list[Step] = []
        for step in partition(graph, lambda node: refusal_when_cut(node) is None):
            if isinstance(step, Segment):
                self._steps.append(NativeStep(step, threads))
            elif step.is_op("If"):
                self._steps.append(BranchStep(step, graph, threads, fallbacks))
            else:
                self._steps.append(_reference(step, graph, fallbacks))

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for these inputs, which have been checked."""
        values = dict(zip(self.inputs, arrays, strict=True)) | self._constants
        for step in self._steps:
            results = step.run([values[v] for v in step.inputs])
            values.update(zip(step.outputs, results, strict=True))
        return [values[v] for v in self.outputs]

    def profile(self) -> list[Row]:
        """Return (name, operator, calls, seconds) of every node that ran while it was timed."""
        return [row for step in self._steps for row in step.profile()]

    def set_profiling(self, enabled: bool) -> None:
        """Start or stop timing."""
        for step in self._steps:
            step.set_profiling(enabled)


def _reference(node: Node, graph: Graph, fallbacks: dict[str, str]) -> ReferenceStep:
    name = node.op if node.domain == "" else f"{node.domain}.{node.op}"
    if name not in fallbacks:
        fallbacks[name] = refusal_when_cut(node) or ""
        message = (
            f"operator '{name}' (node '{node.name}') runs through onnx.reference: {fallbacks[name]}"
        )
        warnings.warn(message, FallbackWarning, stacklevel=4)
    return ReferenceStep(node, graph.opset, graph.opsets)
