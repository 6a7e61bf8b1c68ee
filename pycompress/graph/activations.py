"""The element-wise functions that a preset node may apply: names, ONNX operators, spellings.

One table serves the rules (operator -> activation) and the export (activation -> operators).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pycompress.graph.ir import Node, Value

if TYPE_CHECKING:
    from collections.abc import Callable


class Activation(NamedTuple):
    """A function by the name that the kernels know it by, with its two parameters.

    clip: `alpha` and `beta` are the bounds; leaky_relu, elu: `alpha`; hard_sigmoid: max(0, min(1,
    alpha * x + beta)).
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def attrs(self) -> dict[str, str | float]:
        """Return the attributes that a preset node carries."""
        return {"activation": self.name, "alpha": self.alpha, "beta": self.beta}


RELU, SIGMOID, TANH = Activation("relu"), Activation("sigmoid"), Activation("tanh")
SILU, GELU, GELU_TANH = Activation("silu"), Activation("gelu"), Activation("gelu_tanh")
HARD_SWISH, SOFTPLUS = Activation("hard_swish"), Activation("softplus")

_PLAIN = {
    "Relu": RELU,
    "Sigmoid": SIGMOID,
    "Tanh": TANH,
    "HardSwish": HARD_SWISH,
    "Softplus": SOFTPLUS,
}
_WITH_ALPHA = {"LeakyRelu": ("leaky_relu", 0.01), "Elu": ("elu", 1.0)}

ACTIVATION_OPS = "|".join(
    [
        *_PLAIN,
        *_WITH_ALPHA,
        "HardSigmoid",
        "Gelu",
        "Clip",
        "pycompress.activation",
        "com.microsoft.Gelu",
    ]
)
"""The operators that `activation_of` looks at, as a pattern names them."""


def activation_of(node: Node) -> Activation | None:
    """Return the activation that a node applies to its first input, or None."""
    if node.is_preset("activation") or (node.domain == "com.microsoft" and node.op == "Gelu"):
        attrs = {"activation": "gelu", **node.attrs}
        return Activation(attrs["activation"], attrs.get("alpha", 0.0), attrs.get("beta", 0.0))
    if node.domain:
        return None
    if node.op in _PLAIN:
        return _PLAIN[node.op]
    if node.op in _WITH_ALPHA:
        name, default = _WITH_ALPHA[node.op]
        return Activation(name, float(node.attrs.get("alpha", default)))
    if node.op == "HardSigmoid":
        return Activation("hard_sigmoid", node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5))
    if node.op == "Gelu":
        return GELU_TANH if node.attrs.get("approximate", "none") == "tanh" else GELU
    return _clip(node) if node.op == "Clip" else None


def _clip(node: Node) -> Activation | None:
    bounds = [-math.inf, math.inf]
    for position, value in enumerate(node.inputs[1:3]):
        if value is not None:
            if value.const is None or value.array().size != 1 or value.array().dtype.kind != "f":
                return None
            bounds[position] = float(value.array().reshape(()))
    low, high = bounds
    return RELU if (low, high) == (0.0, math.inf) else Activation("clip", low, high)


@dataclass
class Speller:
    """Writes an activation as standard operators; collects the nodes.

    `value` and `node_name` make names that nobody has.
    """

    name: Callable[[str], str]
    stem: str
    dtype: np.dtype[np.generic]

    def __post_init__(self) -> None:
        self.nodes: list[Node] = []

    def constant(self, number: float) -> Value:
        """Return a scalar constant of the activation's element type."""
        array = np.array(number, self.dtype)
        return Value(self.name(f"{self.stem}_constant"), self.dtype, (), array)

    def apply(self, op: str, *inputs: Value | float | None, **attrs: float) -> Value:
        """Append a node; numbers among the inputs become constants."""
        values = [self.constant(i) if isinstance(i, float) else i for i in inputs]
        out = Value(self.name(f"{self.stem}_{op.lower()}"), self.dtype)
        self.nodes.append(Node(op, values, [out], dict(attrs), name=self.name(f"{self.stem}_{op}")))
        return out


def spell(activation: Activation, x: Value, to: Speller) -> Value:
    """Append the standard nodes that compute `activation` of `x`; return the result."""
    name, alpha, beta = activation
    match name:
        case "clip":
            low = None if alpha == -math.inf else alpha
            high = None if beta == math.inf else beta
            return to.apply("Clip", x, low, *([] if high is None else [high]))
        case "leaky_relu":
            return to.apply("LeakyRelu", x, alpha=alpha)
        case "elu":
            return to.apply("Elu", x, alpha=alpha)
        case "hard_sigmoid":
            return to.apply("HardSigmoid", x, alpha=alpha, beta=beta)
        case "silu":
            return to.apply("Mul", x, to.apply("Sigmoid", x))
        case "gelu":
            shifted = to.apply("Add", to.apply("Erf", to.apply("Div", x, math.sqrt(2))), 1.0)
            return to.apply("Mul", to.apply("Mul", x, shifted), 0.5)
        case "gelu_tanh":
            cube = to.apply("Mul", to.apply("Mul", x, x), x)
            inner = to.apply("Add", x, to.apply("Mul", cube, 0.044715))
            tanh = to.apply("Tanh", to.apply("Mul", inner, math.sqrt(2 / math.pi)))
            return to.apply("Mul", to.apply("Mul", x, to.apply("Add", tanh, 1.0)), 0.5)
    for op, plain in _PLAIN.items():
        if plain.name == name:
            return to.apply(op, x)
    msg = f"there is no activation '{name}'"
    raise ValueError(msg)


def compute(activation: Activation, x: np.ndarray) -> np.ndarray:
    """Apply an activation to a float32 array; computed in float64, rounded once."""
    wide = x.astype(np.float64)
    name, alpha, beta = activation
    with np.errstate(over="ignore", invalid="ignore"):
        match name:
            case "relu":
                result = np.maximum(wide, 0)
            case "clip":
                result = np.clip(wide, alpha, beta)
            case "leaky_relu":
                result = np.where(wide < 0, alpha * wide, wide)
            case "elu":
                result = np.where(wide < 0, alpha * np.expm1(wide), wide)
            case "sigmoid":
                result = 1 / (1 + np.exp(-wide))
            case "silu":
                result = wide / (1 + np.exp(-wide))
            case "tanh":
                result = np.tanh(wide)
            case "softplus":
                result = np.logaddexp(wide, 0)
            case "hard_sigmoid":
                result = np.clip(alpha * wide + beta, 0, 1)
            case "hard_swish":
                result = wide * np.clip(wide / 6 + 0.5, 0, 1)
            case "gelu":
                erf = np.array([math.erf(v) for v in (wide / math.sqrt(2)).ravel()])
                result = wide * 0.5 * (1 + erf.reshape(wide.shape))
            case "gelu_tanh":
                inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide * wide * wide)
                result = wide * 0.5 * (1 + np.tanh(inner))
            case _:
                msg = f"there is no activation '{name}'"
                raise ValueError(msg)
    return result.astype(np.float32)
