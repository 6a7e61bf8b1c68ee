"""The differential step: what was converted still stands for what it was made of.

Nothing here uses the code that converts: errors, scales, zero points, axes and biases are worked
out again from the float model, and held to what the conversion promises. A node that does not fit
is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.convert.blocks import weights_of_blocks
from pycompress.convert.plan import CHANNEL_AXIS, label, weight_indices
from pycompress.graph.ir import Quantized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycompress.calibration import Range, SecondMoments
    from pycompress.convert.apply import WeightCache
    from pycompress.convert.plan import Choice, Plan
    from pycompress.graph.ir import Graph, Node, Value

LIMIT = 127
"""The largest integer of a weight; -128 would break the exactness of the AVX2 kernels."""

HALF = 0.5 + 1e-4
"""A weight that was rounded to nearest is no further off than so many steps."""

WIDENED = 2**19
"""A scale is wider than its weights need only for a bias that takes at least so many units."""


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
        Has the second moments by which weights were rounded.

    Raises
    ------
    ConversionError
        Names the first node whose weights, bias or input does not fit, and how.

    Notes
    -----
    A channel's integers are right when each weight is within half a step, or when they do no worse
    than that: the mean squared error of the channel's answers, over what calibration saw, is at
    most that of rounding to nearest. There is no tolerance to tune.
    """
    for complaint in _of_pairs(graph, made, ranges):
        msg = f"internal: {complaint}"
        raise ConversionError(msg)
    converted = {node.output.name: node for node in made.everywhere() if node.outputs}
    for node in graph.everywhere():
        choice = plan.choices.get(node.output.name)
        if choice is None or choice.precision == "float":
            continue
        for complaint in _of_node(node, converted.get(choice.key), choice, weights):
            msg = f"internal: node '{label(node)}' was converted wrongly: {complaint}"
            raise ConversionError(msg)


def _of_node(node: Node, made: Node | None, choice: Choice, weights: WeightCache) -> Iterator[str]:
    if made is None:
        yield "it is gone"
        return
    if choice.precision == "int4":
        yield from _of_blocks(node, made)
        return
    if choice.precision == "bf16":
        yield from _of_halves(node, made)
        return
    if choice.precision == "static" and _pair(made.input(0)) is None:
        yield "its input is not in integers"
    if bool(made.attrs.get("dynamic")) != (choice.precision in {"dynamic", "rows"}):
        yield f"its ranges are not found as '{choice.precision}' wants it"
    for index in weight_indices(node):
        before, after = node.input(index), made.input(index)
        array = None if before is None else before.const
        if not isinstance(array, np.ndarray):
            continue
        if after is None or not isinstance(after.const, Quantized):
            yield "its weights are not in integers"
            continue
        moments = weights.moments_of(array)
        misfit = _of_form(node, array, after.const)
        if misfit is not None:
            yield misfit
            continue
        bias = made.input(2) if choice.precision == "static" else None
        complaints = list(_of_weights(array, after.const, bias, moments))
        yield from complaints
        if not complaints and node.is_preset("conv", "linear", "conv_transpose"):
            yield from _of_bias(node, made, array, after.const, moments)


def _of_halves(node: Node, made: Node) -> Iterator[str]:
    """Complain of weights in bfloat16 that are not the nearest ones, and of what else changed."""
    for index, (before, after) in enumerate(zip(node.inputs, made.inputs, strict=True)):
        if before is None or after is None or before.const is None:
            if (before is None) != (after is None):
                yield f"input {index} is gone, or new"
            continue
        array, halves = before.array(), after.const
        if index not in weight_indices(node):
            if after.const is not before.const:
                yield f"its constant '{before.name}' is another one"
            continue
        if not isinstance(halves, np.ndarray) or halves.dtype.name != "bfloat16":
            yield "its weights are not in bfloat16"
        elif halves.shape != array.shape:
            yield f"its weights have shape {list(halves.shape)}, wanted {list(array.shape)}"
        else:
            yield from _of_nearest(array, halves)
    rounds = node.op == "linear" or (node.op == "conv" and node.attrs.get("group", 1) == 1)
    if bool(made.attrs.get("bf16")) != rounds:
        yield f"its input is {'not ' if rounds else ''}rounded to bfloat16"


def _of_nearest(before: np.ndarray, after: np.ndarray) -> Iterator[str]:
    """Complain of a number that is further than half a step from what it stands for."""
    found, finite = after.astype(np.float64), np.isfinite(before)
    if not np.array_equal(before[~finite], after[~finite].astype(np.float32), equal_nan=True):
        yield "its infinities or NaN are not what they were"
        return
    wanted = np.where(finite, before, 0).astype(np.float64)
    # 8 bits count, the one that is not stored among them; below 2**-126 steps are of one size
    _, exponent = np.frexp(wanted)
    step = np.exp2(np.maximum(exponent - 8, -133))
    far = np.abs(np.where(finite, found, 0) - wanted) > step / 2
    far &= np.abs(wanted) <= _LARGEST_HALF
    if far.any():
        where = np.unravel_index(int(np.argmax(far)), far.shape)
        yield f"its weight {wanted[where]:.6g} became {found[where]:.6g} ({far.mean():.2%} of all)"


_LARGEST_HALF = float.fromhex("0x1.fep127")


def _of_blocks(node: Node, made: Node) -> Iterator[str]:
    """Complain of 4-bit weights that are further from the float ones than their steps explain."""
    block: Node | None = made
    while block is not None and block.op != "MatMulNBits":
        first = block.input(0)
        block = None if first is None else first.producer
    weight = node.input(1)
    if block is None or weight is None:
        yield "its weights are not in blocks of 4 bits"
        return
    rows = weight.array().T
    packed = weights_of_blocks(block)
    if packed.shape != weight.shape:
        yield f"its weights have shape {list(packed.shape)}, wanted {list(weight.array().shape)}"
        return
    found = packed.dequantize().T
    step = np.repeat(np.abs(packed.scale), packed.block, axis=1)[:, : rows.shape[1]]
    largest = np.maximum.reduceat(np.abs(rows), np.arange(0, rows.shape[1], packed.block), axis=1)
    wide = np.abs(packed.scale) > np.maximum(largest / 8 * (1 + 1e-5), np.finfo(np.float32).tiny)
    if (wide & (largest > 0)).any():
        yield "a scale of its blocks is wider than their weights need"
    # the end of a block that has no level of its own lies a whole step off
    limit = np.where(np.abs(rows) > 7.5 * step, 1.0, 0.5) + 1e-4
    far = np.abs(rows - found) > limit * step
    if far.any():
        where, share = int(np.argmax(far.any(axis=1))), float(far.mean())
        yield f"weights of channel {where} are off by more than their steps, {share:.2%} of all"
    before, after = node.input(0), block.input(0)
    if before is None or after is None or _read(after) != before.name:
        yield "it reads another value"


def _read(value: Value) -> str:
    """Return the name of a value, or of the one that a pair of it stands for."""
    pair = _pair(value)
    integers = None if pair is None else pair.input(0)
    source = None if integers is None or integers.producer is None else integers.producer.input(0)
    return value.name if source is None else source.name


def _of_form(node: Node, before: np.ndarray, after: Quantized) -> str | None:
    """Complain of integers that can't stand for an array at all."""
    axis = CHANNEL_AXIS[node.op]
    if after.data.shape != before.shape:
        return f"its weights have shape {list(after.data.shape)}, wanted {list(before.shape)}"
    # an embedding takes a table that another node reads as well along that one's axis
    if after.axis is None or (after.axis != axis and node.op != "embedding"):
        return f"the axis of its weights' scales is {after.axis}, wanted {axis}"
    if after.scale.shape != (before.shape[after.axis],):
        return f"its weights have {after.scale.size} scales, wanted {before.shape[after.axis]}"
    return "its weights have a zero point, wanted none" if after.zero_point.any() else None


def _of_weights(
    before: np.ndarray, after: Quantized, bias: Value | None, moments: SecondMoments | None
) -> Iterator[str]:
    rows, integers = _by_channel(before, after.axis or 0), _by_channel(after.data, after.axis or 0)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        kept = np.array_equal(
            rows[~finite], integers[~finite] * after.scale[~finite, None], equal_nan=True
        )
        if not kept:
            yield "its infinities or NaN are not what they were"
            return
        rows, integers = rows[finite], integers[finite]
    scale = after.scale[finite]
    if integers.min(initial=0) < -LIMIT:
        yield f"an integer of its weights is {integers.min()}, wanted {-LIMIT} or more"
        return
    yield from _of_scales(rows, scale, finite, bias)
    off = np.abs(rows / scale[:, None] - integers)
    far = off.max(axis=1, initial=0.0) > HALF
    if far.any() and moments is not None:
        far[far] = _worse(rows, integers, scale, moments)[far]
    if far.any():
        worst = int(np.argmax(np.where(far, off.max(axis=1, initial=0.0), 0.0)))
        slope = (rows[far] * integers[far] * scale[far, None]).sum() / np.square(rows[far]).sum()
        yield (
            f"its integers times their scales are {slope:.3f} times its weights, and channel "
            f"{worst} is off by {off[worst].max():.3g} steps ({far.sum()} of {far.size} channels)"
        )


def _of_scales(
    rows: np.ndarray, scale: np.ndarray, finite: np.ndarray, bias: Value | None
) -> Iterator[str]:
    """Complain of scales that waste levels, unless a bias needs them."""
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        yield "a scale of its weights is not finite or not positive"
        return
    largest = np.abs(rows).max(axis=1, initial=0.0)
    needed = np.maximum(largest / np.float32(LIMIT), np.finfo(np.float32).tiny)
    wide = (scale > needed * (1 + 1e-5)) & (largest > 0)
    if bias is not None and isinstance(bias.const, Quantized):
        wide &= np.abs(bias.const.data.ravel()[finite].astype(np.int64)) < WIDENED
    if wide.any():
        worst = int(np.argmax(np.where(wide, scale / needed, 0.0)))
        ratio = float(scale[worst] / needed[worst])
        yield (
            f"the scale of channel {worst} is {ratio:.4g} times what its weights need, "
            f"they use {LIMIT / ratio:.3g} of {LIMIT} levels"
        )


def _worse(
    rows: np.ndarray, integers: np.ndarray, scale: np.ndarray, moments: SecondMoments
) -> np.ndarray:
    """Tell which channels' answers are worse than with weights rounded to nearest."""
    groups = moments.sums.shape[0]
    steps = scale.astype(np.float64)[:, None]
    nearest = np.clip(np.rint(rows / steps), -LIMIT, LIMIT)
    spread = _spread(moments)

    # a'Sa - b'Sb = (a - b)'S(a + b): one product instead of two
    mine, near = rows - integers * steps, rows - nearest * steps
    apart, both = ((x.reshape(groups, -1, x.shape[1])) for x in (mine - near, mine + near))
    gained = -((apart @ spread) * both).sum(axis=2).ravel()
    # what float64 itself may lose in the sums
    slack = 1e-9 * np.square(rows).sum(axis=1) * np.abs(spread).max(initial=0.0)
    worse: np.ndarray = ~(gained >= -slack)
    return worse


def _spread(moments: SecondMoments) -> np.ndarray:
    """Return the covariance of what the weights are multiplied with: a bias takes up its mean."""
    second = moments.sums / max(moments.rows, 1)
    mean = second[:, :-1, -1:]
    found: np.ndarray = second[:, :-1, :-1] - mean @ mean.transpose(0, 2, 1)
    return found


def _of_bias(
    node: Node, made: Node, array: np.ndarray, weight: Quantized, moments: SecondMoments | None
) -> Iterator[str]:
    before, after = node.input(2), made.input(2)
    if before is None or not isinstance(before.const, np.ndarray):
        if after is not None and (before is None or after.name != before.name):
            yield "it has another bias"
        return
    if after is None or after.const is None:
        yield "its bias is gone"
        return
    constant = after.const
    wanted = before.const.astype(np.float64)
    found = (constant.dequantize() if isinstance(constant, Quantized) else constant).astype(float)
    if found.size != wanted.size:
        yield f"its bias has shape {list(found.shape)}, wanted {list(wanted.shape)}"
        return
    wanted, found = wanted.ravel(), found.ravel()
    if moments is not None:
        wanted = wanted + _mean_error(array, weight, moments)
    step = constant.scale.astype(np.float64) if isinstance(constant, Quantized) else 0.0
    slack = 1e-5 * np.abs(wanted).max(initial=1e-6) + 1e-6 * np.abs(wanted)
    off = np.abs(found - wanted) - step - slack
    if not (off <= 0).all():
        worst = int(np.argmax(off))
        yield f"its bias is {found[worst]:.6g} in channel {worst}, wanted {wanted[worst]:.6g}"
        return
    pair = _pair(made.input(0))
    if isinstance(constant, Quantized) and pair is not None:
        unit = _parameters(pair)[0] * weight.scale.astype(np.float64)
        unit = np.maximum(unit, np.finfo(np.float32).tiny)
        if not np.allclose(constant.scale, unit, rtol=1e-5, atol=0.0):
            yield "the scales of its bias are not those of its input times those of its weights"


def _mean_error(array: np.ndarray, weight: Quantized, moments: SecondMoments) -> np.ndarray:
    """Return what the answers of each channel lose on average, over what calibration saw."""
    second = moments.sums / max(moments.rows, 1)
    if moments.rows == 0 or not np.isfinite(second).all():
        return np.zeros(array.shape[weight.axis or 0])
    rows = _by_channel(array, weight.axis or 0).astype(np.float64)
    integers = _by_channel(weight.data, weight.axis or 0)
    change = rows - integers * weight.scale.astype(np.float64)[:, None]
    part = change.reshape(second.shape[0], -1, change.shape[1])
    found: np.ndarray = (part @ second[:, :-1, -1:]).ravel()
    return found


def _of_pairs(graph: Graph, made: Graph, ranges: Mapping[str, Range]) -> Iterator[str]:
    """Complain of integers that do not cover the range of their value, or mean something else."""
    known = {value.name for value in graph.values()}
    readers = made.consumers()
    found: dict[str, tuple[float, float]] = {}
    for node in made.nodes:
        source = node.input(0) if node.is_op("QuantizeLinear") else None
        if source is None or source.name not in known or node.output.name in known:
            continue  # a pair that the model had is as it was
        if source.name not in ranges:
            yield f"value '{source.name}' is in integers, and its range is unknown"
            continue
        found[source.name] = _parameters(node)
        for reader in readers.get(node.output, []):
            if _parameters(reader) != found[source.name]:
                yield f"value '{source.name}' is read back with another scale or zero point"
    # values that one node moves share a scale, which covers all of their ranges and no more
    covered: dict[tuple[float, float], Range] = {}
    for name, parameters in found.items():
        low, high = covered.get(parameters, (0.0, 0.0))
        covered[parameters] = (min(low, ranges[name][0]), max(high, ranges[name][1]))
    for name, (scale, zero) in found.items():
        low, high = covered[scale, zero]
        ends = (0.0 - zero) * scale, (255.0 - zero) * scale
        off = max(abs(ends[0] - low), abs(ends[1] - high))
        if off > 1.001 * scale and high > low and scale > 2 * np.finfo(np.float32).tiny:
            yield (
                f"the integers of value '{name}' cover {ends[0]:.6g} to {ends[1]:.6g}, "
                f"wanted {low:.6g} to {high:.6g}"
            )


def _pair(value: Value | None) -> Node | None:
    """Return the DequantizeLinear that a value comes from."""
    node = None if value is None else value.producer
    return node if node is not None and node.is_op("DequantizeLinear") else None


def _parameters(node: Node) -> tuple[float, float]:
    scale, zero = node.inputs[1:3]
    if scale is None or zero is None:
        msg = f"'{label(node)}' has no scale or zero point"
        raise ConversionError(msg)
    return float(scale.array()), float(zero.array())


def _by_channel(array: np.ndarray, axis: int) -> np.ndarray:
    rows: np.ndarray = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    return rows
