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
        Share of rows whose largest element stands at the same place; None unless the output holds
        scores of classes, as far as its numbers show: rows of probabilities, or an output of two
        axes, the last one of at least two elements, whose rows are not all of one length (those
        are embeddings).
    rows : int
        How many rows `top1` is over.
    sequences : bool
        Whether the rows of classes come in sequences, which are read as a whole.
    """

    name: str
    cosine_mean: float
    cosine_min: float
    largest_error: float
    top1: float | None
    rows: int
    sequences: bool = False

    @property
    def classes(self) -> bool:
        """Whether the output holds scores of classes."""
        return self.top1 is not None

    @property
    def flips(self) -> float:
        """Share of rows whose first place moved; 0 where there are no classes."""
        return 0.0 if self.top1 is None else 1.0 - self.top1

    @property
    def interval(self) -> tuple[float, float] | None:
        """Within what `top1` of all data lies, with 95 % confidence if the rows are independent."""
        return None if self.top1 is None else wilson(round(self.top1 * self.rows), self.rows)


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
        """What `max_drop` bounds.

        The larger of 1 minus the mean cosine, and of the share of rows whose first place moved, of
        the output that agrees least.
        """
        return max((max(1.0 - o.cosine_mean, o.flips) for o in self.outputs), default=0.0)

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
    classes = _holds_classes([wanted for wanted, _ in pairs])
    for wanted, found in pairs:
        if wanted.shape != found.shape:
            msg = f"output '{name}' has shape {list(found.shape)}, wanted {list(wanted.shape)}"
            raise ValueError(msg)
        cosines.append(cosine(wanted, found))
        finite = np.isfinite(wanted) & np.isfinite(found)
        difference = np.abs(found[finite].astype(np.float64) - wanted[finite].astype(np.float64))
        error = max(error, float(difference.max(initial=0.0)))
        if classes:
            same += int((wanted.argmax(axis=-1) == found.argmax(axis=-1)).sum())
            rows += wanted.size // wanted.shape[-1]
    mean, least = (float(np.mean(cosines)), min(cosines)) if cosines else (1.0, 1.0)
    sequences = rows > 0 and any(w.ndim > 2 and w.shape[-2] > 1 for w, _ in pairs)
    return OutputAgreement(name, mean, least, error, same / rows if rows else None, rows, sequences)


def _holds_classes(answers: Sequence[np.ndarray]) -> bool:
    """Tell whether an output's rows look like scores of classes."""
    rows = [a.reshape(-1, a.shape[-1]) for a in answers if a.ndim >= 2 and a.shape[-1] >= 2]
    if len(rows) < len(answers) or not rows or rows[0].dtype.kind != "f":
        return False
    if all(_probabilities(part) for part in rows):
        return True
    lengths = np.concatenate([np.linalg.norm(part.astype(np.float64), axis=1) for part in rows])
    same = lengths.size > 1 and float(np.ptp(lengths)) <= 1e-3 * float(lengths.mean())
    return all(a.ndim == 2 for a in answers) and not same


def _probabilities(rows: np.ndarray) -> bool:
    if rows.size == 0 or not (float(rows.min()) >= 0.0 and float(rows.max()) <= 1.0 + 1e-5):
        return rows.size == 0
    return bool(np.abs(rows.sum(axis=1, dtype=np.float64) - 1.0).max() <= 1e-3)


def wilson(same: int, rows: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of which `same` of `rows` were seen.

    Notes
    -----
    Wilson, "Probable inference, the law of succession, and statistical inference" (1927): unlike
    the normal approximation it says something where all rows, or none, are the same.
    """
    z, share = 1.959964, same / rows
    width = 1.0 + z * z / rows
    middle = (share + z * z / (2 * rows)) / width
    half = z / width * np.sqrt(share * (1.0 - share) / rows + z * z / (4.0 * rows * rows))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


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
