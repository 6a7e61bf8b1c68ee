"""The native program: building, planning, folding, memory, threads and errors."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pycompress import _core
from tests.program_harness import run

RNG = np.random.default_rng(5)


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


class Builder:
    """A program with less writing."""

    def __init__(self, threads=1):
        self.program = _core.Program(threads)
        self.count = 0

    def input(self, name, dtype=np.float32, *, by_value=False):
        return self.program.input(name, dtype, by_value)

    def constant(self, value, dtype=None):
        return self.program.constant(np.asarray(value, dtype))

    def op(self, name, *inputs, outputs=1, **attrs):
        self.count += 1
        ids = self.program.add(name, f"{name}_{self.count}", list(inputs), outputs, attrs)
        return ids[0] if outputs == 1 else ids

    def finish(self, *outputs):
        self.program.finish(list(outputs))
        return self.program


def test_every_registered_op_has_a_name_once():
    names = _core.program_ops()
    assert len(names) == len(set(names))
    assert {"Add", "linear", "Softmax"} <= set(names)


def test_shapes_are_planned_anew_and_kept():
    b = Builder()
    x = b.input("x")
    p = b.finish(b.op("Relu", b.op("Add", x, b.constant([1.0], np.float32))))
    for shape in ((2, 3), (5,), (0, 4), (2, 3)):
        a = f32(*shape)
        np.testing.assert_array_equal(p.run([a])[0], np.maximum(a + 1, 0))
    assert p.stats()["plans"] == 3


def test_plans_are_bounded():
    b = Builder()
    p = b.finish(b.op("Relu", b.input("x")))
    for n in range(40):
        p.run([f32(n)])
    assert p.stats()["plans"] == 8


def test_shape_arithmetic_is_folded():
    b = Builder()
    x = b.input("x")
    shape = b.op("Shape", x)
    first = b.op("Gather", shape, b.constant(0))
    rows = b.op("Unsqueeze", first, b.constant([0]))
    target = b.op("Concat", rows, b.constant([-1]), axis=0)
    p = b.finish(b.op("Exp", b.op("Reshape", x, target)))
    a = f32(2, 3, 4)
    np.testing.assert_allclose(p.run([a])[0], np.exp(a.reshape(2, -1)), rtol=1e-5)
    stats = p.stats()
    assert stats["steps"] == 1
    assert stats["folded"] == 4


def test_constants_alone_are_folded_and_can_be_outputs():
    b = Builder()
    x = b.input("x")
    total = b.op("Add", b.constant([1.0, 2.0], np.float32), b.constant([10.0], np.float32))
    p = b.finish(total, x, b.op("Identity", x), b.op("Shape", x))
    a = f32(2)
    constant, same, identity, shape = p.run([a])
    np.testing.assert_array_equal(constant, np.array([11, 12], np.float32))
    np.testing.assert_array_equal(same, a)
    np.testing.assert_array_equal(identity, a)
    assert shape.tolist() == [2]
    assert not np.shares_memory(same, a)
    assert not np.shares_memory(same, identity)


def test_a_value_can_be_an_output_twice_and_with_its_view():
    b = Builder()
    y = b.op("Neg", b.input("x"))
    flat = b.op("Reshape", y, b.constant([-1]))
    p = b.finish(y, y, flat, b.op("Relu", y))
    a = f32(2, 3)
    first, second, third, fourth = p.run([a])
    first[:] = 0
    np.testing.assert_array_equal(second, -a)
    np.testing.assert_array_equal(third, -a.reshape(-1))
    np.testing.assert_array_equal(fourth, np.maximum(-a, 0))


def test_values_that_decide_shapes():
    b = Builder()
    x = b.input("x")
    target = b.input("target", np.int64, by_value=True)
    p = b.finish(b.op("Neg", b.op("Reshape", x, target)))
    a = f32(6)
    for shape in ((2, 3), (3, 2), (6, 1)):
        np.testing.assert_array_equal(p.run([a, np.array(shape)])[0], -a.reshape(shape))
    assert p.stats()["plans"] == 3


def test_an_unknown_value_that_decides_a_shape_is_named():
    b = Builder()
    p = b.finish(b.op("Reshape", b.input("x"), b.input("target", np.int64)))
    with pytest.raises(ValueError, match=r"Reshape 'Reshape_1': input 1 \(shape\) decides shapes"):
        p.run([f32(4), np.array([2, 2])])


def test_inputs_are_neither_copied_over_nor_changed():
    b = Builder()
    x = b.input("x")
    p = b.finish(b.op("Relu", b.op("Neg", x)))
    a = f32(100)
    before = a.copy()
    p.run([a])
    np.testing.assert_array_equal(a, before)


def deep_program(threads=1):
    """Branches, views, results in place, long-lived values: memory is shared in many ways."""
    b = Builder(threads)
    x = b.input("x")
    early = b.op("Exp", x)
    h = x
    parts = []
    for i in range(6):
        h = b.op("Add", b.op("Tanh", h), early)
        turned = b.op("Transpose", h, perm=[1, 0])
        flat = b.op("Reshape", turned, b.constant([-1]))
        parts.append(b.op("ReduceSum", b.op("Mul", flat, flat), keepdims=1))
        h = b.op("Softmax", b.op("Sub", h, b.op("ReduceMax", h, b.constant([1]))))
        left, right = b.op("Split", h, outputs=2, axis=1, num_outputs=2)
        h = b.op("Concat", right, left, axis=1) if i % 2 else b.op("Concat", left, right, axis=1)
        h = b.op("Mul", h, h)
    return b.finish(h, b.op("Concat", *parts, axis=0))


def deep_definition(x):
    x = x.astype(np.float64)
    early, h, parts = np.exp(x), x, []
    for i in range(6):
        h = np.tanh(h) + early
        parts.append((h * h).sum())
        e = np.exp(h - h.max(1, keepdims=True))
        h = e / e.sum(1, keepdims=True)
        left, right = np.split(h, 2, axis=1)
        h = np.concatenate([right, left] if i % 2 else [left, right], axis=1)
        h = h * h
    return h, np.array(parts)


def test_memory_is_reused_and_never_read_after_it_was_given_away():
    p = deep_program()
    p.set_poison(True)
    x = f32(32, 64)
    for _ in range(3):
        for found, wanted in zip(p.run([x]), deep_definition(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    # 50 values of 8 KiB would be 400 KiB.
    assert p.stats()["arena_bytes"] < 6 * (x.nbytes + 128)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads_run_one_program(threads):
    p = deep_program(threads)
    inputs = [f32(4 + i % 3, 64) for i in range(24)]
    wanted = [p.run([x]) for x in inputs]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            for found, expected in zip(pool.map(lambda x: p.run([x]), inputs), wanted, strict=True):
                for y, e in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(y, e)
    assert p.stats()["plans"] == 3


def test_ten_thousand_runs_leave_nothing_behind():
    p = deep_program()
    x = f32(2, 8)
    p.run([x])
    gc.collect()
    tracemalloc.start()
    references = sys.getrefcount(x)
    before = p.stats()
    for _ in range(10_000):
        p.run([x])
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] < 20_000
    tracemalloc.stop()
    assert sys.getrefcount(x) == references
    assert p.stats() == before


def test_constants_live_as_long_as_their_readers_need_them():
    table, weights = f32(3), f32(3, 4)
    b = Builder()
    x = b.input("x")
    w = b.constant(weights)
    y = b.op("Add", b.op("linear", x, w), b.op("ReduceSum", b.op("Mul", x, b.constant(table))))
    p = b.finish(y)
    # linear has packed its weights: only the table and the program's own copies remain.
    assert p.stats()["constant_bytes"] == table.nbytes
    assert sys.getrefcount(weights) == 2
    assert sys.getrefcount(table) > 2
    a = f32(2, 3)
    np.testing.assert_allclose(p.run([a])[0], a @ weights + (a * table).sum(), rtol=1e-4, atol=1e-5)


def test_a_constant_stays_when_another_node_reads_it():
    weights = f32(3, 4)
    b = Builder()
    x = b.input("x")
    w = b.constant(weights)
    p = b.finish(b.op("linear", x, w), b.op("Gather", w, b.input("i", np.int64)))
    a = f32(2, 3)
    y, rows = p.run([a, np.array([2, 0])])
    np.testing.assert_allclose(y, a @ weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows, weights[[2, 0]])


def test_nodes_that_no_output_needs_do_not_run():
    b = Builder()
    x = b.input("x")
    b.op("Gather", x, b.constant(99))
    p = b.finish(b.op("Neg", x))
    assert p.run([f32(2)])[0].shape == (2,)


ERRORS = {
    "operator": (lambda b: b.op("Sorcery", b.input("x")), "unknown operator Sorcery"),
    "attribute": (
        lambda b: b.op("Relu", b.input("x"), gravity=1),
        "Relu 'Relu_1': attribute 'gravity'",
    ),
    "kind of attribute": (lambda b: b.op("Softmax", b.input("x"), axis="last"), "'axis' must be"),
    "type of attribute": (
        lambda b: b.op("Softmax", b.input("x"), axis=object()),
        "'axis' has a type",
    ),
    "input count": (lambda b: b.op("Add", b.input("x")), "takes 2 to 2 inputs, found 1"),
    "absent input": (lambda b: b.op("Add", -1, b.input("x")), "input 0 is required"),
    "value": (lambda b: b.op("Relu", 77), "input 0 is not a value: 77"),
    "output count": (lambda b: b.op("Relu", b.input("x"), outputs=2), "asked for 2"),
    "threads": (lambda _: _core.Program(0), "at least 1, got 0"),
    "input dtype": (lambda b: b.input("x", np.complex64), "'x' has a dtype"),
    "constant dtype": (lambda b: b.constant([1j]), "complex128"),
    "weights": (
        lambda b: b.op("linear", b.input("x"), b.input("w")),
        r"input 1 \(w\) must be a constant",
    ),
    "output": (lambda b: b.finish(5), "output 5 is not a value"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_what_is_wrong_in_a_program_is_named(what):
    build, message = ERRORS[what]
    with pytest.raises(ValueError, match=message):
        build(Builder())


def test_bad_feeds_are_named():
    b = Builder()
    p = b.finish(b.op("Relu", b.input("image")))
    with pytest.raises(ValueError, match="takes 1 inputs, found 2"):
        p.run([f32(2), f32(2)])
    with pytest.raises(ValueError, match="input 'image' must be float32, found float64"):
        p.run([np.zeros(2)])
    with pytest.raises(ValueError, match="input 'image' must be C-contiguous"):
        p.run([f32(4, 4).T])
    with pytest.raises(ValueError, match="input 'image' has dtype >f4"):
        p.run([np.zeros(2, ">f4")])
    with pytest.raises(ValueError, match="9 dimensions"):
        p.run([np.zeros((1,) * 9, np.float32)])
    with pytest.raises(ValueError, match="finished"):
        b.input("late")
    with pytest.raises(ValueError, match="not finished"):
        Builder().program.run([])


def i64(*values):
    return np.array(values, np.int64)


HUGE = 2**62
HOSTILE = {
    "negative dimension": ("ConstantOfShape", [i64(-1)], {}, (0,), "negative dimension"),
    "2^62": ("ConstantOfShape", [i64(HUGE)], {}, (0,), "more than 2\\^40"),
    "product overflows": ("ConstantOfShape", [i64(HUGE, 8, HUGE)], {}, (0,), "more than 2\\^40"),
    "empty but overflowing": (
        "ConstantOfShape",
        [i64(0, HUGE, HUGE)],
        {},
        (0,),
        "more than 2\\^40",
    ),
    "nine dimensions": ("ConstantOfShape", [i64(*[1] * 9)], {}, (0,), "more than 8 dimensions"),
    "reshape": ("Reshape", [f32(4), i64(3, -1)], {}, (1,), "cannot reshape"),
    "reshape twice free": ("Reshape", [f32(4), i64(-1, -1)], {}, (1,), "more than one -1"),
    "reshape overflows": ("Reshape", [f32(4), i64(HUGE, 4, -1)], {}, (1,), "2\\^40"),
    "expand": ("Expand", [f32(1), i64(HUGE)], {}, (1,), "2\\^40"),
    "tile": ("Tile", [f32(3), i64(HUGE)], {}, (1,), "2\\^40"),
    "pad": ("Pad", [f32(3), i64(HUGE, 0)], {}, (1,), "out of range"),
    "pad away": ("Pad", [f32(3), i64(-5, 0)], {}, (1,), "negative dimension"),
    "range": ("Range", [np.int64(0), np.int64(HUGE), np.int64(1)], {}, (0, 1, 2), "2\\^40"),
    "range step": ("Range", [np.int64(0), np.int64(3), np.int64(0)], {}, (0, 1, 2), "delta is 0"),
    "broadcast": ("Add", [f32(2, 3), f32(2)], {}, (), r"\[2, 3\] and \[2\] do not broadcast"),
    "types": ("Add", [f32(2), i64(1, 2)], {}, (), "float32 and int64"),
    "division": ("Div", [i64(1, 2), i64(1, 0)], {}, (), "Div 'node': integer division by zero"),
    "modulo": ("Mod", [i64(1), i64(0)], {}, (), "modulo by zero"),
    "power": ("Pow", [i64(0), i64(-1)], {}, (), "negative integer power"),
    "gather": ("Gather", [f32(3), i64(1, 3)], {}, (), "index 3 is out of range for an axis of 3"),
    "gather below": ("Gather", [f32(3), i64(-4)], {}, (), "index -4 is out of range"),
    "gather elements": ("GatherElements", [f32(3), i64(9)], {}, (), "index 9"),
    "gather nd": ("GatherND", [f32(3, 2), i64(0, 2)], {}, (), "index 2"),
    "scatter": ("ScatterND", [f32(3), np.array([[7]]), f32(1)], {}, (), "index 7"),
    "embedding": ("embedding", [f32(3, 2), i64(3)], {}, (0,), "embedding 'node': index 3"),
    "axis": ("Softmax", [f32(3)], {"axis": 1}, (), "axis 1 is out of range for 1 dimensions"),
    "transpose": ("Transpose", [f32(3, 2)], {"perm": [0, 0]}, (), "axis 0 twice"),
    "squeeze": ("Squeeze", [f32(3, 1), i64(0)], {}, (1,), r"cannot squeeze axis 0 of \[3, 1\]"),
    "split": ("Split", [f32(4), i64(5)], {}, (1,), "do not fit axis"),
    "slice": (
        "Slice",
        [f32(4), i64(0), i64(1), i64(0), i64(0)],
        {},
        (1, 2, 3, 4),
        "step of axis 0",
    ),
    "concat": ("Concat", [f32(2, 3), f32(3, 3)], {"axis": 1}, (), "does not fit"),
    "matmul": ("MatMul", [f32(2, 3), f32(2, 3)], {}, (), "do not fit"),
    "linear": ("linear", [f32(2, 3), f32(2, 3)], {}, (1,), r"wanted \[..., 2\]"),
    "topk": ("TopK", [f32(3), i64(4)], {}, (1,), "from 0 to 3"),
    "depth": ("OneHot", [i64(1), i64(HUGE), f32(2)], {}, (1,), "2\\^40"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_shapes_and_values_raise(what):
    op, inputs, attrs, constants, message = HOSTILE[what]
    inputs = [np.asarray(a) for a in inputs]
    with pytest.raises(ValueError, match=message):
        run(op, inputs, attrs, constants=constants, outputs=2 if op == "TopK" else 1)


def test_a_failed_run_leaves_the_program_usable():
    b = Builder()
    p = b.finish(b.op("Gather", b.input("x"), b.input("i", np.int64)))
    for _ in range(20):
        with pytest.raises(ValueError, match="index 5"):
            p.run([f32(3), i64(5)])
        assert p.run([f32(3), i64(1)])[0].shape == (1,)


def test_smallest_integers_do_not_trap():
    lowest = np.array([-(2**63)])
    assert run("Div", [lowest, i64(-1)])[0][0] == lowest[0]
    assert run("Mod", [lowest, i64(-1)])[0][0] == 0
    assert run("Neg", [lowest])[0][0] == lowest[0]
    assert run("Abs", [lowest])[0][0] == lowest[0]
    values = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], np.float32)
    top, low = 2**31 - 1, -(2**31)
    assert run("Cast", [values], {"to": 6})[0].tolist() == [0, top, low, top, low]
