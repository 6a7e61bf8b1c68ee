"""The thread pool: its size, many callers at once, and fork."""

import os
import threading

import numpy as np
import pytest

import pycompress as pc
from tests import oracle_gemm as oracle


@pytest.fixture
def threads():
    before = pc.get_num_threads()
    pc.set_num_threads(3)
    yield
    pc.set_num_threads(before)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (200, 300), dtype=np.uint8)
    w = rng.integers(-128, 128, (300, 257), dtype=np.int8)
    return a, pc.pack(w), oracle.qgemm(a, w)


def test_number_of_threads():
    before = pc.get_num_threads()
    try:
        assert before >= 1
        pc.set_num_threads(4)
        assert pc.get_num_threads() == 4
        for bad in (0, -1):
            with pytest.raises(ValueError, match=rf"at least 1, got {bad}"):
                pc.set_num_threads(bad)
        assert pc.get_num_threads() == 4
    finally:
        pc.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_many_callers_at_once():
    problems = [problem(seed) for seed in range(3)]
    wrong = []

    def work(index):
        a, packed, wanted = problems[index % 3]
        wrong.extend(index for _ in range(20) if not np.array_equal(pc.qgemm(a, packed), wanted))

    callers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.usefixtures("threads")
def test_pool_may_change_under_running_products():
    a, packed, wanted = problem()
    stop = threading.Event()
    wrong = []

    def work():
        while not stop.is_set():
            if not np.array_equal(pc.qgemm(a, packed), wanted):
                wrong.append(1)

    caller = threading.Thread(target=work)
    caller.start()
    for i in range(30):
        pc.set_num_threads(1 + i % 4)
    stop.set()
    caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is a POSIX call")
@pytest.mark.usefixtures("threads")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_computes_with_threads_of_its_own():
    a, packed, wanted = problem()
    pc.qgemm(a, packed)  # the parent's threads run
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if np.array_equal(pc.qgemm(a, packed), wanted) else 2
            pc.set_num_threads(2)
            status |= 0 if np.array_equal(pc.qgemm(a, packed), wanted) else 4
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(pc.qgemm(a, packed), wanted)
