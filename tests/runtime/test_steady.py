"""Memory stays where it is however often a session runs, is profiled, or is made."""

import gc
from pathlib import Path

import numpy as np
import pytest

from pycompress.runtime import InferenceSession

from .models import Model

PAGE = 4096
SLACK = 1024 * PAGE
"""What an allocator may keep back; one leaked output a run, or pack of weights a session, is more."""
ROUNDS = 3
"""A leak grows in every round; a huge page that the system puts in place of small ones, in one."""


def resident():
    """Return the bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def network():
    m = Model()
    x = m.input("x", ["n", 3, 16, 16])
    y = m.node("Relu", m.node("Conv", x, m.weights(8, 3, 3, 3), pads=[1, 1, 1, 1]))
    y = m.node("Flatten", m.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    m.output(m.node("MatMul", y, m.weights(512, 64)))
    return m.proto()


def feed(n):
    return {"x": np.ones((n, 3, 16, 16), np.float32)}


def run_it(session, times):
    for i in range(times):
        session.run(None, feed(32 + i % 3))


def profile_it(session, times):
    for _ in range(times // 20):
        session.profile(feed(8), repeats=2)


def make_it(_, times):
    proto = network()
    for _ in range(times // 20):
        InferenceSession(proto, num_threads=2).run(None, feed(4))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read there")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("work", [run_it, profile_it, make_it])
def test_memory_does_not_grow(work, threads):
    session = InferenceSession(network(), num_threads=threads)
    work(session, 1000)  # every shape planned, every pool filled
    growth = []
    while len(growth) < ROUNDS and min(growth, default=SLACK) >= SLACK:
        before = resident()
        work(session, 2000)
        growth.append(resident() - before)
    assert min(growth) < SLACK, f"grew by {growth} bytes, a round of 2000 each"
