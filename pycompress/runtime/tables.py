"""Scalar functions of a quantized tensor, as tables of 256 entries.

Whatever is computed element by element from one 8-bit tensor takes 256 values at most, so
``Q(f(DQ(x)))`` is a table. Each operator of `f` is evaluated in float64 and rounded once to
float32: the correctly rounded float32 result, the same on every machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Node

    Function = Callable[..., np.ndarray]


def _erf(x: np.ndarray) -> np.ndarray:
    return np.array([math.erf(v) for v in x.ravel()]).reshape(x.shape)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1.0 + np.tanh(inner)), np.float64)
    return np.asarray(0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))), np.float64)


def _hard_sigmoid(x: np.ndarray, alpha: float = 0.2, beta: float = 0.5) -> np.ndarray:
    return np.asarray(np.clip(alpha * x + beta, 0.0, 1.0))


def _clip(
    x: np.ndarray, lo: np.ndarray | float = -np.inf, hi: np.ndarray | float = np.inf
) -> np.ndarray:
    return np.asarray(np.minimum(np.maximum(x, lo), hi))


FUNCTIONS: dict[str, Function] = {
    "Abs": np.abs,
    "Neg": np.negative,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Sign": np.sign,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tanh": np.tanh,
    "Erf": _erf,
    "Reciprocal": lambda x: 1.0 / x,
    "Relu": lambda x: np.maximum(x, 0.0),
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
    "Elu": lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(x), x),
    "Sigmoid": _sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x: x * _hard_sigmoid(x, 1.0 / 6.0, 0.5),
    "Softplus": lambda x: np.logaddexp(0.0, x),
    "Gelu": _gelu,
    "Clip": _clip,
    "Identity": lambda x: x,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Min": np.minimum,
    "Max": np.maximum,
}
"""Standard element-wise operators; inputs are positional, attributes are keywords."""

ACTIVATIONS: dict[str, Function] = {
    "": lambda x: x,
    "abs": np.abs,
    "neg": np.negative,
    "relu": FUNCTIONS["Relu"],
    "clip": _clip,
    "leaky_relu": FUNCTIONS["LeakyRelu"],
    "elu": FUNCTIONS["Elu"],
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": FUNCTIONS["HardSwish"],
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "gelu": _gelu,
    "gelu_tanh": lambda x: _gelu(x, "tanh"),
    "erf": _erf,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "square": np.square,
    "reciprocal": FUNCTIONS["Reciprocal"],
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sign": np.sign,
    "softplus": FUNCTIONS["Softplus"],
    "sin": np.sin,
    "cos": np.cos,
}
"""The activations of the preset formats (names of ``Unary`` in csrc/kernels.h)."""

_DEFAULTS = {
    "clip": (-np.inf, np.inf),
    "hard_sigmoid": (0.2, 0.5),
    "leaky_relu": (0.01,),
    "elu": (1.0,),
}
"""alpha and beta, of the activations that have them, where they are left out."""


def evaluate(node: Node, inputs: list[np.ndarray | None]) -> np.ndarray:
    """Return the correctly rounded float32 result of an element-wise node for float32 inputs."""
    wide: list[Any] = [None if x is None else x.astype(np.float64) for x in inputs]
    with np.errstate(all="ignore"):
        if node.is_preset("activation"):
            name = node.attrs.get("activation", "")
            given = [
                float(node.attrs.get(key, default))
                for key, default in zip(("alpha", "beta"), _DEFAULTS.get(name, ()), strict=False)
            ]
            return np.asarray(ACTIVATIONS[name](wide[0], *given), np.float32)
        if node.op == "Clip":
            lo, hi = (*wide[1:], None, None)[:2]
            wide = [wide[0], -np.inf if lo is None else lo, np.inf if hi is None else hi]
        return np.asarray(FUNCTIONS[node.op](*wide, **node.attrs), np.float32)


def is_scalar_function(node: Node) -> bool:
    """Tell whether `evaluate` knows this node."""
    if node.is_preset("activation"):
        return node.attrs.get("activation", "") in ACTIVATIONS
    return node.domain == "" and node.op in FUNCTIONS and len(node.outputs) == 1


def as_clamp(node: Node) -> dict[str, str | float] | None:
    """Return a node's activation as the attributes of a q_add, if it is relu or clip."""
    if node.is_op("Relu"):
        return {"activation": "relu"}
    if node.is_preset("activation"):
        name = node.attrs.get("activation", "")
        kept = {k: float(node.attrs[k]) for k in ("alpha", "beta") if k in node.attrs}
        return {"activation": name} | kept if name in {"relu", "clip"} else None
    if not node.is_op("Clip"):
        return None
    bounds = {"alpha": -np.inf, "beta": np.inf}
    for key, value in zip(bounds, node.inputs[1:], strict=False):
        if value is not None and value.const is None:
            return None
        if value is not None:
            bounds[key] = float(value.array().item())
    return {"activation": "clip"} | bounds
