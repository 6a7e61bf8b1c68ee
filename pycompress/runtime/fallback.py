"""Nodes that the engine has no kernel for: they run through onnx.reference, and say so."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import Graph, Node
from pycompress.runtime.partition import reads
from pycompress.runtime.row import Row

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReferenceStep:
    """One node, run by ``onnx.reference.ReferenceEvaluator``.

    Attributes
    ----------
    inputs, outputs : list of Value
    """

    def __init__(self, node: Node, opset: int, opsets: dict[str, int]) -> None:
        # Importing it costs 0.1 s, and only fallbacks need it.
        from onnx.reference import ReferenceEvaluator

        from pycompress.graph import export

        self.node = node
        self.inputs = list(dict.fromkeys(reads(node)))
        self.outputs = node.outputs
        graph = Graph(
            node.name or node.op, self.inputs, node.outputs, [node], opset, dict(opsets)
        ).copy()
        self._names = [v.name for v in graph.inputs]
        self._dtypes = [v.dtype for v in node.outputs]
        try:
            self._evaluator = ReferenceEvaluator(export(graph))
        except (RuntimeError, NotImplementedError, TypeError) as error:
            msg = (
                f"node '{node.name}': no kernel for operator '{node.op}', and onnx.reference "
                f"cannot run it: {error}"
            )
            raise ValueError(msg) from error
        self._row = Row(node.name or node.output.name, node.op, engine="onnx.reference")

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for these inputs.

        Raises
        ------
        ValueError
            When the reference evaluator fails; names the node.
        """
        start = perf_counter()
        try:
            results = self._evaluator.run(None, dict(zip(self._names, arrays, strict=True)))
        except Exception as error:
            msg = f"node '{self.node.name}' ({self.node.op}) failed in onnx.reference: {error}"
            raise ValueError(msg) from error
        found = [_owned(r, dtype) for r, dtype in zip(results, self._dtypes, strict=True)]
        shape = getattr(found[0], "shape", ())  # a sequence has none
        self._row = self._row.after(start, perf_counter() - start, shape)
        return found

    def profile(self) -> list[Row]:
        """Return the one row."""
        return [self._row]

    def set_profiling(self, enabled: bool) -> None:
        """Do nothing: beside the reference evaluator the clock is free, and always runs."""


def _owned(result: Any, dtype: np.dtype[Any] | None) -> Any:  # noqa: ANN401
    """Return a result as the next step wants it: sequences and optionals stay what they are."""
    if result is None or isinstance(result, list):
        return result
    array = np.asarray(result)
    if dtype is not None and dtype != array.dtype:
        array = array.astype(dtype)
    return np.ascontiguousarray(array).reshape(array.shape)
