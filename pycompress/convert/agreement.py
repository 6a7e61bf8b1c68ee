"""How much two models' answers agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class OutputAgreement:
    """Agreement of one output over some feeds.

    Attributes
    ----------
    name : str
    cosine_mean, cosine_min : float
        Cosine similarity per feed; 1 is the same direction.
    largest_error : float
        Largest absolute difference of two finite elements.
    top1 : float or None
        Share of rows whose largest element stands at the same place; None unless the output has two
        axes, the last one of at least two elements.
    rows : int
        How many rows `top1` is over.
    """

    name: str
    cosine_mean: float
    cosine_min: float
    largest_error: float
    top1: float | None
    rows: int


@dataclass(frozen=True)
class Agreement:
    """Agreement of all outputs.

    Attributes
    ----------
    feeds : int
    outputs : tuple of OutputAgreement
    """

    feeds: int
    outputs: tuple[OutputAgreement, ...] = field(default_factory=tuple)

    @property
    def drop(self) -> float:
        """What `max_drop` bounds: 1 minus the mean cosine of the output that agrees least."""
        return max((1.0 - output.cosine_mean for output in self.outputs), default=0.0)

    @property
    def top1(self) -> float | None:
        """The lowest share of unchanged first places among the outputs that have one."""
        return min((o.top1 for o in self.outputs if o.top1 is not None), default=None)


def agreement(
    names: Sequence[str],
    wanted: Sequence[Sequence[np.ndarray]],
    found: Sequence[Sequence[np.ndarray]],
) -> Agreement:
    """Compare answers, feed by feed and output by output.

    Parameters
    ----------
    names : sequence of str
        Names of the outputs.
    wanted, found : sequence of sequence of ndarray
        One list of outputs per feed.

    Raises
    ------
    ValueError
        An output's shapes differ.
    """
    outputs = []
    for i, name in enumerate(names):
        pairs = [(np.asarray(w[i]), np.asarray(f[i])) for w, f in zip(wanted, found, strict=True)]
        outputs.append(_compare(name, pairs))
    return Agreement(len(wanted), tuple(outputs))


def _compare(name: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> OutputAgreement:
    cosines, error, same, rows = [], 0.0, 0, 0
    for wanted, found in pairs:
        if wanted.shape != found.shape:
            msg = f"output '{name}' has shape {list(found.shape)}, wanted {list(wanted.shape)}"
            raise ValueError(msg)
        cosines.append(cosine(wanted, found))
        finite = np.isfinite(wanted) & np.isfinite(found)
        difference = np.abs(found[finite].astype(np.float64) - wanted[finite].astype(np.float64))
        error = max(error, float(difference.max(initial=0.0)))
        if wanted.ndim == 2 and wanted.shape[1] >= 2:
            same += int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum())
            rows += wanted.shape[0]
    mean, least = (float(np.mean(cosines)), min(cosines)) if cosines else (1.0, 1.0)
    return OutputAgreement(name, mean, least, error, same / rows if rows else None, rows)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine similarity of two tensors taken as vectors, computed in float64.

    Tensors of zeros, and tensors with infinities or NaN, count 1 when they are equal element by
    element and 0 otherwise.
    """
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    if np.isfinite(x).all() and np.isfinite(y).all():
        # scaled to 1 first, so that no square overflows or vanishes
        largest = max(float(np.abs(x).max(initial=0.0)), float(np.abs(y).max(initial=0.0)))
        if largest > 0:
            x, y = x / largest, y / largest
            product = float(np.linalg.norm(x) * np.linalg.norm(y))
            if product > 0:
                return float(np.clip(x @ y / product, -1.0, 1.0))
    return float(np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact)))
