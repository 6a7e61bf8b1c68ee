"""What a preset node does after its product: + bias, + residual, activation, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.activations import ACTIVATION_OPS, activation_of
from pycompress.graph.ir import PRESET, Quantized
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import output_channels, per_channel

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node, Value

_PRODUCT = "product=pycompress.linear|pycompress.conv|pycompress.conv_transpose"


def _bias(match: Match) -> np.ndarray | None:
    """Return what an Add puts on a product, per output channel; None when it is no bias."""
    product, constant = match.nodes["product"], match["B"].const
    w, bias = match["w"], match.get("b")
    if (
        constant is None
        or w.shape is None
        or (bias is not None and isinstance(bias.const, Quantized))
    ):
        return None
    if isinstance(constant, Quantized):  # int32 in units of both scales, as quantizers write it
        fits = product.is_preset("linear") and bias is None and constant.shape == w.shape[1:]
        return constant.dequantize() if fits else None
    if product.is_preset("linear"):
        rank = None if product.output.shape is None else len(product.output.shape)
        added = per_channel(constant, int(w.shape[1] or 0), rank=rank, axis=-1)
    else:
        rank = len(w.shape)
        added = per_channel(constant, output_channels(product, w), rank=rank, axis=1 - rank)
    if added is None or bias is None:
        return added
    both: np.ndarray = added + bias.array()
    return both


def _refuse_bias(edit: Edit, match: Match) -> str | None:
    if match.nodes["product"].attrs.get("activation"):
        return "the node before it applies an activation first"
    if _bias(match) is None:
        return f"'{match['B'].name}' is not one number for each channel"
    return None


def _replace_bias(edit: Edit, match: Match) -> None:
    product, added, bias = match.nodes["product"], match["B"], _bias(match)
    assert bias is not None
    as_it_is = match.get("b") is None and added.shape == bias.shape
    value = added if as_it_is else edit.constant(f"{added.name}_bias", bias)
    _extend(edit, match, [match["x"], match["w"], value], product)


def _refuse_residual(edit: Edit, match: Match) -> str | None:
    product, r = match.nodes["product"], match["r"]
    if product.attrs.get("activation"):
        return "the node before it applies an activation first"
    if r is product.output:
        return "it adds a value to itself"
    if r.const is not None:
        return f"'{r.name}' is a constant, but not one number for each channel"
    if r.dtype != product.output.dtype:
        return f"'{r.name}' is of type {r.dtype}, not {product.output.dtype}"
    shapes = r.shape, product.output.shape
    if shapes[0] is None or shapes[0] != shapes[1] or None in shapes[0]:
        return f"'{r.name}' is not known to have the shape of '{product.output.name}'"
    return None


def _replace_residual(edit: Edit, match: Match) -> None:
    _extend(
        edit, match, [match["x"], match["w"], match.get("b"), match["r"]], match.nodes["product"]
    )


def _refuse_activation(edit: Edit, match: Match) -> str | None:
    if match.nodes["product"].attrs.get("activation"):
        return "the node before it applies an activation already"
    if activation_of(match.root) is None:
        return "its bounds are not constant numbers"
    return None


def _replace_activation(edit: Edit, match: Match) -> None:
    activation = activation_of(match.root)
    assert activation is not None
    product = match.nodes["product"]
    node = _extend(edit, match, list(product.inputs), product)
    node.attrs.update(activation.attrs())


def _extend(edit: Edit, match: Match, inputs: list[Value | None], product: Node) -> Node:
    """Let the product, with these inputs, compute what the root of the match computed."""
    node = edit.supersede(match.root, product.op, inputs, dict(product.attrs), PRESET)
    node.name = product.name or node.name
    node.metadata = {**product.metadata, **node.metadata}
    return node


RULES = (
    Rule("+ bias", ("Add", (_PRODUCT, "x", "w", "b?"), "B"), _replace_bias, _refuse_bias),
    Rule(
        "+ residual",
        ("Add", ("product=pycompress.linear|pycompress.conv", "x", "w", "b?"), "r"),
        _replace_residual,
        _refuse_residual,
    ),
    Rule(
        "activation",
        (ACTIVATION_OPS, (_PRODUCT, "x", "w", "b?", "r?"), "low?", "high?"),
        _replace_activation,
        _refuse_activation,
    ),
)
