"""What the engine can run: asked before the layout is chosen, and again when the graph is cut."""

from __future__ import annotations

import numpy as np

from pycompress import _core
from pycompress.graph.ir import PRESET, Node
from pycompress.runtime.dtypes import unsupported
from pycompress.runtime.layout import BOUND
from pycompress.runtime.lower import Builder
from pycompress.runtime.moves import NATIVE

OPS = frozenset(_core.program_ops())
"""Names of the operators that the engine has."""

_OWN = frozenset(("", PRESET, NATIVE))
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
    contrib = node.domain not in _OWN and (node.domain, node.op) in _CONTRIB
    if node.op not in OPS or not (contrib or node.domain in _OWN):
        return "no native kernel"
    reason = unsupported([*node.inputs, *node.outputs])
    if reason is not None or (node.domain != "" and not contrib):
        return reason
    first = node.inputs[0].dtype if node.inputs and node.inputs[0] is not None else None
    if node.op in _FLOAT32 and first != _F32:
        return f"its kernel reads float32, found {first}"
    if node.op in _FLOATS and first not in {_F32, np.dtype(np.float64)}:
        return f"its kernel reads float32 and float64, found {first}"
    if node.op in _NOT_BOOL and first == np.bool_:
        return "its kernel does not read bool"
    return Builder(threads=1).try_alone(node) if node.op in _PICKY else None


def refusal_when_cut(node: Node) -> str | None:
    """Return the same after the layout pass, which has put layout-bound nodes into its domain."""
    reason = refusal(node)
    if reason is None and node.domain == "" and node.op in BOUND:
        return "the rank of its input is not known"
    return reason
