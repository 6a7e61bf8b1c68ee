"""Functions that exporters spell out in many nodes -> one node."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.activations import (
    GELU,
    GELU_TANH,
    HARD_SWISH,
    SILU,
    Activation,
    activation_of,
)
from pycompress.graph.ir import PRESET
from pycompress.graph.pattern import Match, Pattern, Rule

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_SIXTH = Activation("hard_sigmoid", 1 / 6, 0.5)


def _refuse(edit: Edit, match: Match) -> str | None:
    x = match["x"]
    if x.dtype != np.float32:
        return f"'{x.name}' is of type {x.dtype}, not float32"
    return None


def _supersede(edit: Edit, match: Match, activation: Activation) -> None:
    """Write the standard operator where there is one, so that a written file reads the same."""
    if activation is HARD_SWISH:
        edit.supersede(match.root, "HardSwish", [match["x"]])
    elif activation is _SIXTH:
        edit.supersede(match.root, "HardSigmoid", [match["x"]], {"alpha": 1 / 6, "beta": 0.5})
    else:
        edit.supersede(match.root, "activation", [match["x"]], activation.attrs(), PRESET)


def _spelled(activation: Activation, *patterns: Pattern) -> tuple[Rule, ...]:
    """Return a rule for each spelling of an activation of `x`."""

    def replace(edit: Edit, match: Match) -> None:
        _supersede(edit, match, activation)

    name = f"spelled out -> {activation.name}"
    return tuple(Rule(name, pattern, replace, _refuse) for pattern in patterns)


# -- Gelu: x * 0.5 * (1 + f(x)), the factors in any order


def _halved(inner: Pattern) -> tuple[Pattern, ...]:
    shifted: Pattern = ("Add", inner, 1.0)
    return (
        ("Mul", ("Mul", "x", shifted), 0.5),
        ("Mul", "x", ("Mul", shifted, 0.5)),
        ("Mul", ("Mul", "x", 0.5), shifted),
        ("Mul", ("Div", "x", 2.0), shifted),
    )


_ERF = (
    *_halved(("Erf", ("Div", "x", math.sqrt(2)))),
    *_halved(("Erf", ("Mul", "x", math.sqrt(0.5)))),
)
_CUBIC = 0.044715
_CUBES: tuple[Pattern, ...] = (
    ("Mul", ("Pow", "x", 3.0), _CUBIC),
    ("Mul", ("Mul", ("Mul", "x", "x"), "x"), _CUBIC),
    ("Mul", "x", ("Mul", "x", ("Mul", "x", _CUBIC))),
)
_TANH = tuple(
    pattern
    for cube in _CUBES
    for pattern in _halved(("Tanh", ("Mul", ("Add", "x", cube), math.sqrt(2 / math.pi))))
)

# -- HardSigmoid and HardSwish: min(max(x + 3, 0), 6) / 6

_RELU6: Pattern = ("Clip", ("Add", "x", 3.0), 0.0, 6.0)
_HARD_SWISH: tuple[Pattern, ...] = (
    ("Div", ("Mul", "x", _RELU6), 6.0),
    ("Mul", ("Mul", "x", _RELU6), 1 / 6),
    ("Mul", "x", ("Div", _RELU6, 6.0)),
    ("Mul", "x", ("Mul", _RELU6, 1 / 6)),
)


def _refuse_gate(edit: Edit, match: Match) -> str | None:
    gate = activation_of(match.nodes["gate"])
    close = gate is not None and gate.name == "hard_sigmoid" and np.allclose(gate[1:], _SIXTH[1:])
    return (
        _refuse(edit, match) if close else "it is not x * HardSigmoid(x) with alpha 1/6, beta 1/2"
    )


def _replace_gate(edit: Edit, match: Match) -> None:
    _supersede(edit, match, HARD_SWISH)


# -- LayerNormalization: (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * gamma + beta

_CENTRED: Pattern = ("centred=Sub", "x", ("mean=ReduceMean", "x", "AXES"))
_SQUARES: tuple[Pattern, ...] = (("Pow", _CENTRED, 2.0), ("Mul", _CENTRED, _CENTRED))
_NORMS = tuple(
    (
        "Add",
        (
            "Mul",
            (
                "Div",
                _CENTRED,
                ("Sqrt", ("Add", ("variance=ReduceMean", square, "AXES2"), "EPSILON")),
            ),
            "GAMMA",
        ),
        "BETA",
    )
    for square in _SQUARES
)


def _refuse_norm(edit: Edit, match: Match) -> str | None:
    x, gamma, beta = match["x"], match["GAMMA"].const, match["BETA"].const
    if x.shape is None or not x.shape:
        return f"the rank of '{x.name}' is not known"
    rank, last = len(x.shape), x.shape[-1]
    for axes in (match.array("AXES"), match.array("AXES2")):
        if axes.size != 1 or int(axes.reshape(())) % rank != rank - 1:
            return "it normalizes over other axes than the last one"
    if any(not match.nodes[n].attrs.get("keepdims", 1) for n in ("mean", "variance")):
        return "its means drop the axis"
    if match["EPSILON"].const is None or match.array("EPSILON").size != 1:
        return "its epsilon is not a number"
    for part in (gamma, beta):
        if not isinstance(part, np.ndarray) or part.dtype != np.float32 or part.size != last:
            return "its scale or shift is not one number for each element of the last axis"
        if part.shape[-1:] != (last,) or part.ndim > rank:
            return "its scale or shift runs along another axis"
    return _refuse(edit, match)


def _replace_norm(edit: Edit, match: Match) -> None:
    flat = [
        v if len(v.shape or ()) == 1 else edit.constant(v.name, v.array().reshape(-1))
        for v in (match["GAMMA"], match["BETA"])
    ]
    attrs = {"axis": -1, "epsilon": float(match.array("EPSILON").reshape(()))}
    edit.supersede(match.root, "LayerNormalization", [match["x"], *flat], attrs)


# -- Softmax over the last axis, as it had to be written for a matrix


def _refuse_softmax(edit: Edit, match: Match) -> str | None:
    x, axis = match["x"], match.nodes["flatten"].attrs.get("axis", 1)
    last = axis == -1 or (x.shape is not None and axis == len(x.shape) - 1)
    if not last or match.nodes["softmax"].attrs.get("axis", -1) not in {-1, 1}:
        return "it does not act on the last axis alone"
    return None


def _replace_softmax(edit: Edit, match: Match) -> None:
    edit.supersede(match.root, match.nodes["softmax"].op, [match["x"]], {"axis": -1})


RULES = (
    *_spelled(SILU, ("Mul", "x", ("Sigmoid", "x"))),
    *_spelled(GELU, *_ERF),
    *_spelled(GELU_TANH, *_TANH),
    *_spelled(HARD_SWISH, *_HARD_SWISH),
    *_spelled(_SIXTH, ("Div", _RELU6, 6.0), ("Mul", _RELU6, 1 / 6)),
    Rule(
        "x * HardSigmoid(x) -> HardSwish",
        ("Mul", "x", ("gate=HardSigmoid", "x")),
        _replace_gate,
        _refuse_gate,
    ),
    *(
        Rule("spelled out -> LayerNormalization", norm, _replace_norm, _refuse_norm)
        for norm in _NORMS
    ),
    Rule(
        "Flatten + Softmax + Reshape -> Softmax",
        (
            "Reshape",
            ("softmax=Softmax|LogSoftmax|Hardmax", ("flatten=Flatten", "x")),
            ("*Shape", "x"),
        ),
        _replace_softmax,
        _refuse_softmax,
    ),
)
