"""Folding computes what ONNX Runtime computes."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from pycompress.graph.evaluate import _OPERATORS, can_evaluate, evaluate
from pycompress.readers import read
from tests.graph.models import Model, run

F = np.float32([[-2.5, -1, 0.5], [1, 2, 30]])
POSITIVE = np.abs(F)
N = np.int64([[-7, 2, 5], [4, -3, 9]])
B = F > 0


def i64(*values):
    return np.int64(values)


UNARY = "Identity Neg Abs Exp Sin Cos Floor Ceil Round Sign Tanh Sigmoid Relu"
COMPARISONS = "Equal Less LessOrEqual Greater GreaterOrEqual"
CASES = {
    **{op: [((F,), {})] for op in UNARY.split()},
    **{op: [((POSITIVE,), {})] for op in ("Sqrt", "Log", "Reciprocal")},
    **{op: [((F, F[0]), {}), ((N, N[:, :1]), {})] for op in ("Add", "Sub", "Mul", "Div")},
    **{op: [((F, F[0], F[:, :1]), {})] for op in ("Min", "Max", "Sum")},
    **{op: [((B, ~B), {})] for op in ("And", "Or", "Xor")},
    **{op: [((N, N[0]), {})] for op in COMPARISONS.split()},
    **{op: [((F, i64(1)), {}), ((F,), {"keepdims": 0})] for op in ("ReduceL1", "ReduceL2")},
    "ReduceSumSquare": [((F, i64(0)), {"keepdims": 0})],
    "BatchNormalization": [
        ((np.stack([F, -F]), F[0, :2], F[1, :2], F[0, 1:], POSITIVE[1, :2]), {"epsilon": 0.01})
    ],
    "MatMul": [((F, POSITIVE.T), {}), ((N, N.T), {}), ((F, F[0]), {})],
    "Not": [((B,), {})],
    "Mod": [((N, i64(3)), {}), ((F, np.float32(2)), {"fmod": 1})],
    "Pow": [((POSITIVE, np.float32(1.5)), {}), ((F, i64(2)), {})],
    "Cast": [
        ((F,), {"to": TensorProto.INT32}),
        ((N,), {"to": TensorProto.FLOAT}),
        ((F,), {"to": TensorProto.BOOL}),
    ],
    "Clip": [((F, np.float32(-1), np.float32(1)), {}), ((F, None, np.float32(1)), {})],
    "Shape": [((F,), {}), ((F,), {"start": -1}), ((F,), {"start": 0, "end": 1})],
    "Size": [((F,), {})],
    "Reshape": [((F, i64(0, -1, 1)), {}), ((F, i64(6)), {})],
    "Flatten": [((F,), {"axis": 0}), ((F,), {"axis": -1})],
    "Squeeze": [((F[:, None, :, None], i64(1, -1)), {}), ((F[None],), {})],
    "Unsqueeze": [((F, i64(0, -1)), {})],
    "Transpose": [((F,), {}), ((F[None],), {"perm": [1, 2, 0]})],
    "Concat": [((F, F), {"axis": -1})],
    "Slice": [
        ((F, i64(1), i64(100), i64(1)), {}),
        ((F, i64(-1), i64(-100), i64(1), i64(-1)), {}),
        ((F, i64(0, 0), i64(1, -1)), {}),
        ((F, i64(2), i64(0), i64(-1), i64(-2)), {}),
    ],
    "Gather": [((F, i64(-1, 0)), {"axis": 1}), ((F, np.int64(1)), {})],
    "Expand": [((F, i64(2, 1, 1)), {})],
    "Tile": [((F, i64(2, 3)), {})],
    "ConstantOfShape": [((i64(2, 3),), {})],
    "Range": [
        ((np.int64(3), np.int64(-4), np.int64(-2)), {}),
        ((np.float32(0), np.float32(1), np.float32(0.3)), {}),
    ],
    "Where": [((B, F, F[0]), {})],
    "Pad": [((F, i64(0, 1, 2, 0), np.float32(7)), {}), ((F, i64(1, 0, 0, 1)), {})],
    "ReduceSum": [((F, i64(1)), {"keepdims": 0}), ((F,), {}), ((F,), {"noop_with_empty_axes": 1})],
    **{
        f"Reduce{n}": [((F, i64(0)), {}), ((F, i64(-1)), {"keepdims": 0})]
        for n in ("Prod", "Max", "Min", "Mean")
    },
    "QuantizeLinear": [
        ((F, np.float32(0.5), np.int8(3)), {}),
        ((F, np.float32([0.5, 2]), np.uint8([3, 128])), {"axis": 0}),
        ((np.float32([0.25, 0.75, 1.25, 1e9, -1e9]), np.float32(0.5)), {}),
    ],
}


def test_every_operator_is_tested():
    assert set(CASES) == set(_OPERATORS)


@pytest.mark.parametrize(
    ("op", "case"), [(op, i) for op, cases in CASES.items() for i in range(len(cases))]
)
def test_equals_onnxruntime(op, case):
    given, attrs = CASES[op][case]
    arrays = [None if a is None else np.asarray(a) for a in given]
    m = Model(18)
    names = [
        "" if a is None else m.input(f"x{i}", a.shape, a, TensorProto.FLOAT)
        for i, a in enumerate(arrays)
    ]
    for info, array in zip(m.inputs, (a for a in arrays if a is not None), strict=True):
        info.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    m.output(m.node(op, *names, **attrs))
    model = m.proto()
    (node,) = read(model).nodes
    (found,) = evaluate(node, arrays)
    model.graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(found.dtype)
    # onnxruntime 1.23 fails on a sum over no axes, which changes nothing.
    (wanted,) = arrays if "noop_with_empty_axes" in attrs else run(model, m.feeds)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "arrays", "attrs"),
    [
        ("Div", (N, i64(0)), {}),
        ("Mod", (N, i64(0)), {}),
        ("Cast", (np.float32([np.nan]),), {"to": TensorProto.INT32}),
        ("Cast", (np.float32([1e20]),), {"to": TensorProto.INT32}),
        ("Reshape", (F, i64(4)), {}),
        ("Gather", (F, i64(9)), {}),
        ("ConstantOfShape", (i64(1 << 40),), {}),
        ("Range", (np.int64(0), np.int64(1 << 40), np.int64(1)), {}),
    ],
)
def test_what_has_no_answer_is_left(op, arrays, attrs):
    m = Model(18)
    m.output(m.node(op, *(m.const(a) for a in arrays), **attrs))
    (node,) = read(m.proto()).nodes
    assert can_evaluate(node)
    assert evaluate(node, arrays) is None
