"""Conv -> `conv` and ConvTranspose -> `conv_transpose`, where the weight is constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.formats import FORMATS
from pycompress.graph.expand import DYNAMIC
from pycompress.graph.ir import PRESET, Quantized
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import why_not_weight

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node, Value

_PRESETS = {"Conv": "conv", "ConvTranspose": "conv_transpose"}


def _refuse(edit: Edit, match: Match) -> str | None:
    node, w, bias = match.root, match["w"], match.get("b")
    axis = FORMATS[_PRESETS[node.op]].channel_axis or 0
    if (
        node.attrs.get("group", 1) > 1
        and node.op == "ConvTranspose"
        and isinstance(w.const, Quantized)
    ) and w.const.axis is not None:
        return "the scales of its weight cover one group, not all output channels"
    reason = why_not_weight(w, None, axis)
    if reason is None and bias is not None and bias.const is None:
        reason = f"its bias '{bias.name}' is computed at run time"
    if reason is None and "output_shape" in node.attrs:
        reason = "its output_shape decides its padding"
    return reason


def _replace(edit: Edit, match: Match) -> None:
    node, w, bias = match.root, match["w"], match.get("b")
    inputs: list[Value | None] = [match["x"], w, *([] if bias is None else [bias])]
    attrs = geometry(node, w)
    dynamic = node.metadata.pop(DYNAMIC, None) == "1"
    if dynamic and node.op == "Conv":
        attrs["dynamic"] = True
    edit.supersede(node, _PRESETS[node.op], inputs, attrs, PRESET)


def geometry(node: Node, w: Value) -> dict[str, Any]:
    """Return the geometry of a convolution with ONNX's defaults written out."""
    dims = w.shape or ()
    axes = len(dims) - 2
    attrs: dict[str, Any] = {
        "strides": list(node.attrs.get("strides", [1] * axes)),
        "pads": list(node.attrs.get("pads", [0] * 2 * axes)),
        "dilations": list(node.attrs.get("dilations", [1] * axes)),
        "group": int(node.attrs.get("group", 1)),
        "auto_pad": node.attrs.get("auto_pad", "NOTSET") or "NOTSET",
    }
    if node.op == "ConvTranspose":
        attrs["output_padding"] = list(node.attrs.get("output_padding", [0] * axes))
    if attrs["auto_pad"] == "VALID":
        attrs["auto_pad"] = "NOTSET"
    return attrs


def _refuse_pad(edit: Edit, match: Match) -> str | None:
    conv, pad = match.root, match.nodes["pad"]
    if pad.attrs.get("mode", "constant") != "constant":
        return f"the padding before it is of mode '{pad.attrs['mode']}'"
    if conv.attrs.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID", ""}:
        return "it pads itself by auto_pad"
    value = match.get("VALUE")
    if value is not None and value.array().any():
        return "the padding before it is not of zeros"
    pads = _all_pads(match)
    if pads is None or (pads < 0).any() or pads[:, :2].any():
        return "the padding before it crops, or pads other axes than the spatial ones"
    return None


def _all_pads(match: Match) -> np.ndarray | None:
    """Return what Pad adds, [begin or end][axis], or None when the axes are not known."""
    rank = len(match["w"].shape or ())
    pads, axes = match.array("PADS").ravel(), match.get("AXES")
    places = np.arange(rank) if axes is None else axes.array().astype(np.int64).ravel()
    if pads.size != 2 * places.size or not ((places >= -rank) & (places < rank)).all():
        return None
    full = np.zeros((2, rank), np.int64)
    full[:, places] = pads.reshape(2, -1)
    return full


def _replace_pad(edit: Edit, match: Match) -> None:
    conv, pads = match.root, _all_pads(match)
    assert pads is not None
    own = conv.attrs.get("pads") or [0] * (2 * pads.shape[1] - 4)
    conv.attrs["pads"] = [int(a) + int(b) for a, b in zip(own, pads[:, 2:].ravel(), strict=True)]
    conv.attrs["auto_pad"] = "NOTSET"
    edit.set_inputs(conv, [match["x"], *conv.inputs[1:]])


PAD = Rule(
    "Pad of zeros + Conv -> Conv",
    ("Conv|pycompress.conv", ("pad=Pad", "x", "PADS", "VALUE?", "AXES?"), "w", "b?", "r?"),
    _replace_pad,
    _refuse_pad,
)

RULES = (
    PAD,
    Rule("Conv -> conv", ("Conv|ConvTranspose", "x", "w", "b?"), _replace, _refuse),
)
