"""Even channels out: divide what a stream's sources compute, multiply what its readers weigh it by.

    act(w[c] . x + b[c]) -> v[., c]   =>   act(w[c] / f . x + b[c] / f) -> v[., c] * f

Factors are powers of two, so that the answers of the float model keep their bits. An 8-bit range
that one value has for all channels then suits each. Weights have a scale for each output: a
depthwise layer takes any factor at no cost, and the range of each of its channels is as good as one
of its own. Where each output reads all channels, their weights become as uneven as the channels
were, and the two meet on the way.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019),
section 4.1, and Xiao et al., "SmoothQuant" (2022), with factors that are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pycompress.convert.streams import Kind, Site, find_streams
from pycompress.convert.weights import LIMIT
from pycompress.graph.ir import Node, Value
from pycompress.graph.names import Names

if TYPE_CHECKING:
    from pycompress.calibration import Channels
    from pycompress.convert.plan import Plan, Precision
    from pycompress.convert.streams import Stream
    from pycompress.graph.ir import Graph

Exponents: TypeAlias = Mapping[str, tuple[int, ...]]
"""By key of a stream: the factor of each channel is two to the power of it."""

LADDER = (0.25, 0.5, 0.75, 1.0)
"""How much of the unevenness goes from the activations to the weights."""

FARTHEST = 10
"""Channels smaller by more than two to the power of this are as good as dead."""

SMALLEST, LARGEST = 2.0**-100, 2.0**100
"""Constants that factors keep between these are far from all that float32 can't hold."""

LESS_ERROR = 0.9
"""A place is worth it when its error is no more than this share of what it was."""

SHARES = (1.0, 0.7, 0.5, 0.35)
"""Shares of the whole range that are tried, as those who choose ranges do."""


@dataclass(frozen=True)
class Evened:
    """What was done, or not done, at one place.

    Attributes
    ----------
    key : str
        Name of the value that the first source computes.
    name : str
        The first source.
    kind : "equalize" or "smooth"
    readers : tuple of str
        The layers whose weights take the factors.
    strength : float
        How much of the unevenness went to the weights; 0 where nothing did.
    exponents : tuple of int
        Of two; for each channel.
    error, error_before : float
        Relative error of what the readers compute, reckoned on calibration data.
    taken : bool
    reason : str
    """

    key: str
    name: str
    kind: Kind
    readers: tuple[str, ...]
    strength: float
    exponents: tuple[int, ...]
    error: float
    error_before: float
    taken: bool
    reason: str


def even_out(graph: Graph, exponents: Exponents) -> Graph:
    """Return a graph whose streams are evened out; `graph` is left as it is.

    Raises
    ------
    ValueError
        There is no such stream, or it has another number of channels.
    """
    result = graph.copy()
    streams = {stream.key: stream for stream in find_streams(result)[0]}
    names = Names(result)
    for key, powers in exponents.items():
        stream = streams.get(key)
        if stream is None or stream.channels != len(powers):
            found = "no such place" if stream is None else f"{stream.channels} channels"
            msg = f"evening out at '{key}': found {found}, wanted {len(powers)} channels"
            raise ValueError(msg)
        for site in stream.divided:
            _replace(site, scaled(site, -np.array(powers)))
        for site in stream.readers:
            _replace(site, scaled(site, np.array(powers)))
        if stream.whole:
            _make_whole(result, stream, np.array(powers), names)
    return result


def _make_whole(graph: Graph, stream: Stream, exponents: np.ndarray, names: Names) -> None:
    """Multiply a normalisation's result with the factors for those who read it as it was."""
    source = stream.divided[0].node
    result = source.output
    factors = np.exp2(exponents).astype(np.float32)
    factor = Value(names.fresh(f"{result.name}_factors"), factors.dtype, factors.shape, factors)
    whole = Value(names.fresh(f"{result.name}_whole"), result.dtype, result.shape)
    node = Node("Mul", [result, factor], [whole], name=whole.name)
    graph.nodes.insert(graph.nodes.index(source) + 1, node)
    for reader in stream.whole:
        reader.inputs = [whole if v is result else v for v in reader.inputs]


def scaled(site: Site, exponents: np.ndarray) -> np.ndarray:
    """Return a constant times two to the power of each channel's exponent."""
    array = site.array()
    shape = [1] * max(array.ndim, -site.axis)
    shape[site.axis] = -1
    powers = np.repeat(exponents, site.repeat).reshape(shape)
    with np.errstate(over="ignore"):  # who asks for what float32 can't hold sees infinities
        made: np.ndarray = np.ldexp(array, powers).astype(np.float32)
    return made


def _replace(site: Site, array: np.ndarray) -> None:
    value = site.node.inputs[site.index]
    if value is not None:
        site.node.inputs[site.index] = Value(value.name, value.dtype, array.shape, array)


def read_values(stream: Stream) -> dict[str, int]:
    """Return the names of the values that a stream's readers read, and the axis of the channels."""
    found: dict[str, int] = {}
    for site in stream.readers:
        x = site.node.inputs[0]
        if x is not None:
            found[x.name] = -1 if site.node.op == "linear" else 1
    return found


Seen: TypeAlias = "Mapping[str, Channels]"
"""By name of a value: what was seen of its channels."""


def best_factors(stream: Stream, plan: Plan, fit: Seen, kept: Seen, *, forced: bool) -> Evened:
    """Return the factors that make the error of the readers' results smallest, if any do.

    Parameters
    ----------
    stream : Stream
    plan : Plan
        In which precision the readers are to compute.
    fit, kept : dict of Channels by name of value
        What the readers' inputs were on data to choose by, and on other data.
    forced : bool
        Take the best factors even if they bring little.
    """
    readers = tuple(site.node.name or site.node.output.name for site in stream.readers)
    none = (0,) * stream.channels
    made = Evened(stream.key, stream.name, stream.kind, readers, 0.0, none, 0.0, 0.0, False, "")
    if not all(
        name in seen and seen[name].rows for name in read_values(stream) for seen in (fit, kept)
    ):
        return replace(made, reason="nothing finite was seen there")
    before = reader_error(stream, plan, fit, np.array(none))
    made = replace(made, error=before, error_before=before)
    best = made
    for strength in LADDER:
        exponents = _exponents(stream, fit, strength)
        error = reader_error(stream, plan, fit, exponents)
        if exponents.any() and error < best.error:
            powers = tuple(int(e) for e in exponents)
            best = replace(made, strength=strength, exponents=powers, error=error)
    if not best.strength:
        return replace(best, reason="no factors make it err less")
    if forced:
        return replace(best, taken=True, reason="asked for")
    if best.error > LESS_ERROR * before:
        return replace(best, reason="it would bring little")
    kept_before = reader_error(stream, plan, kept, np.array(none))
    if reader_error(stream, plan, kept, np.array(best.exponents)) > kept_before:
        return replace(best, reason="on data that it was not chosen by it would be worse")
    return replace(best, taken=True, reason="its readers' results err less")


def _exponents(stream: Stream, seen: Seen, strength: float) -> np.ndarray:
    """Return exponents that take away a share of the unevenness; the largest channel keeps 0."""
    channels = stream.channels
    largest = np.zeros(channels)
    for name in read_values(stream):
        each = seen[name].largest().reshape(channels, -1).max(axis=1)
        largest = np.maximum(largest, each)
    weights = np.zeros(channels)
    for site in stream.readers:
        if not by_itself(site):
            rows = np.abs(np.moveaxis(site.array(), site.axis, 0)).reshape(channels, -1)
            weights = np.maximum(weights, rows.max(axis=1))
    used = largest > 0
    dense = any(not by_itself(site) for site in stream.readers)
    if dense:
        used &= weights > 0
    if not used.any():
        return np.zeros(channels, int)
    ratio = strength * np.log2(np.where(used, largest, 1.0))
    if dense:
        ratio -= (1.0 - strength) * np.log2(np.where(used, weights, 1.0))
    exponents = np.rint(ratio - ratio[used].max())
    exponents = np.where(used, np.clip(exponents, -FARTHEST, 0), 0).astype(int)
    for _ in range(2):  # a constant is out of bounds as it is: its channel stays as it is
        for sites, sign in ((stream.divided, -1), (stream.readers, 1)):
            for site in sites:
                exponents = np.where(_within(site, sign * exponents, channels), exponents, 0)
    return exponents


def _within(site: Site, exponents: np.ndarray, channels: int) -> np.ndarray:
    """Tell for which channels a constant stays far from what float32 can't hold."""
    array = scaled(site, exponents)
    rows = np.abs(np.moveaxis(array, site.axis, 0).reshape(channels, -1))
    good = (rows == 0) | ((rows >= SMALLEST) & (rows <= LARGEST))
    found: np.ndarray = good.all(axis=1)
    return found


def by_itself(site: Site) -> bool:
    """Tell whether each output of a reader reads one channel only."""
    return site.node.op == "conv" and int(site.node.attrs.get("group", 1)) > 1


def reader_error(stream: Stream, plan: Plan, seen: Seen, exponents: np.ndarray) -> float:
    """Return the squared error of the readers' results over their square, summed over readers.

    Reckoned from the rows that were seen, as if errors at different taps were independent.
    """
    total = 0.0
    for site in stream.readers:
        x = site.node.inputs[0]
        if x is not None:
            precision = plan.precision(site.node) or "float"
            total += _of_reader(site, precision, seen[x.name], exponents)
    return total


def _of_reader(site: Site, precision: Precision, seen: Channels, exponents: np.ndarray) -> float:
    single = by_itself(site)
    factors = np.exp2(exponents.astype(np.float64))
    # a depthwise layer may have several outputs for a channel; another reader several inputs
    wide = factors if single else np.repeat(factors, site.repeat)
    weight = site.array().astype(np.float64)
    rows = np.moveaxis(weight, site.axis, 0).reshape(wide.size, -1)
    square = np.square(rows).sum(axis=1)
    power = seen.squares / seen.rows
    signal = float(power @ square)
    if signal == 0.0:
        return 0.0
    error = 0.0
    if precision in {"static", "dynamic", "rows", "int4"}:
        by_row = precision != "static" and site.node.op == "linear"
        spread = _of_activation(seen, wide, square * np.square(wide), by_row=by_row)
        error += spread
    if precision in {"static", "dynamic", "rows", "weights"} and not single:
        changed = _of_weights(weight, site, wide).reshape(wide.size, -1)
        error += float(power @ np.square(changed).sum(axis=1))
    return error / signal


def _of_activation(
    seen: Channels, factors: np.ndarray, weight: np.ndarray, *, by_row: bool
) -> float:
    """Return the mean squared error that 8 bits for a row, or for all, bring into the results."""
    x = seen.matrix() / factors
    if by_row:
        low, high = np.minimum(x.min(1), 0)[:, None], np.maximum(x.max(1), 0)[:, None]
        shares: Sequence[float] = (1.0,)
    else:
        low = np.minimum((seen.low / factors).min(), 0)
        high = np.maximum((seen.high / factors).max(), 0)
        shares = SHARES
    least = np.inf
    for share in shares:
        step = np.maximum((high - low) * share / 255.0, 1e-30)
        zero = np.rint(-low * share / step)
        found = (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step
        least = min(least, float(np.square(found - x).mean(axis=0) @ weight))
    return least


def _of_weights(weight: np.ndarray, site: Site, factors: np.ndarray) -> np.ndarray:
    """Return by how much weights move that take the factors and are rounded, without the factors.

    The channels come first.
    """
    shape = [1] * weight.ndim
    shape[site.axis] = -1
    wide = weight * factors.reshape(shape)
    output = {"conv": 0, "conv_transpose": 1}.get(site.node.op, 1)
    others = tuple(axis for axis in range(weight.ndim) if axis != output)
    step = np.maximum(np.abs(wide).max(axis=others, keepdims=True) / LIMIT, 1e-38)
    moved: np.ndarray = (np.rint(wide / step) * step - wide) / factors.reshape(shape)
    return np.moveaxis(moved, site.axis, 0)
