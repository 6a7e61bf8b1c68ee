"""Attention as one operator: the same answers as its parts, and only where it is one."""

import numpy as np
import pytest

from pycompress.runtime import InferenceSession
from tests.native import run
from tests.runtime.models import Model, assert_close, reference

RNG = np.random.default_rng(5)
HEADS, KEYS = [0, 2, 1, 3], [0, 2, 3, 1]


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def attention(q, k, v, mask=0.0, alpha=1.0):
    scores = alpha * np.einsum("bshd,bthd->bhst", q, k, dtype=np.float64) + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhst,bthw->bshw", weights, v)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("batch", "rows", "keys", "heads", "depth", "width"),
    [(1, 1, 1, 1, 1, 1), (2, 49, 49, 4, 16, 16), (1, 7, 70, 3, 5, 33), (1, 600, 300, 2, 8, 4)],
)
def test_against_its_definition(batch, rows, keys, heads, depth, width, threads):
    q, k = f32(batch, rows, heads, depth), f32(batch, keys, heads, depth)
    v = f32(batch, keys, heads, width)
    (y,) = run("attention", [q, k, v], {"alpha": 0.3}, threads=threads)
    np.testing.assert_allclose(y, attention(q, k, v, alpha=0.3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 1, 1, 7), (1, 3, 5, 1), (2, 3, 5, 7)])
def test_a_mask_of_any_broadcast_shape(shape):
    q, k, v = f32(2, 5, 3, 4), f32(2, 7, 3, 4), f32(2, 7, 3, 6)
    mask = np.where(RNG.random(shape) < 0.3, np.float32(-30), f32(*shape))
    (y,) = run("attention", [q, k, v, mask], {"alpha": 0.5})
    wanted = attention(q, k, v, np.broadcast_to(mask, (2, 3, 5, 7)), 0.5)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batches", [(2, 1, 1), (1, 2, 2), (2, 2, 1), (1, 1, 2)])
@pytest.mark.parametrize("heads", [(4, 1, 1), (1, 4, 4), (4, 4, 1), (4, 2, 4)])
def test_operands_that_repeat_for_examples_and_heads(batches, heads):
    sizes = zip(batches, (5, 7, 7), heads, (3, 3, 6), strict=True)
    q, k, v = parts = [f32(*size) for size in sizes]
    (y,) = run("attention", parts, {"alpha": 0.5}, threads=2)
    q, k, v = (np.repeat(np.repeat(p, 2 // p.shape[0], 0), 4 // p.shape[2], 2) for p in parts)
    np.testing.assert_allclose(y, attention(q, k, v, alpha=0.5), rtol=1e-4, atol=1e-5)


def test_no_shapes_but_orders_of_axes():
    m = Model()
    q, k, v = (m.node("Transpose", m.input(name, None), perm=HEADS) for name in "qkv")
    scores = m.node("MatMul", q, m.node("Transpose", k, perm=[0, 1, 3, 2]))
    y = m.node("MatMul", m.node("Softmax", scores, axis=-1), v)
    m.output(m.node("Transpose", y, perm=HEADS))
    session = InferenceSession(m.proto())
    for batches, heads in (((2, 2, 2), (4, 4, 4)), ((2, 1, 1), (4, 1, 1)), ((1, 2, 2), (1, 4, 4))):
        sizes = zip(batches, (5, 7, 7), heads, (3, 3, 6), strict=True)
        feeds = {name: f32(*size) for name, size in zip("qkv", sizes, strict=True)}
        assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert "attention" in operators(session, feeds)


def test_no_keys_and_no_rows():
    (y,) = run("attention", [f32(1, 2, 1, 3), f32(1, 0, 1, 3), f32(1, 0, 1, 4)])
    np.testing.assert_array_equal(y, np.zeros((1, 2, 1, 4), np.float32))
    (y,) = run("attention", [f32(1, 0, 1, 3), f32(1, 2, 1, 3), f32(1, 2, 1, 4)])
    assert y.shape == (1, 0, 1, 4)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([f32(1, 2, 1, 3), f32(1, 2, 1, 4), f32(1, 2, 1, 4)], "do not fit"),
        ([f32(1, 2, 3), f32(1, 2, 1, 3), f32(1, 2, 1, 4)], r"wanted \[batch, rows, heads, depth\]"),
        (
            [f32(1, 2, 1, 3), f32(1, 2, 1, 3), f32(1, 2, 1, 4), f32(9)],
            r"\[9\] and \[1, 1, 2, 2\] do not broadcast",
        ),
        ([f32(1, 2, 1, 3), f32(1, 2, 1, 3), f32(1, 2, 1, 4), f32(3, 1, 1, 2)], "does not fit"),
    ],
)
def test_shapes_that_do_not_fit(inputs, said):
    with pytest.raises(ValueError, match=said):
        run("attention", inputs)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_columns_of_one_value(order):
    batch, rows, heads, depth = 2, 37, 3, 5
    x = f32(batch, rows, 3 * heads * depth + 4)
    offsets = [i * heads * depth + 4 for i in order]
    attrs = {"alpha": 0.3, "heads": heads, "depth": depth, "offsets": offsets}
    parts = [x[:, :, at : at + heads * depth].reshape(batch, rows, heads, depth) for at in offsets]
    for threads in (1, 3):
        (y,) = run("attention", [x, x, x], attrs, threads=threads)
        np.testing.assert_allclose(y, attention(*parts, alpha=0.3), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("lies", [(1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 1), (0, 0, 1, 0)])
def test_heads_may_come_first_and_share_keys(lies):
    batch, rows, keys, heads, shared, depth, width = 2, 17, 29, 6, 3, 5, 7
    q, mask = f32(batch, rows, heads, depth), f32(batch, 1, rows, keys)
    k, v = f32(batch, keys, heads // shared, depth), f32(batch, keys, heads // shared, width)
    parts = [
        np.ascontiguousarray(x.swapaxes(1, 2)) if lie else x
        for x, lie in zip((q, k, v), lies, strict=False)
    ]
    for threads in (1, 3):
        attrs = {"alpha": 0.3, "heads_first": list(lies)}
        (y,) = run("attention", [*parts, mask], attrs, threads=threads)
        wanted = attention(q, k.repeat(shared, 2), v.repeat(shared, 2), mask, 0.3)
        np.testing.assert_allclose(y.swapaxes(1, 2) if lies[3] else y, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("isa")
def test_rows_whose_keys_are_all_masked():
    q, k, v = f32(1, 14, 2, 4), f32(1, 9, 2, 4), f32(1, 9, 2, 3)
    mask = np.zeros((1, 1, 14, 9), np.float32)
    mask[:, :, 3], mask[:, :, 13] = -np.inf, -np.inf
    (y,) = run("attention", [q, k, v, mask], {"nan_to_zero": 1})
    kept = [row for row in range(14) if row not in (3, 13)]
    np.testing.assert_array_equal(y[:, [3, 13]], 0)
    np.testing.assert_allclose(y[:, kept], attention(q, k, v)[:, kept], rtol=1e-4, atol=1e-5)
    (y,) = run("attention", [q, k, v, mask])
    assert np.isnan(y[:, [3, 13]]).all()
    assert not np.isnan(y[:, kept]).any()


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({"heads_first": [1, 1]}, "must have 4 values"),
        (
            {"heads": 2, "depth": 3, "offsets": [0, 6, 9]},
            r"V\) has shape \[1, 4, 14\], wanted .* 15",
        ),
        ({"heads": 2, "depth": 3, "offsets": [0, 6]}, "must have 3 values"),
        ({"heads": 2, "depth": 0, "offsets": [0, 6, 8]}, "must be positive"),
    ],
)
def test_columns_that_are_not_there(attrs, said):
    x = f32(1, 4, 14)
    with pytest.raises(ValueError, match=said):
        run("attention", [x, x, x], attrs)


def spelled(m, keys_last, masked, scale_first=False, read_scores=False):
    """An encoder's attention as exporters write it."""
    x = m.input("x", ["n", 9, 24])
    four = m.const(np.array([0, 0, 3, 8]))

    def heads(perm):
        product = m.node("Add", m.node("MatMul", x, m.weights(24, 24)), m.weights(24))
        return m.node("Transpose", m.node("Reshape", product, four), perm=perm)

    q, k, v = heads([0, 2, 1, 3]), heads([0, 2, 3, 1] if keys_last else [0, 2, 1, 3]), None
    v = heads([0, 2, 1, 3])
    k = k if keys_last else m.node("Transpose", k, perm=[0, 1, 3, 2])
    factor = m.const(np.float32(0.35))
    q = m.node("Mul", q, factor) if scale_first else q
    scores = m.node("MatMul", q, k)
    scores = scores if scale_first else m.node("Mul", scores, factor)
    if masked:
        scores = m.node("Add", scores, m.input("mask", ["n", 1, 1, 9]))
    weights = m.node("Softmax", scores, axis=-1)
    y = m.node("Transpose", m.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    m.output(m.node("Reshape", y, m.const(np.array([0, 0, 24]))))
    if read_scores:
        m.output(weights)
    feeds = {"x": f32(2, 9, 24)}
    if masked:
        feeds["mask"] = np.where(RNG.random((2, 1, 1, 9)) < 0.3, -1e4, 0).astype(np.float32)
    return feeds


def operators(session, feeds):
    return [row.op for row in session.profile(feeds, repeats=1)]


@pytest.mark.parametrize("scale_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("keys_last", [False, True])
def test_what_exporters_write_is_one_operator(keys_last, masked, scale_first):
    m = Model()
    feeds = spelled(m, keys_last, masked, scale_first)
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    found = operators(session, feeds)
    assert found.count("attention") == 1
    assert not {"Softmax", "MatMul", "Transpose"} & set(found)


@pytest.mark.parametrize(("axis", "one"), [(-1, True), (2, True), (1, False)])
def test_a_layer_of_queries_keys_and_values_is_not_split(axis, one):
    m = Model()
    x = m.input("x", ["n", 9, 24])
    wide = m.node("Add", m.node("MatMul", x, m.weights(24, 24 * (3 if one else 1))), m.weights(1))
    wide = wide if one else m.node("Concat", wide, wide, wide, axis=1)
    parts = m.node("Split", wide, outputs=3, axis=axis, num_outputs=3)
    q, k, v = (m.node("Reshape", part, m.const(np.array([0, 9, 3, 8]))) for part in parts)
    q, k, v = (m.node("Transpose", t, perm=p) for t, p in ((q, HEADS), (k, KEYS), (v, HEADS)))
    weights = m.node("Softmax", m.node("MatMul", q, k), axis=-1)
    m.output(m.node("Transpose", m.node("MatMul", weights, v), perm=HEADS))
    feeds = {"x": f32(2, 9, 24)}
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    found = operators(session, feeds)
    assert found.count("attention") == 1
    assert ("Split" not in found) == one


def test_weights_that_are_read_elsewhere_stay():
    m = Model()
    feeds = spelled(m, keys_last=True, masked=False, read_scores=True)
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert "attention" not in operators(session, feeds)


def exported(m, *, whole="slice", guarded=False, shared=1, mask=None, turn=True):
    """scaled_dot_product_attention as torch.onnx (dynamo) writes it."""
    rows, heads, depth = 9, 4, 8
    width = heads * depth
    x = m.input("x", [1, rows, 24])
    few = heads // shared

    def part(columns):
        return m.node("Add", m.node("MatMul", x, m.weights(24, columns)), m.weights(columns))

    if whole:
        sizes = m.const(np.array([1, rows, 3, heads, depth]))
        y = m.node("Reshape", part(3 * width), sizes, allowzero=1)
        y = m.node("Transpose", y, perm=[2, 0, 3, 1, 4])
        zero = m.const(np.array([0]))
        if whole == "slice":
            at = [m.const(np.array([i])) for i in range(4)]
            places = [m.node("Slice", y, at[i], at[i + 1], zero) for i in range(3)]
        elif whole == "split":
            places = m.node("Split", y, outputs=3, axis=0, num_outputs=3)
        if whole == "gather":
            q, k, v = (m.node("Gather", y, m.const(np.array(i)), axis=0) for i in range(3))
        else:
            q, k, v = (m.node("Squeeze", place, zero) for place in places)
    else:

        def apart(columns, count):
            y = m.node("Reshape", part(columns), m.const(np.array([1, rows, count, depth])))
            return m.node("Transpose", y, perm=HEADS)

        q, k, v = apart(width, heads), apart(few * depth, few), apart(few * depth, few)
        if turn:  # as with rotary positions: not a Transpose itself
            q, k = m.node("Sigmoid", q), m.node("Sigmoid", k)
    if shared > 1:

        def repeat(y):
            y = m.node("Unsqueeze", y, m.const(np.array([2])))
            y = m.node("Expand", y, m.const(np.array([1, few, shared, rows, depth])))
            return m.node("Reshape", y, m.const(np.array([1, heads, rows, depth])))

        k, v = repeat(k), repeat(v)
    k = m.node("Reshape", k, m.const(np.array([-1, rows, depth])))
    k = m.node("Transpose", k, perm=[0, 2, 1])
    k = m.node("Reshape", k, m.const(np.array([1, heads, depth, rows])))
    root = m.const(np.float32(0.6))
    scores = m.node("MatMul", m.node("Mul", q, root), m.node("Mul", k, root))
    scores = scores if mask is None else m.node("Add", scores, m.const(mask))
    weights = m.node("Softmax", scores, axis=-1)
    if guarded:
        weights = m.node("Where", m.node("IsNaN", weights), m.const(np.float32(0)), weights)
    y = m.node("Transpose", m.node("MatMul", weights, v), perm=HEADS)
    m.output(m.node("Reshape", y, m.const(np.array([1, rows, width])), allowzero=1))
    return {"x": f32(1, rows, 24)}


MASK = np.where(np.tri(9, dtype=bool), np.float32(0), np.float32(-np.inf))
MASK[4] = -np.inf


@pytest.mark.parametrize(
    "form",
    [
        {"whole": "slice"},
        {"whole": "gather"},
        {"whole": "split", "guarded": True, "mask": MASK},
        {"whole": "", "turn": False},
        {"whole": "", "guarded": True, "mask": MASK},
        {"whole": "", "shared": 2},
        {"whole": "", "shared": 4, "turn": False, "guarded": True},
    ],
    ids=str,
)
def test_what_torch_exports_is_one_operator(form):
    m = Model()
    feeds = exported(m, **form)
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    found = operators(session, feeds)
    assert found.count("attention") == 1
    assert not {"Softmax", "MatMul", "IsNaN", "Where", "Expand", "Slice", "Gather"} & set(found)


def test_heads_that_repeat_in_turns_are_not_shared():
    """As many times as there are heads: the shapes do not tell which way they repeat."""
    m = Model()
    q, k, v = (m.input(name, [1, heads, 5, 3]) for name, heads in (("q", 4), ("k", 2), ("v", 2)))

    def repeat(x):
        x = m.node("Expand", m.node("Unsqueeze", x, one), m.const(np.array([1, 2, 2, 5, 3])))
        return m.node("Reshape", x, m.const(np.array([1, 4, 5, 3])))

    one = m.const(np.array([1]))
    keys = m.node("Transpose", repeat(k), perm=[0, 1, 3, 2])
    weights = m.node("Softmax", m.node("MatMul", q, keys), axis=-1)
    m.output(m.node("MatMul", weights, repeat(v)))
    feeds = {"q": f32(1, 4, 5, 3), "k": f32(1, 2, 5, 3), "v": f32(1, 2, 5, 3)}
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))


def test_operands_that_broadcast_are_left():
    m = Model()
    q, k = m.input("q", [2, 3, 5, 4]), m.input("k", [1, 3, 7, 4])
    scores = m.node("MatMul", q, m.node("Transpose", k, perm=[0, 1, 3, 2]))
    m.output(m.node("MatMul", m.node("Softmax", scores, axis=-1), m.input("v", [2, 1, 7, 6])))
    feeds = {"q": f32(2, 3, 5, 4), "k": f32(1, 3, 7, 4), "v": f32(2, 1, 7, 6)}
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert "attention" not in operators(session, feeds)


@pytest.mark.parametrize("sizes", [(3, 1, 5, 7), (1, 2, 1, 1)])
def test_a_mask_that_repeats_the_scores(sizes):
    m = Model()
    q, k, v = (m.input(name, [1, 1, rows, 4]) for name, rows in (("q", 5), ("k", 7), ("v", 7)))
    scores = m.node("MatMul", q, m.node("Transpose", k, perm=[0, 1, 3, 2]))
    scores = m.node("Add", scores, m.input("mask", sizes))
    m.output(m.node("MatMul", m.node("Softmax", scores, axis=-1), v))
    feeds = {"q": f32(1, 1, 5, 4), "k": f32(1, 1, 7, 4), "v": f32(1, 1, 7, 4), "mask": f32(*sizes)}
    assert_close(InferenceSession(m.proto()).run(None, feeds), reference(m.proto(), feeds))


def test_places_that_are_read_otherwise_stay():
    m = Model()
    feeds = exported(m)
    wide = next(n.output[0] for n in m.nodes if n.op_type == "Transpose")
    m.output(m.node("ReduceSum", wide, keepdims=0))
    session = InferenceSession(m.proto())
    assert_close(session.run(None, feeds), reference(m.proto(), feeds))
    assert operators(session, feeds).count("attention") == 1
