"""Which node takes which precision, and the sentence that says why."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pycompress.convert.logs import before_logs
from pycompress.graph.ir import Quantized

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pycompress.graph.ir import Constant, Graph, Node

Mode: TypeAlias = Literal["auto", "dynamic", "static", "weights", "int4", "bf16"]
Precision: TypeAlias = Literal["static", "dynamic", "rows", "weights", "int4", "bf16", "float"]

MODES: tuple[Mode, ...] = ("auto", "dynamic", "static", "weights", "int4", "bf16")

SAFER: dict[Precision, Precision] = {
    "static": "dynamic",
    "int4": "dynamic",
    "dynamic": "weights",
    "rows": "weights",
    "weights": "bf16",
    "bf16": "float",
}
"""What a node falls back to when it costs too much agreement."""

CHANNEL_AXIS = {"conv": 0, "conv_transpose": 1, "linear": 1, "embedding": 0, "recurrent": 1}
"""Axis of the constant along which every slice has its own scale."""

WORTH_BYTES = 1024
"""A constant that saves less than this stays in float."""

LEAST_DEPTH = 32
"""Weights per output below which there is not one whole block of 4-bit ones."""

MAX_DEPTH = 66_311
"""Products per sum: one more could overflow int32 (255 * 127 * 66,312 > 2**31 - 1)."""


DEPTHWISE = "a channel by itself: one range for all, found at run time, costs it too much"
"""Why a depthwise convolution computes in float where ranges are not calibrated.

Its sums have few products for errors to cancel in, it is fast as it is, and its channels differ in
range the most: of the ten nodes of ppocr_det and ppocr_rec each whose ranges at run time cost the
answers most, four and seven were depthwise, and up to 9,000 times as much as their weights did.
An activation that clamps its input at both ends gives every channel the same bound, but not the
same range: efficientnet_lite0 agreed with itself on 0.93 of images by such a range, and on 0.96
with these in float.
"""

INTO_LOG = "a logarithm makes its small results count as much as its large ones"
"""Why a layer keeps 8 bits that count, of whatever size, where nothing tells what integers cost."""


class PlanError(ValueError):
    """A wish (mode, exclude, max_drop) that can't be met for this model."""


@dataclass(frozen=True)
class Choice:
    """The precision of one node.

    Attributes
    ----------
    key : str
        Name of the node's first output: unique in the model.
    node, format : str
        The node's name and its preset format, for the reader of the report.
    precision : "static", "dynamic", "rows", "weights", "int4", "bf16" or "float"
        Integers with ranges from calibration; integers with ranges found at run time; the same here
        and float arithmetic in other runtimes, which have no range for each row; integers in the
        file and float arithmetic; blocks of 4-bit integers, with which other runtimes may compute
        in float; weights in bfloat16, and the input rounded to it where there is a kernel for that;
        untouched.
    reason : str
    """

    key: str
    node: str
    format: str
    precision: Precision
    reason: str


@dataclass(frozen=True)
class Plan:
    """A choice for every node that is in a preset format with constant weights, by key."""

    choices: dict[str, Choice] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Choice]:
        return iter(self.choices.values())

    def __len__(self) -> int:
        return len(self.choices)

    def precision(self, node: Node) -> Precision | None:
        """Return the precision chosen for a node; None when it is not in the plan."""
        choice = self.choices.get(node.output.name)
        return choice.precision if choice is not None else None

    def keys(self, precision: Precision) -> set[str]:
        """Return the keys of the nodes with this precision."""
        return {choice.key for choice in self if choice.precision == precision}

    def change(self, changed: Iterable[Choice]) -> Plan:
        """Return a plan in which these choices replace the ones of the same key."""
        return Plan({**self.choices, **{choice.key: choice for choice in changed}})

    def only(self, keys: set[str]) -> Plan:
        """Return a plan in which the other nodes stay in float."""
        return Plan(
            {
                c.key: c if c.key in keys else Choice(c.key, c.node, c.format, "float", "left out")
                for c in self
            }
        )


def label(node: Node) -> str:
    """Return the name by which a reader knows the node."""
    return node.name or node.output.name


def make_plan(graph: Graph, mode: Mode, *, calibrated: bool, exclude: Sequence[str] = ()) -> Plan:
    """Choose a precision for each node in a preset format whose weights are constant.

    Parameters
    ----------
    graph : Graph
        In preset formats (`pycompress.graph.to_formats`).
    mode : "auto", "dynamic", "static", "weights", "int4" or "bf16"
    calibrated : bool
        Whether ranges of activations will be known.
    exclude : sequence of str
        Names of nodes, of their outputs, or shell patterns of them: these stay in float.

    Raises
    ------
    PlanError
        `mode` is unknown or needs calibration data, or an entry of `exclude` matches no node.
    """
    if mode not in MODES:
        msg = f"mode: found '{mode}', wanted one of {', '.join(MODES)}"
        raise PlanError(msg)
    if mode == "static" and not calibrated:
        msg = "mode 'static' needs calibration data: ranges of activations are measured on it"
        raise PlanError(msg)
    nodes = [node for node in graph.everywhere() if weight_indices(node)]
    outer = set(graph.nodes)
    _check_exclude(nodes, exclude)
    choices: dict[str, Choice] = {}
    logs = before_logs(graph) if mode == "dynamic" or not calibrated else set()
    shared = _read_as_they_are(graph, nodes)
    for node in nodes:
        if node in outer:
            wished = _wish(node, mode, calibrated=calibrated, into_log=node in logs)
        else:  # what a body computes is not watched, and blocks have their place outside
            inner: Mode = mode if mode in {"bf16", "weights"} else "dynamic"
            wished = _wish(node, inner, calibrated=calibrated, into_log=node in logs)
        precision, reason = _choose(node, wished, exclude, shared)
        choices[node.output.name] = Choice(
            node.output.name, label(node), node.op, precision, reason
        )
    return Plan(choices)


_WEIGHTS = {"embedding": (0,), "recurrent": (1, 2)}
"""Inputs that hold the constants to convert, where that is not input 1."""


def weight_indices(node: Node) -> tuple[int, ...]:
    """Return which inputs of a node are the constants that are converted; none for many a node."""
    if not node.is_preset(*CHANNEL_AXIS):
        return ()
    indices = _WEIGHTS.get(node.op, (1,))
    values = [node.input(i) for i in indices]
    return indices if all(v is not None and v.const is not None for v in values) else ()


def weights_of(node: Node) -> list[np.ndarray | Quantized]:
    """Return the constants of a node at its `weight_indices`."""
    values = [node.input(i) for i in weight_indices(node)]
    return [v.const for v in values if v is not None and v.const is not None]


def _read_as_they_are(graph: Graph, nodes: Sequence[Node]) -> set[int]:
    """Return the ids of constants that something reads which is not converted."""
    converted = {(node, i) for node in nodes for i in weight_indices(node)}
    return {
        id(value.const)
        for node in graph.everywhere()
        for i, value in enumerate(node.inputs)
        if value is not None and value.const is not None and (node, i) not in converted
    }


def _choose(
    node: Node, wished: tuple[Precision, str], exclude: Sequence[str], shared: set[int]
) -> tuple[Precision, str]:
    weights = weights_of(node)
    obstacles = [_obstacle(node, weight, exclude) for weight in weights]
    floats = [weight for weight in weights if isinstance(weight, np.ndarray)]
    obstacle = next(filter(None, obstacles), None)
    if obstacle is not None:
        return "float", obstacle
    precision, reason = wished
    left = 2 if precision == "bf16" else 1
    saved = sum(weight.nbytes - left * weight.size for weight in floats)
    if any(id(weight) in shared for weight in floats):
        return "float", "something else reads its weights in float: integers would add to the file"
    if saved < WORTH_BYTES and not _chained(node, weights[0], precision):
        return "float", f"would save only {saved} bytes"
    return precision, reason


def _chained(node: Node, weight: Constant, precision: Precision) -> bool:
    """Tell whether a node in float would break the chain of integers around it.

    A convolution of few weights that looks at several pixels at a time is work all the same; one
    that does not may stand behind a pool, where there is one pixel.
    """
    windows = node.op == "conv" and int(np.prod(weight.shape[2:])) > 1
    return precision == "static" or (precision == "dynamic" and windows)


def _obstacle(node: Node, weight: np.ndarray | Quantized, exclude: Sequence[str]) -> str | None:
    """Return why a node has to stay as it is."""
    reason = None
    if _excluded(node, exclude):
        reason = "excluded by the caller"
    elif isinstance(weight, Quantized):
        reason = "its weights are in integers already: left as they are"
    elif weight.dtype != np.float32:
        reason = f"its weights are {weight.dtype}, not float32"
    elif node.op != "embedding" and not np.isfinite(weight).all():
        reason = "its weights hold infinities or NaN"
    return reason


def _wish(node: Node, mode: Mode, *, calibrated: bool, into_log: bool) -> tuple[Precision, str]:
    """Return the precision that suits a node: the first of these whose condition holds."""
    weight = weights_of(node)[0]
    depth = _depth(node, weight)
    x = node.input(0)
    vectors = x is not None and x.shape is not None and len(x.shape) == 2
    found_late = mode == "dynamic" or not calibrated
    blind = "" if calibrated else " (no calibration data)"
    rows: tuple[tuple[bool, Precision, str], ...] = (
        (mode == "bf16", "bf16", "mode 'bf16': half of the bytes, 8 bits that count"),
        (node.op == "embedding", "weights", "rows in int8, one scale each"),
        (
            mode == "int4" and node.op == "linear" and depth >= LEAST_DEPTH,
            "int4",
            "4 bits, and a scale for each 32 weights",
        ),
        (mode == "weights", "weights", "mode 'weights': int8 in the file, float arithmetic"),
        (node.op == "conv_transpose", "weights", "conv_transpose has no integer kernel"),
        (node.op == "recurrent", "dynamic", "each row of input and state by its own range"),
        (depth > MAX_DEPTH, "weights", f"a sum of {depth} products could overflow int32"),
        (found_late and into_log, "bf16", INTO_LOG),
        (found_late and _depthwise(node, weight), "weights", DEPTHWISE),
        (found_late, "dynamic", f"ranges found at run time{blind}"),
        (mode == "static", "static", "mode 'static'"),
        (node.op == "conv", "static", "convolutions gain from chains of integers"),
        (vectors, "static", "a layer on vectors, at the end of a chain of integers"),
    )
    for holds, precision, reason in rows:
        if holds:
            return precision, reason
    return "dynamic", "activations of sequences have outliers that a fixed range cuts off"


def _depthwise(node: Node, weight: Constant) -> bool:
    return node.op == "conv" and int(node.attrs.get("group", 1)) > 1 and weight.shape[1] == 1


def _depth(node: Node, weight: Constant) -> int:
    """Products per output element."""
    return int(np.prod(weight.shape[1:])) if node.op == "conv" else int(weight.shape[0])


def _excluded(node: Node, exclude: Sequence[str]) -> bool:
    names = (node.name, node.output.name)
    return any(
        name == entry or fnmatchcase(name, entry) for entry in exclude for name in names if name
    )


def _check_exclude(nodes: Sequence[Node], exclude: Sequence[str]) -> None:
    for entry in exclude:
        if not any(_excluded(node, [entry]) for node in nodes):
            known = ", ".join(f"'{label(node)}'" for node in nodes[:8]) + (
                ", …" if len(nodes) > 8 else ""
            )
            msg = f"exclude: '{entry}' matches no node to convert; found {known or 'none'}"
            raise PlanError(msg)
