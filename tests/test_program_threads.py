"""A program that splits its runs or does not, as it finds faster: the same bits either way."""

import threading

import numpy as np
import pytest

from pycompress import _core

RNG = np.random.default_rng(12)


def chain(threads):
    """Layers whose scratch memory depends on the number of threads."""
    rng = np.random.default_rng(1)
    p = _core.Program(threads)
    x = p.input("x", "float32")
    blind = {"dynamic": 1, "w_scale": [0.01], "activation": "silu"}
    kernel = rng.integers(-127, 128, (24, 16, 3, 3)).astype(np.int8)
    pads = {"pads": [1, 1, 1, 1]}
    (y,) = p.add("conv", "a", [x, p.constant(kernel)], 1, blind | pads)
    weights = rng.integers(-127, 128, (24, 70)).astype(np.int8)
    (y,) = p.add("linear", "b", [y, p.constant(weights)], 1, blind | {"by_row": 1})
    (y,) = p.add("Softmax", "c", [y], 1, {"axis": 1})
    (y,) = p.add("MaxPool", "d", [y], 1, {"kernel_shape": [3, 3], **pads})
    p.finish([y])
    return p


@pytest.mark.parametrize("size", [8, 40])
def test_every_run_gives_the_same_bits(size):
    x = RNG.standard_normal((1, size, size, 16)).astype(np.float32)
    (wanted,) = chain(1).run([x])
    p = chain(3)
    # As many as take it through trials and back.
    for _ in range(150):
        np.testing.assert_array_equal(p.run([x])[0], wanted)


def test_many_callers():
    x = RNG.standard_normal((1, 12, 12, 16)).astype(np.float32)
    (wanted,) = chain(1).run([x])
    p = chain(2)
    same = []

    def call():
        same.append(all(np.array_equal(p.run([x])[0], wanted) for _ in range(80)))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert same == [True] * 3
