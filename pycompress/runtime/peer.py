"""Regions that the engine has no kernel for, as one onnxruntime session each."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Graph, Node, Value
from pycompress.runtime.partition import reads
from pycompress.runtime.row import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

PEER, REFERENCE = "onnxruntime", "onnx.reference"
"""What runs nodes that have no native kernel."""


@lru_cache(maxsize=1)
def is_installed() -> bool:
    """Tell whether onnxruntime can be imported, without importing it."""
    return find_spec(PEER) is not None


class PeerStep:
    """Nodes that follow each other, run by one ``onnxruntime.InferenceSession``.

    Parameters
    ----------
    nodes : list of Node
        In an order in which they can run.
    around : Graph
        The graph that they are part of.
    threads : int

    Raises
    ------
    ValueError
        When onnxruntime does not take them.
    """

    def __init__(self, nodes: Sequence[Node], around: Graph, threads: int) -> None:
        import onnxruntime

        from pycompress.graph import export

        made = {v for node in nodes for v in node.outputs}
        self.inputs = list(dict.fromkeys(v for n in nodes for v in reads(n) if v not in made))
        self.outputs = _read_outside(nodes, around)
        name = nodes[0].name or nodes[0].output.name
        parts = Graph(name, self.inputs, self.outputs, list(nodes), around.opset, around.opsets)
        graph = parts.copy()
        self._inputs = [v.name for v in graph.inputs]
        self._outputs = [v.name for v in graph.outputs]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        # Ours are the shapes of a whole graph: here they would only be compared and warned about.
        for value in [*graph.inputs, *graph.outputs]:
            value.shape = None if value.shape is None else (None,) * len(value.shape)
        try:
            self._session = onnxruntime.InferenceSession(
                export(graph).SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            msg = f"onnxruntime does not take '{name}': {error}"
            raise ValueError(msg) from error
        self._row = Row(name, " + ".join(dict.fromkeys(n.op for n in nodes)), engine=PEER)

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for these inputs.

        Raises
        ------
        ValueError
            When onnxruntime fails; names the first node.
        """
        start = perf_counter()
        try:
            results = self._session.run(self._outputs, dict(zip(self._inputs, arrays, strict=True)))
        except Exception as error:
            msg = f"node '{self._row.name}' ({self._row.op}) failed in onnxruntime: {error}"
            raise ValueError(msg) from error
        found = [np.asarray(result) for result in results]
        self._row = self._row.after(start, perf_counter() - start, found[0].shape)
        return found

    def profile(self) -> list[Row]:
        """Return the one row."""
        return [self._row]

    def set_profiling(self, enabled: bool) -> None:
        """Do nothing: beside another session the clock is free, and always runs."""


def _read_outside(nodes: Sequence[Node], around: Graph) -> list[Value]:
    """Return what the rest of the graph reads of these nodes' outputs."""
    own = set(nodes)
    outside = set(around.outputs)
    for node in around.nodes:
        if node not in own:
            outside.update(reads(node))
    return [v for node in nodes for v in node.outputs if v in outside]
