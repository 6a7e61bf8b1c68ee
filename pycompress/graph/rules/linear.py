"""MatMul, Gemm and simple Einsum with a constant weight -> `linear` [x, w (K, N), bias?]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.expand import DYNAMIC
from pycompress.graph.ir import PRESET, Quantized
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.weights import per_channel, why_not_weight

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Constant


def _refuse_matmul(edit: Edit, match: Match) -> str | None:
    if match["x"].const is not None and match["w"].const is None:
        return "its constant stands on the left"
    return why_not_weight(match["w"], 2, axis=1)


def _replace_matmul(edit: Edit, match: Match) -> None:
    edit.supersede(match.root, "linear", [match["x"], match["w"]], _wishes(match), PRESET)


def _wishes(match: Match) -> dict[str, bool]:
    """Return the attributes that the node's metadata ask for."""
    wish = match.root.metadata.pop(DYNAMIC, None)
    if wish != "rows" or not isinstance(match["w"].const, Quantized):
        return {}
    return {"dynamic": True, "by_row": True, "float_elsewhere": True}


def transposed(constant: Constant) -> Constant:
    """Return a matrix with its axes exchanged, integers staying integers."""
    if isinstance(constant, np.ndarray):
        return np.ascontiguousarray(constant.T)
    axis = None if constant.axis is None else 1 - constant.axis
    data = np.ascontiguousarray(constant.data.T)
    return Quantized(data, constant.scale, constant.zero_point, axis)


def _scaled(constant: Constant, factor: float) -> Constant:
    if factor == 1:
        return constant
    if isinstance(constant, np.ndarray):
        return constant * np.float32(factor)
    scale = constant.scale * np.float32(factor)
    return Quantized(constant.data, scale, constant.zero_point, constant.axis)


def _refuse_gemm(edit: Edit, match: Match) -> str | None:
    attrs, w = match.root.attrs, match["w"]
    if attrs.get("alpha", 1.0) <= 0 and isinstance(w.const, Quantized):
        return "its alpha is not positive, and its weight is in integers"
    return why_not_weight(w, 2, axis=0 if attrs.get("transB") else 1)


def _replace_gemm(edit: Edit, match: Match) -> None:
    """Keep A' · B'; alpha, beta and C go into constants where C is one number per column."""
    root = match.root
    attrs, x, w, c = root.attrs, match["x"], match["w"], match.get("c")
    if attrs.get("transA"):
        shape = None if x.shape is None else x.shape[::-1]
        x_shape, x.shape = x.shape, shape
        transposed_x = edit.insert("Transpose", [x], x, {"perm": [1, 0]})
        x.shape, x = x_shape, transposed_x
    if w.const is not None and (attrs.get("transB") or attrs.get("alpha", 1.0) != 1):
        data = transposed(w.const) if attrs.get("transB") else w.const
        w = edit.constant(f"{w.name}_kn", _scaled(data, attrs.get("alpha", 1.0)))
    beta = attrs.get("beta", 1.0)
    wishes = _wishes(match)
    if c is None or beta == 0:
        edit.supersede(root, "linear", [x, w], wishes, PRESET)
        return
    assert w.shape is not None
    if isinstance(c.const, Quantized) and c.const.shape == w.shape[1:] and beta == 1:
        edit.supersede(root, "linear", [x, w, c], wishes, PRESET)
        return
    channels = int(w.shape[1] or 0)
    bias = None if c.const is None else per_channel(c.const, channels, rank=2, axis=-1)
    if bias is not None:
        same = beta == 1 and c.shape == (channels,)
        bias_value = c if same else edit.constant(f"{c.name}_bias", bias * np.float32(beta))
        edit.supersede(root, "linear", [x, w, bias_value], wishes, PRESET)
        return
    product = edit.insert("linear", [x, w], root.output, wishes, PRESET)
    if beta != 1 and c.const is not None:
        c = edit.constant(f"{c.name}_scaled", c.array() * np.float32(beta))
    elif beta != 1:
        factor = edit.constant(f"{c.name}_beta", np.array(beta, np.float32))
        c = edit.insert("Mul", [c, factor], c)
    edit.supersede(root, "Add", [product, c])


def _einsum(match: Match) -> tuple[bool, str | None]:
    """Return whether the weight is (N, K), and why the equation is no product with a matrix."""
    equation = str(match.root.attrs["equation"]).replace(" ", "")
    operands, arrow, result = equation.partition("->")
    left, _, right = operands.partition(",")
    plain = left.replace("...", "")
    reason = f"its equation '{equation}' is not a product with a matrix on the right"
    if not arrow or len(right) != 2 or not plain or len(set(plain)) != len(plain):
        return False, reason
    k = plain[-1]
    n = right.replace(k, "")
    if len(n) != 1 or n in plain or result != left[:-1] + n or not left.endswith(k):
        return False, reason
    return right == n + k, None


def _refuse_einsum(edit: Edit, match: Match) -> str | None:
    is_nk, reason = _einsum(match)
    return reason or why_not_weight(match["w"], 2, axis=0 if is_nk else 1)


def _replace_einsum(edit: Edit, match: Match) -> None:
    w = match["w"]
    if _einsum(match)[0] and w.const is not None:
        w = edit.constant(f"{w.name}_kn", transposed(w.const))
    edit.supersede(match.root, "linear", [match["x"], w], {}, PRESET)


RULES = (
    Rule("MatMul by a constant -> linear", ("MatMul", "x", "w"), _replace_matmul, _refuse_matmul),
    Rule("Gemm by a constant -> linear", ("Gemm", "x", "w", "c?"), _replace_gemm, _refuse_gemm),
    Rule("Einsum by a constant -> linear", ("Einsum", "x", "w"), _replace_einsum, _refuse_einsum),
)
