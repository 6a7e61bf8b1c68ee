"""Scales and shifts behind a product with constant weights -> into the weights and the bias.

BatchNormalization, Mul, Div, Add and Sub by one number for each output channel. The products are of
the standard operators: a weight that a DequantizeLinear makes is not constant here, and stays in
its integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress import _core
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import per_channel

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node, Value

_CONV = "product=Conv|ConvTranspose"


def _channels(match: Match) -> int:
    w, node = match.array("W"), match.nodes["product"]
    if node.op == "ConvTranspose":
        return int(w.shape[1] * node.attrs.get("group", 1))
    if node.op == "Conv":
        return int(w.shape[0])
    return int(w.shape[0 if node.attrs.get("transB") else 1])


def _shape_of(match: Match) -> tuple[int | None, int]:
    """Return the rank of the product's result (None = unknown) and its channel axis."""
    node = match.nodes["product"]
    if node.op in {"Conv", "ConvTranspose"}:
        rank = match.array("W").ndim
        return rank, 1 - rank
    if node.op == "Gemm":
        return 2, -1
    shape = node.output.shape
    return (None if shape is None else len(shape)), -1


def _factors(match: Match) -> tuple[np.ndarray | None, np.ndarray | float] | str:
    """Return what the root multiplies by and adds, per channel in float64; or a reason."""
    root, count = match.root, _channels(match)
    if root.op == "BatchNormalization":
        parts = [match.array(n) for n in ("GAMMA", "BETA", "MEAN", "VAR")]
        for part in parts:
            if part.shape != (count,) or part.dtype != np.float32:
                return "its statistics are not one float32 number for each channel"
        gamma, beta, mean, var = (p.astype(np.float64) for p in parts)
        scale = gamma / np.sqrt(var + root.attrs.get("epsilon", 1e-5))
        return scale, beta - mean * scale
    rank, axis = _shape_of(match)
    constant = match["C"].const
    number = None if constant is None else per_channel(constant, count, rank=rank, axis=axis)
    if number is None:
        return f"'{match['C'].name}' is not one number for each channel"
    number = number.astype(np.float64)
    match root.op:
        case "Mul":
            return number, 0.0
        case "Div":
            return 1 / number, 0.0
        case "Add":
            return None, number
    return None, -number


def _folded(match: Match) -> tuple[np.ndarray, np.ndarray | None] | str:
    """Return the new weight and bias in float32, or a reason why there are none."""
    node, w, b = match.nodes["product"], match.array("W"), match.get("B")
    with np.errstate(all="ignore"):
        factors = _factors(match)
        if isinstance(factors, str):
            return factors
        scale, shift = factors
        bias = np.zeros(_channels(match)) if b is None else _own_bias(match)
        if bias is None:
            return f"its bias '{match['B'].name}' is not one number for each channel"
        folded, finite = w, True
        if scale is not None:
            folded, finite = _scaled(node, w, scale)
            bias *= scale
        bias = (bias + shift).astype(np.float32)
    finite = finite and np.count_nonzero(np.isfinite(bias)) == bias.size
    if not finite and np.isfinite(w).all():
        return "its factors are not finite"
    return folded, bias if b is not None or np.count_nonzero(bias) else None


def _own_bias(match: Match) -> np.ndarray | None:
    node, constant, count = match.nodes["product"], match["B"].const, _channels(match)
    if node.op != "Gemm":
        return match.array("B").astype(np.float64) if match["B"].shape == (count,) else None
    if constant is None:
        return None
    bias = per_channel(constant, count, rank=2, axis=-1)
    return None if bias is None else bias.astype(np.float64) * node.attrs.get("beta", 1.0)


def _scaled(node: Node, w: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, bool]:
    """Multiply the weight by one factor for each output channel; tell whether it is finite."""
    if node.op == "ConvTranspose":  # [I, O / group, ...]: each group of inputs has its own outputs
        groups = np.split(w, int(node.attrs.get("group", 1)))
        parts = np.split(scale, len(groups))
        made = [
            _core.scaled(np.ascontiguousarray(g), s, 1) for g, s in zip(groups, parts, strict=True)
        ]
        return np.concatenate([m for m, _ in made]), all(finite for _, finite in made)
    axis = 0 if node.op == "Conv" or node.attrs.get("transB") else 1
    scaled: tuple[np.ndarray, bool] = _core.scaled(np.ascontiguousarray(w), scale, axis)
    return scaled


def _refuse(edit: Edit, match: Match) -> str | None:
    w, product = match["W"], match.nodes["product"]
    if not isinstance(w.const, np.ndarray) or w.const.dtype != np.float32:
        return f"its weight '{w.name}' is not of type float32"
    if len(edit.readers(w)) > 1:
        return f"its weight '{w.name}' serves another node too"
    if product.op in {"MatMul", "Gemm"} and w.const.ndim != 2:
        return f"its weight '{w.name}' is not a matrix"
    if (
        product.op == "MatMul"
        and match.root.op == "BatchNormalization"
        and _shape_of(match)[0] != 2
    ):
        return "its channels are not known to be on the last axis"
    match.found = _folded(match)
    return match.found if isinstance(match.found, str) else None


def _replace(edit: Edit, match: Match) -> None:
    product, w = match.nodes["product"], match["W"]
    weight, bias = match.found
    weight = w if weight is w.const else edit.constant(w.name, weight)
    inputs: list[Value | None] = [match["x"], weight]
    if bias is not None:
        inputs.append(edit.constant(f"{w.name}_bias", bias))
    attrs = {k: v for k, v in product.attrs.items() if k != "beta"}
    op = "Gemm" if product.op == "MatMul" and bias is not None else product.op  # MatMul has no bias
    new = edit.supersede(match.root, op, inputs, attrs)
    new.name, new.metadata = product.name or new.name, {**product.metadata, **new.metadata}


def _refuse_push(edit: Edit, match: Match) -> str | None:
    if match["W"].const is None or match.array("W").ndim != 2:
        return f"its weight '{match['W'].name}' is not a matrix"
    rank, axis = _shape_of(match)
    for name in ("B", "C"):
        constant = match[name].const
        if (
            constant is None
            or per_channel(constant, _channels(match), rank=rank, axis=axis) is None
        ):
            return f"'{match[name].name}' is not one number for each column"
    return None


def _replace_push(edit: Edit, match: Match) -> None:
    """(x·W + B) * C -> (x·W) * C + B * C, so that C comes to stand behind the product."""
    product, root = match.nodes["product"], match.root
    scaled = edit.insert("Mul", [product.output, match["C"]], product.output)
    bias = edit.constant(f"{match['B'].name}_scaled", match.array("B") * match.array("C"))
    edit.supersede(root, "Add", [scaled, bias])


_STATISTICS = ("GAMMA", "BETA", "MEAN", "VAR")

RULES = (
    Rule(
        "Conv + BatchNormalization -> Conv",
        ("BatchNormalization", (_CONV, "x", "W", "B?"), *_STATISTICS),
        _replace,
        _refuse,
    ),
    Rule(
        "Conv * number + number -> Conv",
        ("Mul|Div|Add|Sub", (_CONV, "x", "W", "B?"), "C"),
        _replace,
        _refuse,
    ),
    Rule(
        "Gemm * number + number -> Gemm",
        ("Mul|Div|Add|Sub", ("product=Gemm", "x", "W", "B?"), "C"),
        _replace,
        _refuse,
    ),
    Rule(
        "MatMul * number -> MatMul",
        ("Mul|Div", ("product=MatMul", "x", "W"), "C"),
        _replace,
        _refuse,
    ),
    Rule(
        "(MatMul + bias) * number -> MatMul * number + bias",
        ("Mul", ("Add", ("product=MatMul", "x", "W"), "B"), "C"),
        _replace_push,
        _refuse_push,
    ),
    Rule(
        "Gemm + BatchNormalization -> Gemm",
        ("BatchNormalization", ("product=Gemm|MatMul", "x", "W", "B?"), *_STATISTICS),
        _replace,
        _refuse,
    ),
)
