"""The element types of the engine: all that opening a plan has to know of types."""

from __future__ import annotations

import numpy as np

ENGINE = frozenset(
    map(
        np.dtype,
        (
            *("float32", "float64", "bool"),
            *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        ),
    )
)
"""What a tensor of the engine may hold."""

NAMES = {dtype: dtype.name for dtype in ENGINE}
"""Their names, which NumPy puts together anew each time that it is asked."""
