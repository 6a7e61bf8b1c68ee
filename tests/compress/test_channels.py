"""What calibration remembers of channels."""

import numpy as np

from pycompress.calibration import Channels


def test_channels_of_parts_are_those_of_the_whole():
    x = np.random.default_rng(0).standard_normal((3, 5, 4, 4)).astype(np.float32)
    x[0, 2, 1, 1] = np.nan
    x[1, 0, 0, 0] = np.inf
    whole, parts = Channels(1), Channels(1)
    whole.update(x)
    for one in x:
        part = Channels(1)
        part.update(one[None])
        parts.merge(part)
    finite = np.moveaxis(x, 1, -1).reshape(-1, 5)
    finite = finite[np.isfinite(finite).all(axis=1)]
    assert whole.rows == parts.rows == len(finite) == 46
    for found in (whole, parts):
        np.testing.assert_array_equal(found.low, finite.min(0))
        np.testing.assert_array_equal(found.high, finite.max(0))
        np.testing.assert_allclose(found.squares, np.square(finite.astype(float)).sum(0), 1e-6)
    np.testing.assert_array_equal(whole.matrix(), finite)
    parts.merge(Channels(1))
    assert parts.rows == 46


def test_channels_keep_a_bounded_sample():
    seen = Channels(-1)
    for _ in range(40):
        seen.update(np.ones((1000, 3), np.float32))
    assert seen.matrix().shape == (1024, 3)
    assert seen.rows == 40_000
    seen.update(np.zeros((0, 3), np.float32))
    seen.update(np.full((2, 3), np.nan, np.float32))
    assert seen.rows == 40_000
