"""A batch that runs in parts: the same bits as each example alone, and whole where they meet."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_program import Builder

BATCH = 11
"""Parts of different sizes."""

WIDE = 1024
"""Rows of an example: a batch of them is more than a part keeps."""


def f32(*shape):
    """Return always the same values: a program that is built twice is to be the same."""
    return np.asarray(np.random.default_rng(11).standard_normal(shape), np.float32)


WEIGHTS = f32(64, 64)


def chain(build):
    """Return a program that computes `build` between layers that are worth threads."""

    def make(threads=1):
        b = Builder(threads)
        x = b.input("x")
        y = b.op("linear", x, b.constant(WEIGHTS))
        y = build(b, y)
        for _ in range(3):
            y = b.op("linear", b.op("Relu", y), b.constant(WEIGHTS))
        return b.finish(y)

    return make


def shape_of(b, x, first):
    """Return [first dimension of x, -1, 64] or so, as computed from x."""
    batch = b.op("Gather", b.op("Shape", x), b.constant([0], np.int64), axis=0)
    return b.op("Concat", batch, b.constant(first, np.int64), axis=0)


def attention(b, x):
    parts = [b.op("Reshape", x, shape_of(b, x, [-1, 4, 16])) for _ in range(3)]
    return b.op("Reshape", b.op("attention", *parts, alpha=0.25), shape_of(b, x, [-1, 64]))


def backwards(b, x):
    """Let the batch lie on another axis in between, beside values that Expand gave each example."""
    rows = b.op("Transpose", x, perm=[1, 0, 2])
    one = b.op("Expand", b.constant(f32(1, 1, 64)), shape_of(b, x, [1, 64]))
    rows = b.op("Concat", rows, b.op("Transpose", one, perm=[1, 0, 2]), axis=0)
    weights = [b.constant(f32(1, 3 * 64, 64), np.float32) for _ in range(2)]
    rows = b.op("GRU", rows, *weights, outputs=2, hidden_size=64)[0]
    return b.op("Transpose", b.op("Squeeze", rows, b.constant([1], np.int64)), perm=[1, 0, 2])


def merged(b, x):
    """Join the batch with the axis behind it, and take them apart again."""
    flat = b.op("Reshape", x, b.constant([-1, 64], np.int64))
    flat = b.op("Softmax", b.op("Add", flat, b.constant(f32(64))))
    return b.op("Reshape", flat, shape_of(b, x, [-1, 64]))


APART = {
    "attention": attention,
    "backwards": backwards,
    "merged": merged,
    "norm": lambda b, x: b.op("LayerNormalization", x, b.constant(f32(64))),
    "slice": lambda b, x: b.op(
        "Slice", x, *(b.constant([v], np.int64) for v in (1, 1 << 40, 1, 2))
    ),
    "matmul": lambda b, x: b.op("MatMul", b.op("MatMul", x, x, trans_b=1), x),
    "reduce": lambda b, x: b.op(
        "Sub", x, b.op("ReduceMax", x, b.constant([1], np.int64), keepdims=1)
    ),
}


def mean_by_count(b, x):
    """Divide by the size of the batch, which a part does not have."""
    count = b.op("Cast", b.op("Gather", b.op("Shape", x), b.constant(0, np.int64), axis=0), to=1)
    return b.op("Div", x, count)


MEETING = {
    "softmax over the batch": lambda b, x: b.op("Softmax", x, axis=0),
    "mean over the batch": lambda b, x: b.op(
        "Sub", x, b.op("ReduceMean", x, b.constant([0], np.int64), keepdims=1)
    ),
    "reversed": lambda b, x: b.op(
        "Slice", x, *(b.constant([v], np.int64) for v in (-1, -(1 << 40), 0, -1))
    ),
    "divided by its size": mean_by_count,
    "beside a constant of its own": lambda b, x: b.op("Add", x, b.constant(f32(BATCH, 1, 1))),
    "one range for all": lambda b, x: b.op(
        "linear",
        x,
        b.constant(np.random.default_rng(3).integers(-127, 128, (64, 64)), np.int8),
        dynamic=1,
        w_scale=np.float32([0.01]),
    ),
    "mixed by a product": lambda b, x: b.op(
        "Transpose",
        b.op("MatMul", b.op("Transpose", x, perm=[1, 2, 0]), b.constant(f32(BATCH, BATCH))),
        perm=[2, 0, 1],
    ),
}


NOT_ALONE = {"beside a constant of its own", "mixed by a product"}
"""Programs that take no other batch."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", APART)
def test_parts_give_the_bits_of_each_example_alone(name, threads):
    make = chain(APART[name])
    x = f32(BATCH, WIDE, 64)
    program = make(threads)
    program.set_poison(True)
    (found,) = program.run([x])
    alone = make()
    wanted = np.concatenate([alone.run([x[i : i + 1]])[0] for i in range(BATCH)])
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("name", APART)
def test_parts_keep_less_in_memory(name):
    make, x = chain(APART[name]), f32(BATCH, WIDE, 64)
    program, alone = make(), make()
    program.run([x])
    alone.run([x[:1]])
    assert program.stats()["arena_bytes"] < 6 * alone.stats()["arena_bytes"]


@pytest.mark.parametrize("name", MEETING)
def test_examples_that_meet_stay_together(name):
    make, x = chain(MEETING[name]), f32(BATCH, WIDE, 64)
    one, two = make(1), make(2)
    np.testing.assert_array_equal(one.run([x])[0], two.run([x])[0])
    for program in (one, two):
        assert program.stats()["arena_bytes"] > x.nbytes
    if name not in NOT_ALONE:
        alone = np.concatenate([one.run([x[i : i + 1]])[0] for i in range(BATCH)])
        assert not np.array_equal(two.run([x])[0], alone)


def over_the_batch(b, x):
    """Let a recurrent layer take the examples for the steps of one sequence."""
    flat = b.op("ReduceMean", x, b.constant([1], np.int64), keepdims=1)
    weights = [b.constant(f32(1, 3 * 64, 64)) for _ in range(2)]
    rows, last = b.op("GRU", flat, *weights, outputs=2, hidden_size=64)
    return b.op("Squeeze", rows, b.constant([1], np.int64)), flat, last


@pytest.mark.parametrize("threads", [1, 2])
def test_nodes_before_examples_meet_run_in_parts(threads):
    """Both what is read behind them and outputs of the program come from the parts."""

    def make(stop):
        b = Builder(threads)
        x = b.input("x")
        y = x
        for _ in range(4):
            y = b.op("Relu", b.op("linear", y, b.constant(WEIGHTS)))
        met, flat, last = over_the_batch(b, y)
        early = b.op("Transpose", y, perm=[1, 0, 2])  # examples one beside the other: no part's
        return b.finish(*((y, flat) if stop else (met, flat, last, early, b.op("Add", y, x))))

    x = f32(BATCH, WIDE, 64)
    program, front = make(stop=False), make(stop=True)
    program.set_poison(True)
    met, flat, last, early, total = program.run([x])
    y, wanted = front.run([x])
    np.testing.assert_array_equal(flat, wanted)
    np.testing.assert_array_equal(total, y + x)
    np.testing.assert_array_equal(early, y.transpose(1, 0, 2))
    b = Builder()
    id = b.input("flat")
    weights = [b.constant(f32(1, 3 * 64, 64)) for _ in range(2)]
    rows, state = b.op("GRU", id, *weights, outputs=2, hidden_size=64)
    alone = b.finish(b.op("Squeeze", rows, b.constant([1], np.int64)), state)
    for found, expected in zip((met, last), alone.run([flat]), strict=True):
        np.testing.assert_array_equal(found, expected)
    # Of four layers of the batch, only what comes out is ever kept whole, by the caller.
    assert program.stats()["arena_bytes"] < 2 * x.nbytes
    np.testing.assert_array_equal(program.run([x[:1]])[1], flat[:1])


def test_an_output_for_all_examples_and_inputs_without_them():
    b = Builder()
    x, table = b.input("x"), b.input("table")
    y = b.op("Add", b.op("Mul", x, table), b.constant(f32(64)))
    program = b.finish(y, b.op("ReduceSum", y, b.constant([0], np.int64), keepdims=0))
    x, table = f32(BATCH, WIDE, 64), f32(64)
    first, total = program.run([x, table])
    assert first.shape == x.shape
    assert total.shape == x.shape[1:]

    b = Builder()
    x_id, table_id = b.input("x"), b.input("table")
    y = b.op("Exp", b.op("Mul", x_id, table_id))
    alone = b.finish(b.op("Add", y, b.op("Sqrt", b.op("Abs", y))))
    whole = alone.run([x, table])[0]
    each = [alone.run([x[i : i + 1], table])[0] for i in range(BATCH)]
    np.testing.assert_array_equal(whole, np.concatenate(each))
    # A table of as many rows as there are examples is one row for each.
    tall = f32(BATCH, 1, 64)
    whole = alone.run([x, tall])[0]
    each = [alone.run([x[i : i + 1], tall[i : i + 1]])[0] for i in range(BATCH)]
    np.testing.assert_array_equal(whole, np.concatenate(each))


def test_a_model_for_one_size_of_batch_runs_whole():
    def make(threads):
        b = Builder(threads)
        y = b.op("linear", b.input("x"), b.constant(WEIGHTS))
        return b.finish(b.op("Reshape", b.op("Relu", y), b.constant([BATCH, -1], np.int64)))

    x = f32(BATCH, WIDE, 64)
    (one,), (two,) = make(1).run([x]), make(2).run([x])
    assert two.shape == (BATCH, WIDE * 64)
    np.testing.assert_array_equal(one, two)


def test_an_error_in_a_part_names_the_node():
    b = Builder(2)
    x = b.input("x", np.int64)
    y = b.op("embedding", b.constant(f32(10, 64)), x)
    program = b.finish(b.op("linear", y, b.constant(WEIGHTS)))
    ids = np.zeros((BATCH, WIDE), np.int64)
    ids[-1, -1] = 10
    with pytest.raises(ValueError, match="embedding 'embedding_1': index 10 is out of range"):
        program.run([ids])
    ids[-1, -1] = 9
    assert program.run([ids])[0].shape == (BATCH, WIDE, 64)
