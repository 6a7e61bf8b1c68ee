"""Attention of ONNX Runtime -> the products, softmax and transposes that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Node, Value
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.contrib import MS, refuse_types
from pycompress.graph.rules.writer import Writer

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_INT64 = np.dtype(np.int64)
_KEPT = 0  # Reshape copies that dimension


def _heads(write: Writer, x: Value, heads: int, perm: list[int]) -> Value:
    """Return x, [batch, tokens, heads * size], with its heads apart."""
    apart = write("Reshape", x, write.ints(_KEPT, _KEPT, heads, -1))
    return write("Transpose", apart, perm=perm)


def _mask(write: Writer, mask: Value, x: Value, low: float) -> Value:
    """Return what is added to the scores: 0 where a token counts, `low` where it is padding.

    `mask` is [batch, tokens] of ones and zeros, or [batch]: how many tokens count.
    """
    if len(mask.shape or ()) == 1:
        tokens = write("Shape", x, dtype=_INT64, start=1, end=2)
        last = write("Squeeze", tokens, dtype=_INT64)
        zero, one = (write.edit.constant("n", np.array(i, np.int64)) for i in (0, 1))
        places = write("Range", zero, last, one, dtype=_INT64)
        lengths = write(
            "Unsqueeze", write("Cast", mask, dtype=_INT64, to=7), write.ints(1), dtype=_INT64
        )
        keep = write("Less", places, lengths, dtype=np.dtype(np.bool_))
    else:
        keep = write("Cast", mask, dtype=np.dtype(np.bool_), to=9)
    added = write("Where", keep, write.number(0.0), write.number(low))
    spread = write("Unsqueeze", added, write.ints(1, 2))
    spread.shape = (mask.shape or (None,))[0], 1, 1, None
    return spread


def _attend(write: Writer, match: Match, parts: tuple[Value, Value, Value]) -> None:
    """Write softmax(q·k' * scale + mask) · v, and let it be the answer."""
    attrs = match.root.attrs
    heads = int(attrs["num_heads"])
    q, k, v = (
        _heads(write, part, heads, perm)
        for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = write("MatMul", q, k)
    scores = write("Mul", scores, write.number(_scale(match)))
    if match.get("mask") is not None:
        low = attrs.get("mask_filter_value", -10000.0)
        scores = write("Add", scores, _mask(write, match["mask"], match["x"], low))
    if match.get("added") is not None:
        scores = write("Add", scores, match["added"])
    mixed = write("MatMul", write("Softmax", scores, axis=-1), v)
    joined = write("Transpose", mixed, perm=[0, 2, 1, 3])
    y = write("Reshape", joined, write.ints(_KEPT, _KEPT, -1))
    y.shape = None if match["x"].shape is None else (*match["x"].shape[:2], _width(match))
    write.take_over(0, y)


def _width(match: Match) -> int:
    """Return how many columns q and k have, all heads."""
    if match.root.op == "Attention":
        return int(match.array("W").shape[1]) // 3
    return int((match["x"].shape or (0,))[-1] or 0)


def _scale(match: Match) -> float:
    given = float(match.root.attrs.get("scale", 0.0) or 0.0)
    return given or float(1 / np.sqrt(_width(match) / int(match.root.attrs["num_heads"])))


def _refuse(edit: Edit, match: Match) -> str | None:
    root, attrs = match.root, match.root.attrs
    if (
        attrs.get("unidirectional")
        or attrs.get("do_rotary")
        or attrs.get("past_present_share_buffer")
    ):
        return "it looks back only, rotates, or shares a buffer"
    if any(edit.readers(v) or edit.is_output(v) for v in root.outputs[1:]):
        return "its keys and values are kept for the next call"
    if (
        not isinstance(_width(match), int)
        or _width(match) % int(attrs["num_heads"])
        or not _width(match)
    ):
        return f"its width {_width(match)} is not known, or not {attrs['num_heads']} heads"
    mask = match.get("mask")
    if mask is not None and (mask.shape is None or len(mask.shape) not in {1, 2}):
        return f"its mask '{mask.name}' has not one or two axes"
    if mask is not None and len(mask.shape or ()) == 1 and not _is_batch(mask, match["x"]):
        return f"it is not known that '{mask.name}' has a length for each batch"
    return refuse_types(edit, match)


def _is_batch(mask: Value, x: Value) -> bool:
    return bool(mask.shape and x.shape and mask.shape[0] == x.shape[0])


def _refuse_fused(edit: Edit, match: Match) -> str | None:
    w = match.array("W")
    if match.root.attrs.get("qkv_hidden_sizes") or w.ndim != 2 or w.shape[1] % 3:
        return "its q, k and v are not of one width"
    return _refuse(edit, match)


def _fused(edit: Edit, match: Match) -> None:
    write, width = Writer(edit, match.root), _width(match)
    projected = write("MatMul", match["x"], match["W"])
    if match.get("b") is not None:
        projected = write("Add", projected, match["b"])
    names = (write.edit.names.fresh(f"{write.stem}_{part}") for part in ("q", "k", "v"))
    parts = [Value(name, projected.dtype) for name in names]
    name = write.edit.names.fresh(f"{write.stem}_split")
    widths = write.ints(width, width, width)
    q, k, v = edit.add(Node("Split", [projected, widths], parts, {"axis": 2}, name=name)).outputs
    _attend(write, match, (q, k, v))


def _refuse_apart(edit: Edit, match: Match) -> str | None:
    for name in ("x", "k", "v"):
        if len(match[name].shape or ()) != 3:
            return f"'{match[name].name}' is not known to have three axes"
    bias = match.get("b")
    if bias is not None and bias.const is None:
        return f"its bias '{bias.name}' is computed at run time"
    if match["v"].shape is None or (match["v"].shape or (0,))[-1] != _width(match):
        return "its q and v are not of one width"
    if match.get("mask") is not None and match["k"] is not match["x"]:
        return "it has a mask, of keys that are not as many as its queries"
    return _refuse(edit, match)


def _apart(edit: Edit, match: Match) -> None:
    write, width = Writer(edit, match.root), _width(match)
    parts = [match["x"], match["k"], match["v"]]
    if match.get("b") is not None:
        bias = match.array("b").reshape(3, width)
        parts = [
            write("Add", part, edit.constant(f"{part.name}_bias", np.ascontiguousarray(row)))
            for part, row in zip(parts, bias, strict=True)
        ]
    _attend(write, match, (parts[0], parts[1], parts[2]))


RULES = (
    Rule(
        "Attention of com.microsoft -> MatMul, Softmax",
        (f"{MS}Attention", "x", "W", "b?", "mask?", "past?", "added?"),
        _fused,
        lambda edit, match: (
            "it has a past" if match.get("past") is not None else _refuse_fused(edit, match)
        ),
    ),
    Rule(
        "MultiHeadAttention of com.microsoft -> MatMul, Softmax",
        (f"{MS}MultiHeadAttention", "x", "k", "v", "b?", "mask?", "added?"),
        _apart,
        _refuse_apart,
    ),
)
