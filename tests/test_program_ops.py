"""Every ordinary operator of the native program against onnx.reference."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.program_harness import Case, run

RNG = np.random.default_rng(7)


def f32(*shape):
    return np.asarray(RNG.standard_normal(shape), np.float32)


def integers(*shape, low=-20, high=20, dtype=np.int64):
    return np.asarray(RNG.integers(low, high, shape), dtype)


def i64(*values):
    return np.array(values, np.int64)


X = f32(2, 3, 4, 5)
BROADCASTS = [
    ((2, 3, 4), (2, 3, 4)),
    ((2, 3, 4), ()),
    ((), (2, 3)),
    ((2, 5, 5, 8), (8,)),
    ((2, 5, 5, 8), (2, 1, 1, 8)),
    ((2, 3, 4, 5), (3, 1, 1)),
    ((2, 3, 4, 5), (2, 1, 4, 1)),
    ((4, 1), (1, 6)),
    ((1, 1), (1,)),
    ((0, 3), (3,)),
    ((3, 1, 70), (5, 70)),
]


def binary_cases():
    for a, b in BROADCASTS:
        for op in ("Add", "Sub", "Mul", "Div"):
            yield Case(op, [f32(*a), f32(*b) + np.float32(3)])
        yield Case("Pow", [np.abs(f32(*a)), f32(*b)], rtol=1e-4)
        for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
            yield Case(op, [integers(*a, low=-2, high=2), integers(*b, low=-2, high=2)])
            yield Case(op, [np.round(f32(*a)), np.round(f32(*b))])
        for op in ("And", "Or", "Xor"):
            yield Case(op, [f32(*a) > 0, f32(*b) > 0])
        yield Case("Where", [f32(*a) > 0, f32(*a), f32(*b)])
    for dtype in (np.int64, np.int32):
        a = integers(3, 4, dtype=dtype)
        b = integers(4, low=1, high=5, dtype=dtype)
        for op in ("Add", "Sub", "Mul", "Mod", "Pow"):
            yield Case(op, [a, b])
        yield Case("Div", [np.abs(a), b])
        yield Case("Mod", [a, -b])
        yield Case("Mod", [a, b], {"fmod": 1})
    yield Case("Mod", [f32(3, 4), f32(4)], {"fmod": 1})
    yield Case("Pow", [X, i64(2)])
    yield Case("Pow", [X, np.float32(2).reshape(1)], constants=(1,))
    yield Case("Pow", [np.abs(X), np.float32(0.5).reshape(())], constants=(1,))
    yield Case("Add", [f32(3).astype(np.float64), f32(3).astype(np.float64)])
    for op in ("Min", "Max", "Sum", "Mean"):
        yield Case(op, [f32(2, 3), f32(3), f32(2, 1)])
        yield Case(op, [f32(2, 3)])
        yield Case(op, [f32(2, 3), f32(1, 3), f32(2, 1), f32(3)])
    yield Case("Max", [integers(2, 3), integers(3)])
    special = np.array([np.nan, 1, -np.inf, np.inf, -0.0], np.float32)
    yield Case("Max", [special, special[::-1].copy()])
    yield Case("Add", [special, special[::-1].copy()])


def unary_cases():
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, 1.5, -0.5, 88, -104], np.float32)
    x = np.concatenate([f32(70) * 3, [1.0, -1.0]]).astype(np.float32)
    for op in [
        "Abs",
        "Neg",
        "Relu",
        "Sigmoid",
        "HardSwish",
        "Tanh",
        "Erf",
        "Exp",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Softplus",
    ]:
        yield Case(op, [x], rtol=1e-5, atol=2e-6)
    for op in ["Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Exp", "Tanh", "Erf"]:
        yield Case(op, [special])
    for op in ("Log", "Sqrt", "Reciprocal"):
        yield Case(op, [np.abs(x) + np.float32(0.1)])
    yield Case("Sin", [x], atol=1e-5)
    yield Case("Cos", [x], atol=1e-5)
    yield Case("LeakyRelu", [x])
    yield Case("LeakyRelu", [x], {"alpha": 0.3})
    yield Case("Elu", [x], {"alpha": 1.5})
    yield Case("HardSigmoid", [x])
    yield Case("HardSigmoid", [x], {"alpha": 0.1666, "beta": 0.4})
    yield Case("Gelu", [x], atol=2e-6)
    yield Case("Gelu", [x], {"approximate": "tanh"}, atol=2e-6)
    yield Case("Clip", [x, np.float32(-0.5), np.float32(0.7)])
    yield Case("Clip", [x, None, np.float32(0.7)])
    yield Case("Clip", [x, np.float32(-0.5)])
    yield Case("Clip", [integers(9), np.int64(-3), np.int64(4)])
    yield Case("PRelu", [f32(2, 3, 4), f32(3, 1)])
    yield Case("Neg", [integers(9)])
    yield Case("Abs", [integers(9, dtype=np.int32)])
    yield Case("Not", [f32(9) > 0])
    yield Case("Exp", [f32(5).astype(np.float64)])
    for source in (np.float32, np.int64, np.int32, np.uint8, np.bool_, np.float64):
        for target in (np.float32, np.int64, np.int32, np.uint8, np.int8, np.bool_, np.float64):
            values = np.abs(integers(12)).astype(source)
            code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(target))
            yield Case("Cast", [values], {"to": code})
    yield Case("Cast", [np.array([1.9, -1.9, 0.5, -0.5], np.float32)], {"to": 7})


def shape_cases():
    yield Case("Identity", [X])
    for shape in ([0, -1], [6, 20], [-1], [2, 3, 0, 5], [1, 120, 1]):
        yield Case("Reshape", [X, i64(*shape)], constants=(1,))
    yield Case("Reshape", [f32(0, 3), i64(0, 7)], {"allowzero": 1}, constants=(1,))
    for axis in (0, 1, 4, -1):
        yield Case("Flatten", [X], {"axis": axis})
    yield Case("Squeeze", [f32(1, 3, 1)])
    yield Case("Squeeze", [f32(1, 3, 1), i64(-1)], constants=(1,))
    yield Case("Unsqueeze", [f32(3, 4), i64(0, -1)], constants=(1,))
    yield Case("Shape", [X])
    yield Case("Shape", [X], {"start": 1, "end": -1})
    yield Case("Size", [X])
    for axes in ("0213", "0231", "0312", "3210", "1023", "2301"):
        perm = [int(axis) for axis in axes]
        for dtype in (np.float32, np.int64, np.uint8):
            yield Case("Transpose", [np.abs(X * 20).astype(dtype)], {"perm": perm})
            yield Case("Transpose", [np.abs(f32(3, 17, 1, 35) * 9).astype(dtype)], {"perm": perm})
    yield Case("Transpose", [f32(3, 4, 5)])
    for few in (2, 3, 4, 5):  # woven
        for dtype in (np.float32, np.int64, np.uint8, np.float64):
            x = np.abs(f32(2, 3, few, 19) * 9).astype(dtype)
            yield Case("Transpose", [x], {"perm": [0, 1, 3, 2]})
            yield Case("Expand", [x[..., None], i64(1, 1, 1, 1, few)], constants=(1,))
    for axis in (0, 1, 2, -1):
        yield Case("Concat", [X, X, X], {"axis": axis})
    yield Case("Concat", [f32(2, 3), f32(2, 0), f32(2, 5)], {"axis": 1})
    yield Case("Concat", [i64(1), i64(2, 3)], {"axis": 0})
    yield Case("Split", [f32(2, 7), i64(3, 4)], {"axis": 1}, outputs=2, constants=(1,))
    yield Case("Split", [f32(7, 2)], {"axis": 0, "num_outputs": 3}, outputs=3)
    yield Case("Split", [f32(2, 6)], {"axis": -1, "num_outputs": 2}, outputs=2)
    big = 2**63 - 1
    for starts, ends, axes, steps in [
        ([1], [3], [2], [1]),
        ([0, -2], [big, big], [1, 3], [2, 1]),
        ([-1], [-big], [3], [-1]),
        ([3], [0], [2], [-2]),
        ([5], [9], [2], [1]),
        ([0], [1], [0], [1]),
        ([0], [big], [0], [1]),
        ([1, 1], [2, 3], [-1, 0], [1, 1]),
    ]:
        rest = [i64(*starts), i64(*ends), i64(*axes), i64(*steps)]
        yield Case("Slice", [X, *rest], constants=(1, 2, 3, 4))
        yield Case("Slice", [(X * 9).astype(np.int8), *rest], constants=(1, 2, 3, 4))
    yield Case("Slice", [X, i64(1, 0), i64(2, 2)], constants=(1, 2))
    for target in ([2, 3, 4], [5, 2, 3, 4], [1], [3, 1]):
        yield Case("Expand", [f32(3, 1), i64(*target)], constants=(1,))
    yield Case("Expand", [f32(1), i64(2, 0)], constants=(1,))
    yield Case("Tile", [f32(2, 3), i64(2, 3)], constants=(1,))
    yield Case("Tile", [integers(2, 1, 3), i64(1, 4, 1)], constants=(1,))
    value = onnx.numpy_helper.from_array(np.array([7], np.int64))
    yield Case("ConstantOfShape", [i64(2, 3)], {"value": value}, constants=(0,))
    yield Case("ConstantOfShape", [i64(2)], constants=(0,))
    yield Case("Range", [np.int64(1), np.int64(10), np.int64(3)], constants=(0, 1, 2))
    yield Case("Range", [np.float32(5), np.float32(1), np.float32(-1.5)], constants=(0, 1, 2))
    for upper in (0, 1):
        for k in (-3, -1, 0, 1, 9):
            yield Case("Trilu", [f32(2, 4, 3), np.array(k, np.int64)], {"upper": upper})
    for mode in ("constant", "edge", "reflect", "wrap"):
        yield Case("Pad", [X, i64(0, 0, 1, 2, 0, 0, 3, 1)], {"mode": mode}, constants=(1,))
    yield Case("Pad", [X, i64(0, 0, 1, 2, 0, 0, 3, 1), np.float32(1.5)], constants=(1,))
    yield Case("Pad", [integers(3, 4), i64(2, 1), np.int64(7), i64(1)], constants=(1, 2, 3))


def reduce_cases():
    for op in ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp"]:
        for axes in ([0], [-1], [1, 2], [0, 3], [0, 2], [1, 3], [0, 1, 2, 3], [2, 3]):
            for keep in (0, 1):
                yield Case(
                    f"Reduce{op}",
                    [X, i64(*axes)],
                    {"keepdims": keep},
                    constants=(1,),
                    rtol=1e-4,
                    atol=1e-5,
                )
        yield Case(f"Reduce{op}", [X], rtol=1e-4)
    yield Case("ReduceSum", [X, i64()], {"noop_with_empty_axes": 1}, constants=(1,))
    yield Case("ReduceLogSum", [np.abs(X), i64(1)], constants=(1,), rtol=1e-4)
    for op in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd"):
        yield Case(op, [integers(3, 4), i64(1)], constants=(1,))
    yield Case("ReduceMean", [f32(3, 64, 1, 65), i64(0, 3)], constants=(1,), atol=1e-5)
    yield Case("ReduceSum", [f32(0, 4), i64(0)], constants=(1,))
    for axis in (0, 1, -1, 2):
        yield Case("Softmax", [X], {"axis": axis})
        yield Case("LogSoftmax", [X], {"axis": axis}, atol=1e-5)
    yield Case("Softmax", [np.array([[-np.inf, 0, 1], [1e4, 1e4, -1e4]], np.float32)])
    yield Case("LayerNormalization", [X, f32(5), f32(5)], atol=1e-5)
    yield Case("LayerNormalization", [X, f32(5)], atol=1e-5)
    yield Case(
        "LayerNormalization",
        [X, f32(4, 5), f32(4, 5)],
        {"axis": 2, "epsilon": 1e-3},
        outputs=3,
        atol=1e-5,
    )
    yield Case("LayerNormalization", [X, f32(3, 1, 1), f32(5)], {"axis": 1}, atol=1e-5)
    variance = np.abs(f32(3)) + np.float32(0.5)
    yield Case(
        "BatchNormalization", [X, f32(3), f32(3), f32(3), variance], {"epsilon": 1e-3}, atol=1e-5
    )
    yield Case("BatchNormalization", [f32(4, 3), f32(3), f32(3), f32(3), variance], atol=1e-5)
    yield Case("InstanceNormalization", [X, f32(3), f32(3)], atol=1e-5)


def gather_cases():
    for axis in (0, 1, -1):
        yield Case("Gather", [X, integers(2, 2, low=-2, high=2)], {"axis": axis})
        yield Case("Gather", [X, np.int64(1)], {"axis": axis})
        yield Case(
            "Gather",
            [(X * 9).astype(np.int8), integers(3, low=0, high=2, dtype=np.int32)],
            {"axis": axis},
        )
        yield Case("GatherElements", [X, integers(2, 3, 4, 5, low=-2, high=2)], {"axis": axis})
    yield Case("GatherElements", [f32(5, 3), integers(2, 3, low=-5, high=5)], {"axis": 0})
    yield Case("GatherND", [X, integers(7, 2, low=0, high=2)])
    yield Case("GatherND", [X, integers(2, 3, 1, low=0, high=3)], {"batch_dims": 1})
    yield Case("GatherND", [X, integers(2, 3, 2, low=-4, high=4)], {"batch_dims": 2})


def matmul_cases():
    for a, b in [
        ((3, 4), (4, 5)),
        ((7, 33), (33, 70)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (1, 5, 4, 6)),
        ((3, 4), (2, 4, 5)),
        ((1, 64, 32), (1, 32, 65)),
        ((3, 0), (0, 5)),
        ((0, 3), (3, 5)),
    ]:
        yield Case("MatMul", [f32(*a), f32(*b)], atol=1e-5)
    for signed_a in (np.uint8, np.int8):
        for signed_b in (np.uint8, np.int8):
            a = RNG.integers(np.iinfo(signed_a).min, np.iinfo(signed_a).max + 1, (5, 35)).astype(
                signed_a
            )
            b = RNG.integers(np.iinfo(signed_b).min, np.iinfo(signed_b).max + 1, (35, 19)).astype(
                signed_b
            )
            az, bz = signed_a(9), signed_b(100)
            yield Case("MatMulInteger", [a, b])
            yield Case("MatMulInteger", [a, b, np.array(az), np.array(bz)])
            columns = RNG.integers(0, 100, 19).astype(signed_b)
            yield Case("MatMulInteger", [a, b, np.array(az), columns])
            yield Case("MatMulInteger", [a, b, None, columns])


def order_cases():
    ties = np.array([[3, 1, 3, 2], [0, 0, -1, -1]], np.float32)
    for axis in (0, 1):
        for op in ("ArgMax", "ArgMin"):
            for last in (0, 1):
                for keep in (0, 1):
                    attrs = {"axis": axis, "select_last_index": last, "keepdims": keep}
                    yield Case(op, [ties], attrs)
        yield Case("ArgMax", [integers(4, 5)], {"axis": axis})
        for largest in (0, 1):
            attrs = {"axis": axis, "largest": largest}
            yield Case("TopK", [ties, i64(2)], attrs, outputs=2, constants=(1,))
            yield Case("TopK", [f32(5, 6, 3), i64(3)], attrs, outputs=2, constants=(1,))
        for exclusive in (0, 1):
            for reverse in (0, 1):
                attrs = {"exclusive": exclusive, "reverse": reverse}
                yield Case("CumSum", [integers(3, 4), np.array(axis)], attrs)
                yield Case("CumSum", [f32(3, 4, 5), np.array(axis)], attrs, atol=1e-5)
        yield Case(
            "OneHot",
            [integers(3, 2, low=-5, high=8), np.int64(6), f32(2)],
            {"axis": axis},
            constants=(1,),
        )
    yield Case("OneHot", [i64(0, 2), np.int64(3), i64(0, 1)], constants=(1,))
    for reduction in ("none", "add", "mul", "min", "max"):
        attrs = {"reduction": reduction}
        rows = np.array([[1], [-1], [1]] if reduction != "none" else [[1], [-1], [0]])
        yield Case("ScatterND", [f32(4, 5), rows, f32(3, 5)], attrs)
        yield Case("ScatterND", [integers(4, 5), np.array([[0, 1], [3, -1]]), integers(2)], attrs)


def quantize_cases():
    edges = np.array([0, 0.25, -0.25, 0.75, 1e6, -1e6, 63.7, -64.2], np.float32)
    for zero in (np.uint8(0), np.uint8(255), np.int8(-128), np.int8(127), np.uint8(3), None):
        zero_array = None if zero is None else np.array(zero)
        yield Case("QuantizeLinear", [edges, np.array(0.5, np.float32), zero_array])
    scale = np.array([0.1, 0.02, 3.0], np.float32)
    for dtype in (np.uint8, np.int8):
        zero = np.array([1, 0, 100], dtype)
        for axis, shape in ((1, (2, 3, 4)), (-1, (5, 3)), (0, (3, 7))):
            x = f32(*shape)
            yield Case("QuantizeLinear", [x, scale, zero], {"axis": axis})
            q = integers(*shape, low=0, high=127, dtype=dtype)
            yield Case("DequantizeLinear", [q, scale, zero], {"axis": axis})
        yield Case("DequantizeLinear", [integers(9, low=0, dtype=dtype), np.array(0.3, np.float32)])
    yield Case("DequantizeLinear", [integers(9, dtype=np.int32), np.array(0.3, np.float32)])
    for x in (f32(50), np.abs(f32(50)), -np.abs(f32(7, 3))):
        yield Case("DynamicQuantizeLinear", [x], outputs=3)


CASES = [
    *binary_cases(),
    *unary_cases(),
    *shape_cases(),
    *reduce_cases(),
    *gather_cases(),
    *matmul_cases(),
    *order_cases(),
    *quantize_cases(),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c}" for i, c in enumerate(CASES)])
def test_equals_reference(case):
    case.check()


@pytest.mark.parametrize(
    "op",
    ["Add", "Softmax", "ReduceSum", "Transpose", "Exp", "MatMul", "Concat", "LayerNormalization"],
)
def test_threads_do_not_change_results(op):
    x = f32(4, 96, 257)
    inputs = {
        "Add": [x, f32(257)],
        "MatMul": [x, f32(4, 257, 65)],
        "ReduceSum": [x, i64(2)],
        "Concat": [x, x],
        "LayerNormalization": [x, f32(257), f32(257)],
    }.get(op, [x])
    attrs = {"Transpose": {"perm": [0, 2, 1]}, "Concat": {"axis": 1}}.get(op)
    constants = (1,) if op == "ReduceSum" else ()
    one = run(op, inputs, attrs, constants=constants)
    three = run(op, inputs, attrs, constants=constants, threads=3)
    np.testing.assert_array_equal(one[0], three[0])


def test_matmul_extras_equal_numpy():
    a, b = f32(2, 9, 5), f32(2, 7, 9)
    (y,) = run("MatMul", [a, b], {"alpha": 0.5, "trans_a": 1, "trans_b": 1})
    wanted = 0.5 * np.swapaxes(a, 1, 2) @ np.swapaxes(b, 1, 2)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


def test_silu_and_activation_equal_definition():
    x = f32(100)
    wanted = x / (1 + np.exp(-x))
    np.testing.assert_allclose(run("Silu", [x])[0], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        run("activation", [x], {"activation": "silu"})[0], wanted, rtol=1e-5, atol=1e-6
    )
    clipped = run("activation", [x], {"activation": "clip", "alpha": 0.0, "beta": 6.0})[0]
    np.testing.assert_array_equal(clipped, np.clip(x, 0, 6))


def test_row_zero_points_of_matmul_integer():
    a = RNG.integers(0, 256, (5, 9)).astype(np.uint8)
    b = RNG.integers(-128, 128, (9, 6)).astype(np.int8)
    zero = RNG.integers(0, 256, 5).astype(np.uint8)
    (y,) = run("MatMulInteger", [a, b, zero])
    np.testing.assert_array_equal(y, (a.astype(int) - zero[:, None].astype(int)) @ b.astype(int))


def test_negative_pads_cut():
    (y,) = run("Pad", [X, i64(0, -1, 1, -2, 0, 2, -3, 1)], constants=(1,))
    wanted = np.pad(X[:, 1:, :1, 2:], [(0, 0), (0, 2), (1, 0), (0, 1)])
    np.testing.assert_array_equal(y, wanted)
