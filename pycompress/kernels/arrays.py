"""What may be handed to a kernel: NumPy arrays, and whatever shows itself as one without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_array(name: str, value: Any) -> NDArray[Any]:  # noqa: ANN401 (anything may be offered)
    """Look at `value` as a NumPy array that shares its memory.

    Parameters
    ----------
    name
        What the caller calls this argument, for the error message.
    value
        An array, or an object with ``__array__``, the buffer protocol, or DLPack on the CPU.

    Returns
    -------
    ndarray
        The same memory.

    Raises
    ------
    TypeError
        `value` is nothing of that kind: a list, say, would have to be copied.
    """
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    try:
        return np.asarray(memoryview(value))
    except TypeError:
        msg = (
            f"{name} must be an array, or have __array__, __dlpack__ or the buffer protocol; "
            f"found {type(value).__name__}"
        )
        raise TypeError(msg) from None
