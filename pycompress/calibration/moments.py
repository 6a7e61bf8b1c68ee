"""Second moments of what a layer multiplies its weights with.

A layer's error is ``(w - q) . x``, so its mean square is a quadratic form of the rounding errors:
``(w - q) M (w - q)`` with ``M`` the mean of ``x x'``. `Moments` gathers M, with a constant 1 behind
each x, whose weight is the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.graph.ir import Node

ROWS = 512
"""Rows of x that are taken of one feed: more of them say little that is new."""

FEW, ENOUGH = 64, 8
"""Rows that are taken of a feed once so many times as many were seen as x is long."""

GATHERED = 512
"""Rows that wait until there are so many: their products cost a pass over all sums each time."""


@dataclass(frozen=True)
class Window:
    """How a convolution reads its input, per spatial dimension.

    Attributes
    ----------
    kernel, strides, dilations : tuple of int
    begins, ends : tuple of int
        Padding.
    same : str
        ONNX's ``auto_pad``; the "SAME" ones override the padding.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    same: str


class SecondMoments(Protocol):
    """Second moments, wherever they come from."""

    @property
    def sums(self) -> np.ndarray:
        """Of x x' over all rows seen, shape (groups, K + 1, K + 1), float64."""
        ...

    @property
    def rows(self) -> int:
        """How many rows there were."""
        ...


class Moments:
    """Of one layer: a conv (groups apart) or a linear, which reads like a convolution of one tap.

    Parameters
    ----------
    node : Node
        In format ``conv`` or ``linear``.
    shape : tuple of int
        Of its weights: [O, I / groups, k...] or [K, N].

    Attributes
    ----------
    sums : ndarray of float64, shape (groups, K + 1, K + 1)
        Of x x' over all rows seen, x as long as the weights of one output, with a 1 behind.
    rows : int
        How many there were.
    """

    def __init__(self, node: Node, shape: Sequence[int]) -> None:
        self._window = _window(node, shape[2:]) if node.op == "conv" else None
        self._groups, depth = _groups_and_depth(node, shape)
        self._sums = np.zeros((self._groups, depth + 1, depth + 1))
        self.rows = 0
        self._waiting: list[np.ndarray] = []
        self._random = np.random.default_rng(0)

    @property
    def sums(self) -> np.ndarray:
        """Return the second moments of all rows seen."""
        self._add()
        return self._sums

    @staticmethod
    def bytes_of(node: Node, shape: Sequence[int]) -> int:
        """Return what the moments of a layer take."""
        groups, depth = _groups_and_depth(node, shape)
        return groups * (depth + 1) * (8 * (depth + 1) + 4 * (GATHERED + ROWS))

    def update(self, x: np.ndarray) -> None:
        """Take in the layer's input of one feed; rows that are not finite are left out."""
        if x.size == 0:
            return
        rows = self._of_vectors(x) if self._window is None else self._of_image(x, self._window)
        rows = rows[np.isfinite(rows).all(axis=(1, 2))]
        ones = np.ones((*rows.shape[:2], 1), rows.dtype)
        self._waiting.append(np.concatenate([rows, ones], axis=2))
        self.rows += rows.shape[0]
        if sum(part.shape[0] for part in self._waiting) >= GATHERED:
            self._add()

    def _add(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting = []
        if self._groups == 1:  # a matrix with its own transpose takes half of the products
            self._sums[0] += rows[:, 0].T @ rows[:, 0]
        else:
            by_group = rows.transpose(1, 0, 2)
            self._sums += by_group.transpose(0, 2, 1) @ by_group

    def _of_vectors(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(-1, 1, x.shape[-1])
        return np.take(flat, self._some(flat.shape[0]), axis=0)

    def _of_image(self, x: np.ndarray, window: Window) -> np.ndarray:
        """Return windows [rows, groups, channels of a group * taps] of an image [N, C, ...]."""
        spatial = x.shape[2:]
        begins, out = _placed(window, spatial)
        count = x.shape[0] * int(np.prod(out))
        places = np.unravel_index(self._some(count), (x.shape[0], *out))
        rank = len(spatial)
        index: list[np.ndarray | slice] = [places[0].reshape(-1, *[1] * rank), slice(None)]
        inside = np.ones((1,) * (rank + 1), bool)
        for axis in range(rank):
            taps = np.arange(window.kernel[axis]) * window.dilations[axis]
            starts = places[axis + 1] * window.strides[axis] - begins[axis]
            at = starts[:, None] + taps
            shape = [at.shape[0], *(at.shape[1] if i == axis else 1 for i in range(rank))]
            inside = inside & ((at >= 0) & (at < spatial[axis])).reshape(shape)
            index.append(np.clip(at, 0, spatial[axis] - 1).reshape(shape))
        found = x[tuple(index)] * inside[..., None]  # [rows, k..., C]: the slice goes last
        found = np.moveaxis(found, -1, 1)
        return np.ascontiguousarray(found).reshape(found.shape[0], self._groups, -1)

    def _some(self, count: int) -> np.ndarray:
        wanted = FEW if self.rows >= max(ENOUGH * self._sums.shape[1], 4 * ROWS) else ROWS
        if count <= wanted:
            return np.arange(count)
        return np.sort(self._random.choice(count, wanted, replace=False))


class ScaledMoments:
    """Of a layer that reads what another one reads, times powers of two: they are worked out.

    Parameters
    ----------
    other : SecondMoments
    channels : ndarray
        The factor of each channel of the input.
    """

    def __init__(self, other: SecondMoments, channels: np.ndarray) -> None:
        self._other, self._channels = other, channels

    @property
    def sums(self) -> np.ndarray:
        """Return the second moments of all rows seen: the same as if these had been watched."""
        sums = self._other.sums
        groups, depth = sums.shape[0], sums.shape[1] - 1
        # inputs of a channel stand together: the taps of a convolution, the places of a picture
        factors = np.ones((groups, depth + 1))
        each = groups * depth // self._channels.size
        factors[:, :-1] = np.repeat(self._channels, each).reshape(groups, depth)
        scaled: np.ndarray = sums * factors[:, :, None] * factors[:, None, :]
        return scaled

    @property
    def rows(self) -> int:
        """Return how many rows there were."""
        return self._other.rows


def _groups_and_depth(node: Node, shape: Sequence[int]) -> tuple[int, int]:
    if node.op == "conv":
        return int(node.attrs.get("group", 1)), int(np.prod(shape[1:]))
    return 1, int(shape[0])


def _window(node: Node, kernel: Sequence[int]) -> Window:
    rank = len(kernel)
    pads = tuple(node.attrs.get("pads") or [0] * 2 * rank)
    return Window(
        tuple(kernel),
        tuple(node.attrs.get("strides") or [1] * rank),
        tuple(node.attrs.get("dilations") or [1] * rank),
        pads[:rank],
        pads[rank:],
        str(node.attrs.get("auto_pad", "NOTSET")),
    )


def _placed(window: Window, spatial: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the padding at the beginnings, and the size of the output."""
    begins, sizes = [], []
    for axis, size in enumerate(spatial):
        extent = (window.kernel[axis] - 1) * window.dilations[axis] + 1
        stride = window.strides[axis]
        begin, end = window.begins[axis], window.ends[axis]
        if window.same.startswith("SAME"):
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            begin = total // 2 if window.same == "SAME_UPPER" else total - total // 2
            end = total - begin
        begins.append(begin)
        sizes.append((size + begin + end - extent) // stride + 1)
    return begins, sizes
