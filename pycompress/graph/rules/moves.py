"""Letting what belongs to a product stand right behind it: past Squeeze, Reshape and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.activations import ACTIVATION_OPS, activation_of
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import output_channels, per_channel

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_PRODUCT = "product=pycompress.linear|pycompress.conv|pycompress.conv_transpose"
_MOVE = "move=Squeeze|Unsqueeze|Reshape|Flatten|Transpose"


def _refuse_activation(edit: Edit, match: Match) -> str | None:
    if match.nodes["product"].attrs.get("activation"):
        return "the node before it applies an activation already"
    if activation_of(match.root) is None:
        return "its bounds are not constant numbers"
    return None


def _replace_activation(edit: Edit, match: Match) -> None:
    """act(move(product)) -> move(act(product)): no element changes its neighbours' values."""
    root, move, product = match.root, match.nodes["move"], match.nodes["product"]
    inputs = [product.output, *root.inputs[1:]]
    value = edit.insert(root.op, inputs, product.output, dict(root.attrs), root.domain)
    new = edit.supersede(root, move.op, [value, *move.inputs[1:]], dict(move.attrs))
    new.name = move.name or new.name


def _bias(match: Match) -> np.ndarray | None:
    """Return what an Add behind Squeeze puts on each channel of a convolution."""
    w, axes, shape = match["w"], match.array("AXES"), match.nodes["move"].output.shape
    constant, product = match["B"].const, match.nodes["product"]
    if w.shape is None or constant is None or shape is None:
        return None
    rank = len(w.shape)
    if any(int(a) % rank < 2 for a in axes.ravel()):
        return None
    channels = output_channels(product, w)
    return per_channel(constant, channels, rank=len(shape), axis=1 - len(shape))


def _refuse_bias(edit: Edit, match: Match) -> str | None:
    if match.nodes["product"].attrs.get("activation"):
        return "the node before it applies an activation first"
    if _bias(match) is None:
        return f"'{match['B'].name}' is not one number for each channel"
    return None


def _replace_bias(edit: Edit, match: Match) -> None:
    move, product, bias = match.nodes["move"], match.nodes["product"], _bias(match)
    assert bias is not None
    rank = len(match["w"].shape or ())
    shaped = edit.constant(f"{match['B'].name}_bias", bias.reshape([-1, *[1] * (rank - 2)]))
    value = edit.insert("Add", [product.output, shaped], product.output)
    new = edit.supersede(match.root, move.op, [value, *move.inputs[1:]], dict(move.attrs))
    new.name = move.name or new.name


RULES = (
    Rule(
        "Squeeze + bias -> bias + Squeeze",
        (
            "Add",
            (
                "move=Squeeze",
                ("product=pycompress.conv|pycompress.conv_transpose", "x", "w", "b?"),
                "AXES",
            ),
            "B",
        ),
        _replace_bias,
        _refuse_bias,
    ),
    Rule(
        "move + activation -> activation + move",
        (ACTIVATION_OPS, (_MOVE, (_PRODUCT, "x", "w", "b?", "r?"), "how?"), "low?", "high?"),
        _replace_activation,
        _refuse_activation,
    ),
)
