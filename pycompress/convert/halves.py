"""Weights in bfloat16: half of the bytes, 8 bits that count, and the range of float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from pycompress.graph.ir import Node

LARGEST = float.fromhex("0x1.fep127")
"""The largest number of bfloat16 that is finite."""


def to_halves(array: np.ndarray) -> np.ndarray:
    """Return float32 numbers as the nearest bfloat16, ties to even; what is finite stays finite."""
    finite = np.isfinite(array)
    kept = np.where(finite, np.clip(array, -LARGEST, LARGEST), array)
    halves: np.ndarray = kept.astype(ml_dtypes.bfloat16)
    return halves


def multiplies_halves(node: Node) -> bool:
    """Tell whether a node of such weights rounds its input, too: it has a kernel for that."""
    return node.is_preset("linear") or (
        node.is_preset("conv") and int(node.attrs.get("group", 1)) == 1
    )
