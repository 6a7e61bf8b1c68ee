"""Integer products with ranges found at run time -> `linear` and `conv` with ``dynamic=True``.

The standard spelling is DynamicQuantizeLinear, then MatMulInteger or ConvInteger, Cast, and
products with both scales.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.expand import DYNAMIC
from pycompress.graph.ir import PRESET, Quantized
from pycompress.graph.pattern import Match, Pattern, Rule
from pycompress.graph.rules.conv import geometry

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Value

_FLOAT = 1  # TensorProto.FLOAT


def _quantized(output: int) -> Pattern:
    return f"*quantize=DynamicQuantizeLinear:{output}", "x"


_SUMS: Pattern = (
    "cast=Cast",
    ("product=MatMulInteger|ConvInteger", _quantized(0), "W", _quantized(2), "WZERO?"),
)
_SPELLINGS: tuple[Pattern, ...] = (
    ("Mul", _SUMS, ("*scales=Mul", _quantized(1), "WSCALE")),
    ("Mul", ("inner=Mul", _SUMS, _quantized(1)), "WSCALE"),
    ("Mul", ("inner=Mul", _SUMS, "WSCALE"), _quantized(1)),
)


def _weight(match: Match) -> Quantized | str:
    """Return the product's weight with its scales, or a reason why they are not for the kernels."""
    data, zero = match.array("W"), match.get("WZERO")
    scale = match.array("WSCALE")
    is_conv = match.nodes["product"].op == "ConvInteger"
    if data.dtype.name not in {"int8", "uint8"} or scale.dtype != np.float32:
        return f"its weight is of type {data.dtype} with scales of type {scale.dtype}"
    if (data.ndim < 3) if is_conv else (data.ndim != 2):
        return f"its weight '{match['W'].name}' has {data.ndim} axes"
    axis = 0 if is_conv else 1
    channels = data.shape[axis]
    behind = data.ndim - 2 if is_conv else 0  # axes of the result behind that of the channels
    zeros = np.zeros((), data.dtype) if zero is None else zero.array()
    fits = scale.size == 1 or (
        scale.size == channels and scale.ndim > behind and scale.shape[-1 - behind] == channels
    )
    if not fits or zeros.size not in {1, channels}:
        return f"the scales {list(scale.shape)} of its weight are not one for each channel"
    if scale.size == 1 and zeros.size == 1:
        return Quantized(data, scale.reshape(()), zeros.reshape(()), None)
    scale, zeros = (np.broadcast_to(a.reshape(-1), (channels,)).copy() for a in (scale, zeros))
    return Quantized(data, scale, zeros, axis)


def _refuse(edit: Edit, match: Match) -> str | None:
    if match.nodes["cast"].attrs.get("to") != _FLOAT:
        return "its sums are not turned into float32"
    weight = _weight(match)
    return weight if isinstance(weight, str) else None


def _replace(edit: Edit, match: Match) -> None:
    weight = _weight(match)
    assert isinstance(weight, Quantized)
    product = match.nodes["product"]
    w = edit.constant(match["W"].name, weight)
    is_conv = product.op == "ConvInteger"
    attrs: dict[str, Any] = geometry(product, w) if is_conv else {}
    if product.metadata.get(DYNAMIC) == "rows":
        attrs["by_row"] = True
    op = "conv" if is_conv else "linear"
    node = edit.supersede(match.root, op, [match["x"], w], {**attrs, "dynamic": True}, PRESET)
    node.name = product.name or node.name


def _refuse_contrib(edit: Edit, match: Match) -> str | None:
    bias = match.get("bias")
    if bias is not None and (bias.const is None or bias.array().ndim != 1):
        return f"its bias '{bias.name}' is not a constant of one axis"
    weight = _weight(match)
    return weight if isinstance(weight, str) else None


def _replace_contrib(edit: Edit, match: Match) -> None:
    weight, bias = _weight(match), match.get("bias")
    assert isinstance(weight, Quantized)
    w = edit.constant(match["W"].name, weight)
    inputs: list[Value | None] = [match["x"], w, *([] if bias is None else [bias])]
    edit.supersede(match.root, "linear", inputs, {"dynamic": True}, PRESET)


RULES = (
    *(
        Rule("DynamicQuantizeLinear + integer product -> dynamic", spelling, _replace, _refuse)
        for spelling in _SPELLINGS
    ),
    Rule(
        "DynamicQuantizeMatMul -> dynamic linear",
        ("product=com.microsoft.DynamicQuantizeMatMul", "x", "W", "WSCALE", "WZERO?", "bias?"),
        _replace_contrib,
        _refuse_contrib,
    ),
    Rule(
        "MatMulIntegerToFloat -> dynamic linear",
        (
            "product=com.microsoft.MatMulIntegerToFloat",
            _quantized(0),
            "W",
            _quantized(1),
            "WSCALE",
            _quantized(2),
            "WZERO?",
            "bias?",
        ),
        _replace_contrib,
        _refuse_contrib,
    ),
)
