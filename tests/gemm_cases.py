"""Operands and sizes for tests of the packed products."""

import numpy as np

from pycompress import _core


def integers(rng, dtype, shape):
    """All values of the type, its two ends more often than their share."""
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max + 1, shape, dtype=dtype)
    ends = rng.random(shape)
    x[ends < 0.1] = info.min
    x[ends > 0.9] = info.max
    return x


def edges(step):
    return [1, step - 1, step, step + 1, 2 * step + 3]


def sizes(isa):
    """Every height of a tile, widths around every vector of columns, tails in depth."""
    rows, columns, kr = _core.gemm_tile(isa)
    heights = [*range(1, rows + 2), 2 * rows + 3]
    widths = sorted({*edges(columns), *range(15, columns, 16)})
    return heights, widths, [1, kr, kr + 1, 4 * kr + 3, 67]


def guarded(shape, dtype, fill):
    """A matrix inside of a larger array: what is around it must not change."""
    around = np.full((shape[0] + 4, shape[1] + 70), fill, dtype)
    inside = around[2:-2, 35:-35]
    return around, inside


def assert_only_inside(around, fill):
    outside = np.ones(around.shape, bool)
    outside[2:-2, 35:-35] = False
    assert (around[outside] == fill).all()
