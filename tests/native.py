"""Runs one operator in the native program; needs nothing but NumPy."""

from __future__ import annotations

from pycompress import _core


def program(op, inputs, attrs=None, *, outputs=1, constants=(), threads=1):
    """Build a program of one operator; the inputs at the positions in `constants` are constants."""
    p = _core.Program(threads)
    ids = []
    for i, array in enumerate(inputs):
        if array is None:
            ids.append(-1)
        elif i in constants:
            ids.append(p.constant(array))
        else:
            ids.append(p.input(f"x{i}", array.dtype))
    p.finish(p.add(op, "node", ids, outputs, attrs or {}))
    return p


def run(op, inputs, attrs=None, *, outputs=1, constants=(), threads=1):
    """Run one operator once."""
    p = program(op, inputs, attrs, outputs=outputs, constants=constants, threads=threads)
    return p.run([a for i, a in enumerate(inputs) if a is not None and i not in constants])
