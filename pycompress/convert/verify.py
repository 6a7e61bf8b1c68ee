"""The differential step: what was converted still stands for what it was made of.

Nothing here uses the code that converts: scales, axes, zero points and biases are worked out again
from the float model, and a node that does not fit is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.convert.chain import find_chain
from pycompress.convert.plan import CHANNEL_AXIS, label, weight_indices
from pycompress.graph.ir import Quantized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycompress.calibration import Range
    from pycompress.convert.apply import WeightCache
    from pycompress.convert.plan import Plan
    from pycompress.graph.ir import Graph, Node

SLOPE = 0.03
"""How far the slope of a channel's integers against its weights may be from 1, in the median.

Rounding moves it by less, whatever it makes up for; a scale that is wrong by a twentieth by more.
"""

LEVELS = 32
"""Channels whose largest integer is smaller are too coarse to tell: a bias widened their scale."""


class ConversionError(RuntimeError):
    """The converted model does not stand for the float one: a bug, and nothing was written."""


def verify(
    graph: Graph,
    made: Graph,
    plan: Plan,
    ranges: Mapping[str, Range],
    weights: WeightCache,
) -> None:
    """Hold a converted graph against the float one, node by node.

    Parameters
    ----------
    graph, made : Graph
        Float and converted.
    plan : Plan
        What `made` carries out.
    ranges : dict of (low, high) by value name
    weights : WeightCache
        What biases had to take up.

    Raises
    ------
    ConversionError
        Names the first node whose weights, bias or input does not fit, and how.
    """
    converted = {node.output.name: node for node in made.nodes if node.outputs}
    for node in graph.nodes:
        if plan.precision(node) in {None, "float"}:
            continue
        for complaint in _of_node(node, converted[node.output.name], weights):
            msg = f"internal: node '{label(node)}' was converted wrongly: {complaint}"
            raise ConversionError(msg)
    static = {node for node in graph.nodes if plan.precision(node) == "static"}
    for complaint in _of_activations(graph, made, static, ranges):
        msg = f"internal: {complaint}"
        raise ConversionError(msg)


def _of_node(node: Node, made: Node, weights: WeightCache) -> Iterator[str]:
    for index in weight_indices(node):
        before, after = node.inputs[index], made.inputs[index]
        if before is None or not isinstance(before.const, np.ndarray):
            continue
        if after is None or not isinstance(after.const, Quantized):
            yield "its weights are not in integers"
            continue
        yield from _of_weights(before.const, after.const, CHANNEL_AXIS[node.op], node.op)
    if node.is_preset("conv", "linear", "conv_transpose"):
        yield from _of_bias(node, made, weights)


def _of_weights(before: np.ndarray, after: Quantized, axis: int, format_name: str) -> Iterator[str]:
    if after.data.shape != before.shape:
        yield f"its weights have shape {list(after.data.shape)}, wanted {list(before.shape)}"
        return
    # an embedding takes a table that another node reads as well along that one's axis
    if after.axis != axis and format_name != "embedding":
        yield f"the axis of its weights' scales is {after.axis}, wanted {axis}"
        return
    if after.zero_point.any():
        yield "its weights have a zero point, wanted none"
        return
    used = axis if after.axis is None else after.axis
    rows = np.moveaxis(before, used, 0).reshape(before.shape[used], -1).astype(np.float64)
    found = np.moveaxis(after.dequantize(), used, 0).reshape(rows.shape).astype(np.float64)
    integers = np.moveaxis(after.data, used, 0).reshape(rows.shape)
    told = np.abs(integers.astype(np.int32)).max(axis=1, initial=0) >= LEVELS
    finite = told & np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    if not finite.any():
        return
    rows, found = rows[finite], found[finite]
    slopes = (rows * found).sum(axis=1) / np.square(rows).sum(axis=1)
    off = float(np.median(np.abs(slopes - 1.0)))
    if off > SLOPE:
        yield (
            f"its integers times their scales are {float(np.median(slopes)):.3f} times its "
            f"weights, channels off by {off:.3f}"
        )


def _of_bias(node: Node, made: Node, weights: WeightCache) -> Iterator[str]:
    before, after, weight = node.input(2), made.input(2), node.inputs[1]
    if before is None or not isinstance(before.const, np.ndarray):
        return
    wanted = before.const.ravel().astype(np.float64)
    change = weights.bias_of(weight.const) if weight is not None else None  # type: ignore[arg-type]
    if change is not None:
        wanted = wanted + change.ravel()
    if after is None or after.const is None:
        yield "its bias is gone"
        return
    constant = after.const
    if constant.shape and int(np.prod(constant.shape)) != wanted.size:
        yield f"its bias has shape {list(constant.shape)}, wanted {wanted.size} elements"
        return
    found = constant.dequantize() if isinstance(constant, Quantized) else constant
    step = constant.scale.astype(np.float64) if isinstance(constant, Quantized) else 0.0
    off = np.abs(found.ravel().astype(np.float64) - wanted) - step - 1e-5 * np.abs(wanted)
    if off.max(initial=0.0) > 1e-6:
        worst = int(np.argmax(off))
        is_, was = found.ravel()[worst], wanted[worst]
        yield f"its bias is {is_:.6g} in channel {worst}, wanted {was:.6g}"
        return
    x, w = made.input(0), made.input(1)
    pair = x.producer if x is not None else None
    if not (isinstance(constant, Quantized) and w is not None and isinstance(w.const, Quantized)):
        return
    if pair is not None and pair.is_op("DequantizeLinear") and pair.inputs[1] is not None:
        unit = float(pair.inputs[1].array()) * w.const.scale.astype(np.float64)
        small = np.maximum(unit, np.finfo(np.float32).tiny)
        if not np.allclose(constant.scale, small, rtol=1e-5, atol=0.0):
            yield "the scales of its bias are not those of its input times those of its weights"


def _of_activations(
    graph: Graph, made: Graph, static: set[Node], ranges: Mapping[str, Range]
) -> Iterator[str]:
    chain = find_chain(graph, static)
    unions: dict[str, Range] = {}
    for value in chain.values:
        root, (low, high) = chain.tied[value].name, ranges[value.name]
        so_far = unions.get(root, (0.0, 0.0))
        unions[root] = (min(so_far[0], low), max(so_far[1], high))
    wanted = {value.name: unions[chain.tied[value].name] for value in chain.values}
    for node in made.nodes:
        source = node.inputs[0] if node.is_op("QuantizeLinear") else None
        if source is None or source.name not in wanted:
            continue
        low, high = wanted[source.name]
        parameters = [v.array() for v in node.inputs[1:3] if v is not None]
        scale, zero = float(parameters[0]), float(parameters[1])
        ends = (0.0 - zero) * scale, (255.0 - zero) * scale
        if high > low and max(abs(ends[0] - low), abs(ends[1] - high)) > 1.001 * scale:
            yield (
                f"the integers of value '{source.name}' cover {ends[0]:.6g} to {ends[1]:.6g}, "
                f"wanted {low:.6g} to {high:.6g}"
            )
