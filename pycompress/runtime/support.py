"""What the engine can run: asked before the layout is chosen, and again when the graph is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress import _core
from pycompress.graph.ir import PRESET, Node
from pycompress.runtime.dtypes import unsupported
from pycompress.runtime.layout import BOUND
from pycompress.runtime.lower import Builder
from pycompress.runtime.moves import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Graph

OPS = frozenset(_core.program_ops())
"""Names of the operators that the engine has."""

_PRESETS = frozenset((PRESET, NATIVE))
_OWN = _PRESETS | {""}
"""The domains of operators that the engine may have under their own names."""

_F32 = np.dtype(np.float32)
_FLOAT32 = frozenset(
    (
        *(
            "MatMul",
            "MatMulNBits",
            "Softmax",
            "LogSoftmax",
            "PRelu",
            "QuantizeLinear",
            "DynamicQuantizeLinear",
        ),
        *("LayerNormalization", "BatchNormalization", "InstanceNormalization"),
        *("LSTM", "GRU", "RNN"),
        *("Conv", "RoiAlign"),
        *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MatMulNBits"),
    )
)
"""Operators whose kernels read float32 only."""

_FLOATS = frozenset(("GridSample", "Hardmax", "LpNormalization", "LRN"))
"""Operators whose kernels read float32 and float64 only."""

_CONTRIB = frozenset((("com.microsoft", "MatMulNBits"),))
"""Operators of other domains that the engine has, as (domain, operator)."""

_NOT_BOOL = frozenset(
    ("ReduceMax", "ReduceMin", "CumSum", "CumProd", "TopK", "ArgMax", "ArgMin", "Clip", "Einsum")
)

_PICKY = frozenset(
    (
        *("AveragePool", "MaxPool", "Resize", "BatchNormalization", "LayerNormalization"),
        *("QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger", "ScatterND"),
        "Conv",
        *("LSTM", "GRU", "RNN", "TopK", "Gelu", "Mod", "Pad", "OneHot", "Cast", "MatMulNBits"),
        *("GridSample", "RoiAlign", "ScatterElements", "TensorScatter", "Einsum", "EyeLike"),
        *("DepthToSpace", "SpaceToDepth", "ReverseSequence", "BitCast", "LpNormalization", "LRN"),
    )
)
"""Operators whose kernels may lack some of their attributes or optional outputs."""


def refusal(node: Node) -> str | None:
    """Return why the engine cannot run a node, or None when it can."""
    reason = refusal_at_a_glance(node)
    if reason is not None or node.domain in _PRESETS or node.op not in _PICKY:
        return reason
    return Builder(threads=1).try_alone(node)


def refusal_at_a_glance(node: Node) -> str | None:
    """Return the same, but for attributes and outputs that a kernel may lack: adding it tells."""
    contrib = node.domain not in _OWN and (node.domain, node.op) in _CONTRIB
    if node.op not in OPS or not (contrib or node.domain in _OWN):
        return "no native kernel"
    reason = unsupported([*node.inputs, *node.outputs])
    if reason is not None or node.domain in _PRESETS:
        return reason
    first = node.inputs[0].dtype if node.inputs and node.inputs[0] is not None else None
    if node.op in _FLOAT32 and first != _F32:
        return f"its kernel reads float32, found {first}"
    if node.op in _FLOATS and first not in {_F32, np.dtype(np.float64)}:
        return f"its kernel reads float32 and float64, found {first}"
    if node.op in _NOT_BOOL and first == np.bool_:
        return "its kernel does not read bool"
    return None


def refusal_when_cut(node: Node, ask: Callable[[Node], str | None] = refusal) -> str | None:
    """Return the same after the layout pass, which has put layout-bound nodes into its domain."""
    reason = ask(node)
    if reason is None and node.domain == "" and node.op in BOUND:
        return "the rank of its input is not known"
    return reason


def looks_native(graph: Graph) -> bool:
    """Tell whether the engine runs all nodes of a graph, unless it lacks something of an operator.

    After the layout pass. Many nodes take longer to try alone than to build.
    """
    return all(refusal_when_cut(node, refusal_at_a_glance) is None for node in graph.nodes)
