"""A program that splits its runs or does not, as it finds faster: the same bits either way."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pycompress import _core
from tests.native import run

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


BLIND = {"dynamic": 1, "w_scale": [0.01], "activation": "silu"}
PADS = {"pads": [2, 2, 2, 2], "group": 96}


def depthwise(rows):
    x = RNG.standard_normal((1, rows, 101, 96)).astype(np.float32)
    return "conv", [x, RNG.integers(-127, 128, (96, 1, 5, 5)).astype(np.int8)]


# Lines that do not go round, blocks of rows that do not, planes woven in parts, rows of a table.
SPLITS = {
    "lines cut": (*depthwise(3), PADS | {"dynamic": 1, "w_scale": [0.01]}),
    "lines cut, finished": (*depthwise(3), PADS | BLIND),
    "one line": (*depthwise(1), PADS | BLIND),
    "float lines": (
        "conv",
        [depthwise(5)[1][0], RNG.standard_normal((96, 1, 5, 5)).astype(np.float32)],
        PADS,
    ),
    "blocks of rows": (
        "linear",
        [
            RNG.standard_normal((70, 96)).astype(np.float32),
            RNG.integers(-127, 128, (96, 1500)).astype(np.int8),
        ],
        BLIND | {"by_row": 1},
    ),
    "pixels": (
        "conv",
        [
            RNG.standard_normal((1, 7, 11, 64)).astype(np.float32),
            RNG.integers(-127, 128, (480, 64, 1, 1)).astype(np.int8),
        ],
        BLIND,
    ),
    "planes": ("Transpose", [RNG.integers(0, 256, (3, 22501)).astype(np.uint8)], {"perm": [1, 0]}),
    "channels": (
        "GlobalAveragePool",
        [RNG.standard_normal((3, 60, 7, 100)).astype(np.float32)],
        {},
    ),
    "channels of bytes": (
        "q_global_average_pool",
        [RNG.integers(0, 256, (1, 70, 70, 201)).astype(np.uint8)],
        {"x_scale": 0.1, "y_scale": 0.05, "x_zero": 3, "y_zero": 7},
    ),
    "rows": (
        "Gather",
        [RNG.standard_normal((900, 70)).astype(np.float32), RNG.integers(0, 900, 301)],
        {"axis": 0},
    ),
}


@pytest.mark.parametrize("name", SPLITS)
def test_every_number_of_threads_gives_the_same_bits(name):
    op, inputs, attrs = SPLITS[name]
    constants = (1,) if op in {"conv", "linear"} else ()
    (wanted,) = run(op, inputs, attrs, constants=constants)
    for threads in (2, 3, 5):
        (y,) = run(op, inputs, attrs, constants=constants, threads=threads)
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux alone"
)
def test_threads_may_use_the_same_cpus_afterwards():
    x = RNG.standard_normal((1, 12, 12, 16)).astype(np.float32)
    p = chain(2)
    for _ in range(20):
        p.run([x])
        time.sleep(0.002)  # longer than workers look for work: they are woken
    allowed = {
        frozenset(os.sched_getaffinity(int(task.name)))
        for task in Path("/proc/self/task").iterdir()
    }
    assert allowed == {frozenset(os.sched_getaffinity(0))}
