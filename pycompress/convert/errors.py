"""The error of single values of a model: signal to quantization noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompress.calibration import Feed, Run


@dataclass(frozen=True)
class NodeError:
    """The error that a node's output carries in the converted model.

    Attributes
    ----------
    node : str
        The node's name.
    precision : str
        What it runs in.
    sqnr : float
        Signal to quantization noise in dB: ten times the common logarithm of the squared size of
        the float value over that of the difference. It holds what comes from the nodes before it
        as well as its own. Infinite where nothing differs.
    """

    node: str
    precision: str
    sqnr: float


def signal_to_noise(
    names: Sequence[str], wanted: Run, found: Run, feeds: Iterable[Feed]
) -> dict[str, float]:
    """Return the SQNR in dB of named values over some feeds.

    Parameters
    ----------
    names : sequence of str
    wanted, found : callable
        Return the values of these names, in that order, from the float and the converted model.
    feeds : iterable of dict

    Returns
    -------
    dict of float by name
        Values that are not floats, or whose shape differs between the two, are left out; elements
        that are not finite in either are.
    """
    sums: dict[str, list[float]] = {}
    for feed in feeds:
        for name, a, b in zip(names, wanted(feed), found(feed), strict=True):
            if not np.issubdtype(a.dtype, np.floating) or a.shape != b.shape:
                continue
            finite = np.isfinite(a) & np.isfinite(b)
            x, y = a[finite].astype(np.float64), b[finite].astype(np.float64)
            row = sums.setdefault(name, [0.0, 0.0])
            row[0] += float(x @ x)
            row[1] += float(np.square(x - y).sum())
    return {name: _decibels(*row) for name, row in sums.items()}


def by_node(decibels: Mapping[str, float], known: Mapping[str, tuple[str, str]]) -> list[NodeError]:
    """Give the values the names of their nodes: `known` has (node, precision) by value name."""
    return [NodeError(*known[name], value) for name, value in decibels.items()]


def _decibels(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf
