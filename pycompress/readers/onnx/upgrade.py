"""Bringing the operators of opsets 6 to 17 into their form of opset 18.

Between those versions most operators gained element types and nothing else. Those whose *form*
changed (attributes that became inputs, defaults that moved, names that went) have a row in
`UPGRADES`: a function that applies to nodes written before the version of the row. A node that has
several rows takes them in the order of the versions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pycompress.graph.names import Names
from pycompress.readers.onnx import forms
from pycompress.readers.onnx.forms import Site

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph, Node

CANONICAL = 18
"""The opset that older models are brought to."""

Upgrade: TypeAlias = Callable[[Site], None]

_REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"]

_BROADCAST_FROM_AXIS = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "And",
    "Or",
    "Xor",
    "Equal",
    "Less",
    "Greater",
]

UPGRADES: dict[str, tuple[tuple[int, Upgrade], ...]] = {
    **dict.fromkeys(_BROADCAST_FROM_AXIS, ((7, forms.broadcast_from_axis),)),
    "BatchNormalization": (
        (7, forms.no_longer_said),
        (9, forms.spatial_only),
        (14, forms.one_output),
    ),
    "Clip": ((11, forms.bounds_to_inputs),),
    "Dropout": ((12, forms.inference_only),),
    "Hardmax": ((13, forms.flattened),),
    "LogSoftmax": ((13, forms.flattened),),
    "Pad": ((11, forms.pads_to_inputs),),
    "PRelu": ((7, forms.slope_of_channels),),
    "ReduceSum": ((13, forms.axes_to_input),),
    **{f"Reduce{name}": ((18, forms.axes_to_input),) for name in _REDUCTIONS},
    "Resize": ((11, forms.resize_before_11), (13, forms.resize_before_13)),
    "RoiAlign": ((16, forms.roi_align_before_16),),
    "Scan": ((9, forms.refuse),),
    "Scatter": ((11, forms.scatter_elements),),
    "Slice": ((10, forms.slices_to_inputs),),
    "Softmax": ((13, forms.flattened),),
    "Split": ((13, forms.sizes_to_input), (18, forms.count_of_outputs)),
    "Squeeze": ((13, forms.axes_to_input),),
    "TopK": ((10, forms.k_to_input),),
    "Unsqueeze": ((13, forms.axes_to_input),),
    "Upsample": ((9, forms.upsample_scales_to_input), (10, forms.upsample_to_resize)),
}


def upgrade(graph: Graph, settle: Callable[[Node], None]) -> None:
    """Rewrite the nodes of a graph, subgraphs included, in the form of opset 18.

    Parameters
    ----------
    graph : Graph
        Of opset 6 or later; it is changed in place: it is the reader's own.
    settle : callable
        Called with each node, in order, when it and all before it have their form. What becomes of
        a node may depend on what is known of its inputs.
    """
    _upgrade(graph, Names(graph, late=True), settle)


def _upgrade(graph: Graph, names: Names, settle: Callable[[Node], None]) -> None:
    nodes: list[Node] = []
    for node in graph.nodes:
        for sub in node.subgraphs() if node.nested else ():
            _upgrade(sub, names, settle)
        rows = () if node.domain else UPGRADES.get(node.op, ())
        changes = rows and [apply for version, apply in rows if graph.opset < version]
        if not changes:
            nodes.append(node)
            settle(node)
            continue
        site = Site(node, names, graph.opset)
        for apply in changes:
            apply(site)
        for part in (*site.before, node, *site.after):
            nodes.append(part)
            settle(part)
    graph.nodes = nodes
    graph.opset = max(graph.opset, CANONICAL)
