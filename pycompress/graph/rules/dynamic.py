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
_INTEGERS = frozenset((np.dtype(np.int8), np.dtype(np.uint8)))


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


def _why_not_weight(match: Match) -> str | None:
    """Return the reason why the product's weight and its scales are not for the kernels."""
    data, zero = match.array("W"), match.get("WZERO")
    scale = match.array("WSCALE")
    is_conv = match.nodes["product"].op == "ConvInteger"
    if data.dtype not in _INTEGERS or scale.dtype != np.float32:
        return f"its weight is of type {data.dtype} with scales of type {scale.dtype}"
    if (data.ndim < 3) if is_conv else (data.ndim != 2):
        return f"its weight '{match['W'].name}' has {data.ndim} axes"
    axis = 0 if is_conv else 1
    channels = data.shape[axis]
    behind = data.ndim - 2 if is_conv else 0  # axes of the result behind that of the channels
    fits = scale.size == 1 or (
        scale.size == channels and scale.ndim > behind and scale.shape[-1 - behind] == channels
    )
    if not fits or (zero is not None and zero.array().size not in {1, channels}):
        return f"the scales {list(scale.shape)} of its weight are not one for each channel"
    return None


def _weight(match: Match) -> Quantized:
    """Return the product's weight with its scales."""
    data, scale, zero = match.array("W"), match.array("WSCALE"), match.get("WZERO")
    zeros = np.zeros(1, data.dtype) if zero is None else zero.array()
    if scale.size == 1 and zeros.size == 1:
        return Quantized(data, scale.reshape(()), zeros.reshape(()), None)
    axis = 0 if match.nodes["product"].op == "ConvInteger" else 1
    scale, zeros = (
        a.reshape(-1) if a.size > 1 else np.full(data.shape[axis], a.item(), a.dtype)
        for a in (scale, zeros)
    )
    return Quantized(data, scale, zeros, axis)


def _refuse(edit: Edit, match: Match) -> str | None:
    if match.nodes["cast"].attrs.get("to") != _FLOAT:
        return "its sums are not turned into float32"
    return _why_not_weight(match)


def _replace(edit: Edit, match: Match) -> None:
    product = match.nodes["product"]
    w = edit.constant(match["W"].name, _weight(match))
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
    return _why_not_weight(match)


def _replace_contrib(edit: Edit, match: Match) -> None:
    bias = match.get("bias")
    w = edit.constant(match["W"].name, _weight(match))
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
