"""Operators that ONNX Runtime's optimizer fuses -> the standard operators that they stand for.

A file that went through it (``onnxruntime.transformers.optimizer``, optimum, or a session with
``optimized_model_filepath``) reads like the model before, and the other rules find its layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.activations import GELU, GELU_TANH
from pycompress.graph.ir import Value
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.writer import Writer

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

MS = "com.microsoft."
_FLOAT32 = np.dtype(np.float32)
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


def refuse_types(edit: Edit, match: Match) -> str | None:
    """Refuse what is not of float32: the functions are defined on it.

    The type of what an operator computes that onnx does not know may be unknown; a weight's is not.
    """
    x = match.values.get("x")
    for value in match.values.values():
        if value is None or value.dtype in {None, _FLOAT32}:
            continue
        if value is x or (value.dtype is not None and value.dtype.kind == "f"):
            return f"'{value.name}' is of type {value.dtype}, not float32"
    return None


# -- activations


def _biased(write: Writer, match: Match) -> Value:
    bias = match.get("b")
    return match["x"] if bias is None else write("Add", match["x"], bias)


def _gelu(edit: Edit, match: Match) -> None:
    write = Writer(edit, match.root)
    kind = GELU_TANH if match.root.op == "FastGelu" else GELU
    write.take_over(0, write.activation(kind, _biased(write, match)))


def _quick_gelu(edit: Edit, match: Match) -> None:
    write = Writer(edit, match.root)
    alpha = write.number(match.root.attrs.get("alpha", 1.702))
    gate = write("Sigmoid", write("Mul", match["x"], alpha))
    write.take_over(0, write("Mul", match["x"], gate))


# -- normalization


def _refuse_skip(edit: Edit, match: Match) -> str | None:
    for value in match.root.outputs[1:3]:
        if edit.readers(value) or edit.is_output(value):
            return "its mean or its inverse deviation is read"
    return refuse_types(edit, match)


def _normed(write: Writer, x: Value, gamma: Value, beta: Value | None) -> Value:
    """Add the LayerNormalization that ends the operator, over the last axis."""
    epsilon = write.root.attrs.get("epsilon", 1e-12)
    return write("LayerNormalization", x, gamma, beta, axis=-1, epsilon=epsilon)


def _skip_norm(edit: Edit, match: Match) -> None:
    write = Writer(edit, match.root)
    total = write("Add", match["x"], match["skip"])
    if match.get("bias") is not None:
        total = write("Add", total, match["bias"])
    total.shape = match["x"].shape or match["skip"].shape
    normed = _normed(write, total, match["gamma"], match.get("beta"))
    normed.shape = total.shape
    write.take_over(3, total)
    write.take_over(0, normed)


def _refuse_embedding(edit: Edit, match: Match) -> str | None:
    ids = match["ids"]
    if ids.shape is None or len(ids.shape) != 2:
        return f"'{ids.name}' is not known to have two axes"
    return refuse_types(edit, match)


def _embedding(edit: Edit, match: Match) -> None:
    write, ids = Writer(edit, match.root), match["ids"]
    total = write("Gather", match["words"], ids, axis=0)
    if match.get("position_ids") is not None:
        places = write("Gather", match["positions"], match["position_ids"], axis=0)
    else:
        tokens = write("Shape", ids, dtype=_INT64, start=1, end=2)
        places = write("Slice", match["positions"], write.ints(0), tokens, write.ints(0))
    total = write("Add", total, places)
    if match.get("segments") is not None and match.get("segment_ids") is not None:
        total = write(
            "Add", total, write("Gather", match["segments"], match["segment_ids"], axis=0)
        )
    normed = _normed(write, total, match["GAMMA"], match["beta"])
    if match.get("mask") is not None:
        lengths = write("ReduceSum", match["mask"], write.ints(1), dtype=_INT32, keepdims=0)
    else:
        batch = write("Shape", ids, dtype=_INT64, start=0, end=1)
        zero = np.zeros(1, np.int32)
        lengths = write("ConstantOfShape", batch, dtype=_INT32, value=zero)
    lengths.shape = (ids.shape or (None,))[:1]
    normed.shape = (*(ids.shape or (None, None)), match.array("GAMMA").size)
    write.take_over(2, total)
    write.take_over(1, lengths)
    write.take_over(0, normed)


# -- products


def _refuse_product(edit: Edit, match: Match) -> str | None:
    if match.root.attrs.get("transBatchA") or match.root.attrs.get("transBatchB"):
        return "it turns a batch"
    for name in ("x", "w"):
        shape = match[name].shape
        if match.root.attrs.get("transA" if name == "x" else "transB") and shape is None:
            return f"it transposes '{match[name].name}', whose rank is not known"
    return refuse_types(edit, match)


def _product(edit: Edit, match: Match) -> None:
    root, write = match.root, Writer(edit, match.root)
    operands = []
    for name, key in (("x", "transA"), ("w", "transB")):
        value = match[name]
        rank = len(value.shape or ())
        if root.attrs.get(key) and rank > 1:
            value = write("Transpose", value, perm=[*range(rank - 2), rank - 1, rank - 2])
        operands.append(value)
    product = write("MatMul", *operands)
    alpha = root.attrs.get("alpha", 1.0)
    write.take_over(0, product if alpha == 1.0 else write("Mul", product, write.number(alpha)))


_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}
"""What FusedConv applies, and which of its ``activation_params`` these are."""


def _refuse_conv(edit: Edit, match: Match) -> str | None:
    function = match.root.attrs.get("activation", "")
    if function and function not in {*_FUNCTIONS, "Clip"}:
        return f"its activation is '{function}'"
    return refuse_types(edit, match)


def _conv(edit: Edit, match: Match) -> None:
    attrs, write = dict(match.root.attrs), Writer(edit, match.root)
    function, params = attrs.pop("activation", ""), attrs.pop("activation_params", [])
    y = write("Conv", match["x"], match["w"], match.get("b"), **attrs)
    if match.get("z") is not None:
        y = write("Add", y, match["z"])
    if function == "Clip":
        y = write("Clip", y, *map(write.number, params))
    elif function:
        y = write(function, y, **dict(zip(_FUNCTIONS[function], params, strict=False)))
    write.take_over(0, y)


RULES = (
    Rule(
        "BiasGelu, FastGelu -> Add, gelu",
        (f"{MS}BiasGelu|{MS}FastGelu", "x", "b?"),
        _gelu,
        refuse_types,
    ),
    Rule("QuickGelu -> x * Sigmoid(alpha * x)", (f"{MS}QuickGelu", "x"), _quick_gelu, refuse_types),
    Rule(
        "SkipLayerNormalization -> Add, LayerNormalization",
        (f"{MS}SkipLayerNormalization", "x", "skip", "gamma", "beta?", "bias?"),
        _skip_norm,
        _refuse_skip,
    ),
    Rule(
        "EmbedLayerNormalization -> Gather, Add, LayerNormalization",
        (
            f"{MS}EmbedLayerNormalization",
            *("ids", "segment_ids?", "words", "positions", "segments?", "GAMMA", "beta"),
            *("mask?", "position_ids?"),
        ),
        _embedding,
        _refuse_embedding,
    ),
    Rule("FusedMatMul -> MatMul", (f"{MS}FusedMatMul", "x", "w"), _product, _refuse_product),
    Rule("FusedConv -> Conv", (f"{MS}FusedConv", "x", "w", "b?", "z?"), _conv, _refuse_conv),
)
