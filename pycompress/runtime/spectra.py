"""Fourier transforms of a fixed, small length as products with a constant matrix.

STFT becomes a convolution whose channels are the windowed waves, DFT a MatMul; both are then the
engine's own. Done in the session alone: in a file the matrix would be larger than what it replaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.apply import apply_rules
from pycompress.graph.edit import edit_everywhere
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.rules.writer import Writer
from pycompress.graph.survey import survey

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Graph

_LONGEST = 1024
"""The longest transform that is a product: above it n² work loses to n·log(n)."""


def write_transforms(graph: Graph) -> Graph:
    """Return `graph`, changed: STFT and DFT of known, small lengths are Conv and MatMul.

    Notes
    -----
    ONNX STFT (opset 17), DFT (opset 17 and 20). The matrix is computed in float64 and rounded once.
    """
    if _has_some(graph):
        edit_everywhere(graph, lambda edit: apply_rules(edit, RULES))
    return graph


def _has_some(graph: Graph) -> bool:
    found = survey(graph.nodes)
    if not found.ops.isdisjoint(("STFT", "DFT")):
        return True
    return found.nested and any(_has_some(sub) for n in graph.nodes for sub in n.subgraphs())


def _waves(samples: int, length: int, bins: int, *, inverse: bool = False) -> np.ndarray:
    """Return e^(∓2πi·jk/length) as complex128 [min(samples, length), bins]."""
    steps = np.outer(np.arange(min(samples, length)), np.arange(bins)) % length
    sign = 1 if inverse else -1
    roots = np.exp(sign * 2j * np.pi * np.arange(length) / length) / (length if inverse else 1)
    return np.asarray(roots[steps])


def _bins(length: int, *, onesided: bool) -> int:
    return length // 2 + 1 if onesided else length


# -- STFT


def _frame(match: Match) -> int:
    given = match.get("LENGTH")
    return int(match.array("WINDOW").size if given is None else given.array().item())


def _refuse_stft(edit: Edit, match: Match) -> str | None:
    x, window, length = match["x"], match.get("WINDOW"), match.get("LENGTH")
    if x.dtype != np.float32:
        return f"its signal is of type {x.dtype}, not float32"
    if x.shape is None or len(x.shape) not in {2, 3} or (len(x.shape) == 3 and x.shape[2] != 1):
        return "its signal is not known to be real"
    if window is None and length is None:
        return "the length of its frames is not given"
    frame, step = _frame(match), int(match.array("STEP").item())
    if window is not None and window.array().size != frame:
        return f"its window has {window.array().size} samples, its frames {frame}"
    if not 0 < frame <= _LONGEST or step < 1:
        return f"its frames have {frame} samples, {step} apart; as a product: 1 to {_LONGEST}"
    return None


def _replace_stft(edit: Edit, match: Match) -> None:
    root, x, frame, write = match.root, match["x"], _frame(match), Writer(edit, match.root)
    bins = _bins(frame, onesided=bool(root.attrs.get("onesided", 1)))
    window = match.get("WINDOW")
    waves = _waves(frame, frame, bins)
    if window is not None:
        waves = waves * window.array().astype(np.float64).reshape(-1, 1)
    parts = np.stack([waves.real, waves.imag], axis=-1)  # [samples, bins, 2]
    kernel = parts.reshape(frame, 1, 2 * bins).transpose(2, 1, 0).astype(np.float32)
    signal = (
        write("Unsqueeze", x, write.ints(1))
        if len(x.shape or ()) == 2
        else write("Transpose", x, perm=[0, 2, 1])
    )
    weights = edit.constant(f"{write.stem}_waves", np.ascontiguousarray(kernel))
    step = int(match.array("STEP").item())
    frames = write("Conv", signal, weights, strides=[step], kernel_shape=[frame])
    turned = write("Transpose", frames, perm=[0, 2, 1])
    edit.supersede(root, "Reshape", [turned, write.ints(0, 0, bins, 2)])


# -- DFT


def _axis(edit: Edit, match: Match) -> int:
    given = match.get("AXIS")
    if given is not None:
        return int(given.array().item())
    return -2 if edit.graph.opset >= 20 else int(match.root.attrs.get("axis", 1))


def _refuse_dft(edit: Edit, match: Match) -> str | None:
    x, attrs = match["x"], match.root.attrs
    if x.dtype != np.float32:
        return f"its signal is of type {x.dtype}, not float32"
    if x.shape is None or x.shape[-1] not in {1, 2}:
        return "it is not known whether its signal is complex"
    rank, axis = len(x.shape), _axis(edit, match)
    samples = x.shape[axis] if -rank <= axis < rank - 1 and axis != -1 else None
    if not isinstance(samples, int):
        return "the length of its axis is not known"
    onesided, inverse = attrs.get("onesided", 0), attrs.get("inverse", 0)
    if onesided and (inverse or x.shape[-1] == 2):
        return "it is one-sided, of an inverse or a complex signal"
    length = match.get("LENGTH")
    longest = max(samples, samples if length is None else int(length.array().item()))
    if not 0 < longest <= _LONGEST:
        return f"it has {longest} samples; as a product: 1 to {_LONGEST}"
    return None


def _replace_dft(edit: Edit, match: Match) -> None:
    root, x, write = match.root, match["x"], Writer(edit, match.root)
    shape = x.shape or ()
    rank, axis = len(shape), _axis(edit, match) % len(shape)
    samples, parts = shape[axis], shape[-1]
    assert isinstance(samples, int)
    assert isinstance(parts, int)
    given = match.get("LENGTH")
    length = samples if given is None else int(given.array().item())
    bins = _bins(length, onesided=bool(root.attrs.get("onesided", 0)))
    waves = _waves(samples, length, bins, inverse=bool(root.attrs.get("inverse", 0)))
    matrix = np.zeros((samples, parts, bins, 2))
    used = len(waves)  # samples beyond the length do not count
    matrix[:used, 0, :, 0], matrix[:used, 0, :, 1] = waves.real, waves.imag
    if parts == 2:
        matrix[:used, 1, :, 0], matrix[:used, 1, :, 1] = -waves.imag, waves.real
    perm = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]
    kept = [0] * (rank - 2)
    if perm != list(range(rank)):
        x = write("Transpose", x, perm=perm)
    rows = write("Reshape", x, write.ints(*kept, samples * parts))
    rows.shape = (*(shape[i] for i in perm[:-2]), samples * parts)
    flat = matrix.reshape(samples * parts, bins * 2).astype(np.float32)
    product = write("MatMul", rows, edit.constant(f"{write.stem}_waves", flat))
    apart = write.ints(*kept, bins, 2)
    if perm == list(range(rank)):
        edit.supersede(root, "Reshape", [product, apart])
    else:
        pairs = write("Reshape", product, apart)
        edit.supersede(root, "Transpose", [pairs], {"perm": [int(i) for i in np.argsort(perm)]})


RULES = (
    Rule("STFT -> Conv", ("STFT", "x", "STEP", "WINDOW?", "LENGTH?"), _replace_stft, _refuse_stft),
    Rule("DFT -> MatMul", ("DFT", "x", "LENGTH?", "AXIS?"), _replace_dft, _refuse_dft),
)
