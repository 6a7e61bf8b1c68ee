"""What a native program says about the time of its nodes."""

import time

import numpy as np

from pycompress import _core


def test_profile_counts_what_ran():
    program = _core.Program(1)
    x = program.input("x", np.float32, False)
    (y,) = program.add("Neg", "first", [x], 1, {})
    program.finish(program.add("Exp", "second", [y], 1, {}))
    feed = np.ones(1000, np.float32)
    program.run([feed])
    idle = [("first", "Neg", 0), ("second", "Exp", 0)]
    assert [(name, op, calls) for name, op, calls, *_ in program.profile()] == idle
    program.set_profiling(True)
    begin = time.perf_counter()
    for _ in range(3):
        program.run([feed])
    rows = program.profile()
    assert [(name, op, calls) for name, op, calls, *_ in rows] == [
        ("first", "Neg", 3),
        ("second", "Exp", 3),
    ]
    for _, _, _, seconds, _, last, shape in rows:
        assert 0 < last < seconds < 1
        assert shape == (1000,)
    assert begin < rows[0][4] < rows[1][4] < time.perf_counter()
