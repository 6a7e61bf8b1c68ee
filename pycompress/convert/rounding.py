"""Rounding weights so that the layer's answers move little, rather than the weights.

Columns are rounded one after the other, and the ones that are still to come make up for the error:
the best they can, given the second moments of the layer's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pycompress.calibration import Moments, SecondMoments
from pycompress.convert.weights import LIMIT

if TYPE_CHECKING:
    from pycompress.convert.plan import Plan
    from pycompress.graph.ir import Graph, Node

MEMORY = 256 * 2**20
"""Bytes that the moments of all layers may take, unless the caller says otherwise."""

BLOCK = 128
"""Columns that are rounded before the ones behind them are made up: the rest is one product."""

SMALL = 64
"""Triangles up to this size are inverted as any matrix."""

DAMPING = 0.01
"""Share of the mean of the diagonal that is added to it, more where few rows were seen."""


def round_rows(
    weight: np.ndarray, scale: np.ndarray, moments: SecondMoments
) -> tuple[np.ndarray, np.ndarray]:
    """Round the weights of a layer to integers.

    Parameters
    ----------
    weight : ndarray of float32, shape (N, K)
        One row per output; outputs of a group stand together.
    scale : ndarray of float32, shape (N,)
    moments : SecondMoments
        Of the layer's input.

    Returns
    -------
    integers : ndarray of int8, shape (N, K)
        Within ±127. A row that this would make worse is rounded to nearest.
    bias : ndarray of float64, shape (N,)
        What is to be added to the layer's bias: it takes the mean error away.

    Notes
    -----
    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers" (2022), sections 3.2 and 3.3, with the bias as a last column that is not rounded,
    and columns in the order of their moments.
    """
    groups = moments.sums.shape[0]
    rows = weight.astype(np.float64).reshape(groups, -1, weight.shape[1])
    steps = scale.astype(np.float64).reshape(groups, -1, 1)
    nearest = np.clip(np.rint(rows / steps), -LIMIT, LIMIT)
    flat = (weight.shape[0], weight.shape[1])
    second = moments.sums / max(moments.rows, 1)
    if moments.rows == 0 or not np.isfinite(second).all():
        return nearest.reshape(flat).astype(np.int8), np.zeros(flat[0])
    rounded = _compensated(rows, steps, _damped(second, moments.rows))
    (error, bias), (near_error, near_bias) = (
        _error(rows - q * steps, second) for q in (rounded, nearest)
    )
    better = error < near_error
    integers = np.where(better[..., None], rounded, nearest)
    return (
        integers.reshape(flat).astype(np.int8),
        np.where(better, bias, near_bias).reshape(-1),
    )


def _damped(second: np.ndarray, rows: int) -> np.ndarray:
    """Keep the moments from promising what so few rows cannot tell."""
    depth = second.shape[1] - 1
    diagonal = np.einsum("gii->gi", second)
    mean = diagonal[:, :depth].mean(axis=1, keepdims=True)
    damping = DAMPING * max(1.0, 4.0 * depth / rows) * mean
    damped = second.copy()
    view = np.einsum("gii->gi", damped)
    view[:, :depth] += np.where(mean > 0, damping, 1.0)
    view[:, depth] += 1e-6
    return damped


def _compensated(rows: np.ndarray, steps: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Round groups [G, N, K]: shallow ones at once, deep ones each alone, which takes less memory.

    `second` is [G, K + 1, K + 1].
    """
    if rows.shape[2] <= BLOCK:
        return _compensated_groups(rows, steps, second)
    parts = [slice(g, g + 1) for g in range(rows.shape[0])]
    return np.concatenate([_compensated_groups(rows[p], steps[p], second[p]) for p in parts])


def _compensated_groups(rows: np.ndarray, steps: np.ndarray, second: np.ndarray) -> np.ndarray:
    groups, outputs, depth = rows.shape
    order = np.argsort(-np.einsum("gii->gi", second)[:, :depth], axis=1, kind="stable")
    whole = np.concatenate([order, np.full((groups, 1), depth)], axis=1)
    sorted_second = np.take_along_axis(
        np.take_along_axis(second, whole[:, :, None], axis=1), whole[:, None, :], axis=2
    )
    upper = _factor_of_inverse(sorted_second)
    left = np.take_along_axis(rows, order[:, None, :], axis=2)
    rounded = np.empty_like(left)
    for first in range(0, depth, BLOCK):
        last = min(first + BLOCK, depth)
        errors = np.empty((groups, outputs, last - first))
        for k in range(first, last):
            column = left[:, :, k]
            rounded[:, :, k] = np.clip(np.rint(column / steps[:, :, 0]), -LIMIT, LIMIT)
            error = (column - rounded[:, :, k] * steps[:, :, 0]) / upper[:, k, k, None]
            left[:, :, k:last] -= error[:, :, None] * upper[:, k, None, k:last]
            errors[:, :, k - first] = error
        left[:, :, last:] -= errors @ upper[:, first:last, last:depth]
    back = np.argsort(order, axis=1)
    return np.take_along_axis(rounded, back[:, None, :], axis=2)


def _factor_of_inverse(second: np.ndarray) -> np.ndarray:
    """Return the upper U with U'U the inverse of each matrix: from its factor backwards.

    With everything in reverse order the lower factor of the matrix is an upper one, whose inverse
    is U: that takes a third of what inverting first would.
    """
    backwards = np.linalg.cholesky(second[:, ::-1, ::-1])[:, ::-1, ::-1]
    return _inverse_of_upper(backwards)


def _inverse_of_upper(upper: np.ndarray) -> np.ndarray:
    """Invert upper triangular matrices, half by half."""
    size = upper.shape[1]
    if size <= SMALL:
        found: np.ndarray = np.triu(np.linalg.inv(upper))
        return found
    half = size // 2
    first, last = (
        _inverse_of_upper(upper[:, part, part]) for part in (slice(half), slice(half, size))
    )
    inverse = np.zeros(upper.shape)
    inverse[:, :half, :half], inverse[:, half:, half:] = first, last
    inverse[:, :half, half:] = -(first @ upper[:, :half, half:] @ last)
    return inverse


def _error(change: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared error of each output with its best bias, and that bias."""
    depth = change.shape[2]
    bias = (change @ second[:, :depth, depth:])[:, :, 0]
    square = ((change @ second[:, :depth, :depth]) * change).sum(axis=2)
    return square - bias**2, bias


@dataclass(frozen=True)
class Layer:
    """A layer whose weights are rounded by the second moments of its input.

    Attributes
    ----------
    format : str
    weight : ndarray of float32
    source : str
        Name of the value that it is multiplied with.
    moments : SecondMoments
    """

    format: str
    weight: np.ndarray
    source: str
    moments: SecondMoments


def wanted_moments(graph: Graph, plan: Plan, memory: int = MEMORY) -> list[Layer]:
    """Return the layers whose input is worth watching: none of it seen yet.

    Arrays that several nodes read are rounded to nearest: they have no one input. So are those
    whose moments would not fit into `memory` bytes beside those of smaller ones.
    """
    readers: dict[int, int] = {}
    for node in graph.everywhere():
        for value in node.reads():
            readers[id(value.const)] = readers.get(id(value.const), 0) + 1
    found: list[tuple[int, Node, np.ndarray]] = []
    for node in graph.nodes:
        if plan.precision(node) in {None, "bf16", "float"} or not node.is_preset("conv", "linear"):
            continue
        weight = node.inputs[1]
        array = None if weight is None else weight.const
        if isinstance(array, np.ndarray) and readers[id(array)] == 1:
            found.append((Moments.bytes_of(node, array.shape), node, array))
    layers, used = [], 0
    for size, node, array in sorted(found, key=lambda item: item[0]):
        source = node.inputs[0]
        used += size
        if used <= memory and source is not None and source.const is None:
            layers.append(Layer(node.op, array, source.name, Moments(node, array.shape)))
    return layers
