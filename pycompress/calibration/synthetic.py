"""Inputs made up from what a model declares, for timing a model whose data is not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.graph.ir import Value

LEADING, OTHER = 1, 64
"""Sizes for dimensions that the model leaves open: the leading one is taken for the batch."""


def random_feed(
    inputs: Sequence[Value], seed: int = 0, other: int = OTHER
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return a feed that fits the declared inputs, and a sentence for each assumption.

    `other` is the size of open dimensions but the leading one, wherever its name stands.

    Floats are normally distributed; integers are 0 or 1, which are valid as indices, masks and
    flags alike.

    Raises
    ------
    ValueError
        An input's dtype or number of axes is not declared, or its dtype is not a number.
    """
    rng = np.random.default_rng(seed)
    feed: dict[str, np.ndarray] = {}
    assumed: list[str] = []
    # a dimension that leads one input is the batch of the others, such as that of a state
    leads = (value.shape[0] for value in inputs if value.shape)
    named = {dim: LEADING for dim in leads if isinstance(dim, str)}
    for value in inputs:
        if value.dtype is None or value.shape is None:
            msg = f"input '{value.name}' declares no dtype or shape: can't make up data for it"
            raise ValueError(msg)
        shape = []
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, int):
                shape.append(dim)
                continue
            size = LEADING if axis == 0 else other
            if isinstance(dim, str):
                size = named.setdefault(dim, size)
            shape.append(size)
            if axis:
                assumed.append(
                    f"axis {axis} of input '{value.name}' is open: made-up data has {size} there"
                )
        feed[value.name] = _random(rng, value, shape)
    return feed, assumed


def _random(rng: np.random.Generator, value: Value, shape: list[int]) -> np.ndarray:
    dtype = np.dtype(value.dtype)
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    if np.issubdtype(dtype, np.integer) or dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(dtype)
    msg = f"input '{value.name}' is {dtype}: can't make up data for it"
    raise ValueError(msg)
