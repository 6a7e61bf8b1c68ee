"""What `pycompress bench` times: shapes, counts of operations and bytes, right answers."""

import numpy as np
import pytest

import pycompress as pc
from pycompress.bench import work
from pycompress.bench.cases import DEFAULT_SET, KINDS, SETS, Case, choose


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_set_of_its_own(kind):
    cases = choose((kind,), None, ())
    assert {case.kind for case in cases} == {kind}
    assert set(cases) <= set(SETS[DEFAULT_SET[kind]])


@pytest.mark.parametrize("name", SETS)
def test_names_are_unique_within_a_kind(name):
    names = [(case.kind, case.name) for case in SETS[name]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("kind", "text", "case", "name", "operations", "size"),
    [
        ("gemm", "2,3,4", Case("gemm", (2, 3, 4)), "2x3x4", 48, 8 + 12 + 24),
        ("matmul", "5,2,3,4", Case("matmul", (5, 2, 3, 4)), "5x2x3x4", 240, 5 * (8 + 12 + 24)),
        ("linear", "2,3,4", Case("linear", (2, 3, 4)), "2x3x4", 48, 32 + 12 + 24),
        (
            "conv",
            "8,4,6,3,2,2",
            Case("conv", (8, 4, 6, 3, 2, 2)),
            "3x3 2 groups 8x8x4->6 / 2",
            2 * 16 * 6 * 2 * 9,
            64 * 4 + 16 * 6 + 6 * 2 * 9,
        ),
        (
            "conv",
            "8,4,4,5,1,4",
            Case("conv", (8, 4, 4, 5, 1, 4)),
            "5x5 depthwise 8x8x4",
            2 * 64 * 4 * 25,
            64 * 4 + 64 * 4 + 4 * 25,
        ),
        ("conv", "8,4,6,1", Case("conv", (8, 4, 6, 1, 1, 1)), "1x1 8x8x4->6", 2 * 64 * 24, 664),
        (
            "int4",
            "2,3,40",
            Case("int4", (2, 3, 40)),
            "2x3x40",
            480,
            4 * 80 + 3 * (20 + 4 * 2) + 24,
        ),
        ("bf16", "2,3,4", Case("bf16", (2, 3, 4)), "2x3x4", 48, 32 + 24 + 24),
        ("float32", "2,3,4", Case("float32", (2, 3, 4)), "2x3x4", 48, 32 + 48 + 24),
        ("quantize", "7,5@1", Case("quantize", (7, 5), 1), "7x5 axis 1", 0, 175),
        ("quantize", "9", Case("quantize", (9,)), "9", 0, 45),
    ],
)
def test_a_shape_of_the_command_line(kind, text, case, name, operations, size):
    found = choose((kind,), None, (text,))
    assert found == [case]
    assert (case.name, case.operations, case.bytes) == (name, operations, size)


@pytest.mark.parametrize(
    ("kinds", "chosen", "shapes", "said"),
    [
        (("gemm",), "vgg", (), "found 'vgg', wanted one of transformer"),
        (("conv",), "square", (), "has no conv in it; those that have: resnet50, mobilenet"),
        (("gemm",), None, ("1,2",), "found '1,2', wanted M,N,K"),
        (("gemm",), None, ("1,2,x",), "found '1,2,x', wanted M,N,K"),
        (("gemm",), None, ("1,2,0",), "found '1,2,0', wanted M,N,K"),
        (("conv",), None, ("8,4,6",), "wanted SIZE,CHANNELS"),
        (("conv",), None, ("8,4,6,3,1,3",), "is no convolution"),
        (("quantize",), None, ("8,4@2",), "found axis '2', wanted 0 to 1"),
        (("quantize",), None, ("8,4@x",), "found axis 'x'"),
        (KINDS, None, ("1,2,3",), "needs one kind of work"),
        (("gemm",), "square", ("1,2,3",), "no --set"),
    ],
)
def test_what_does_not_fit_is_refused(kinds, chosen, shapes, said):
    with pytest.raises(ValueError, match=said):
        choose(kinds, chosen, shapes)


SMALL = [
    Case("gemm", (5, 33, 17)),
    Case("matmul", (2, 5, 33, 17)),
    Case("linear", (5, 33, 17)),
    Case("int4", (5, 33, 72)),
    Case("bf16", (5, 33, 17)),
    Case("float32", (5, 33, 17)),
    Case("conv", (9, 3, 8, 7, 2, 1)),
    Case("conv", (6, 8, 8, 3, 1, 8)),
    Case("conv", (6, 8, 4, 3, 1, 2)),
    Case("conv", (5, 3, 4, 1, 1, 1)),
    Case("quantize", (7, 5)),
    Case("quantize", (7, 5), 0),
    Case("quantize", (7, 5), 1),
]


@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c.kind} {c.name}")
@pytest.mark.usefixtures("isa")
def test_kernels_give_the_right_answer(case):
    made = work.make(case)
    call = made.prepare()
    answer = call()
    made.check(answer, case.name)
    assert call() is answer
    assert answer.shape == made.right.shape
    assert np.ptp(answer.astype(float)) > 0


@pytest.mark.parametrize("case", SMALL, ids=lambda c: f"{c.kind} {c.name}")
def test_a_wrong_answer_is_not_timed(case):
    made = work.make(case)
    wrong = made.right.copy()
    wrong.flat[3] += 1
    with pytest.raises(ArithmeticError, match=rf"this: 1 of {wrong.size} values are wrong"):
        made.check(wrong, "this")


def test_the_set_in_use_is_what_packs():
    made = work.make(SMALL[0])
    before = pc.isa()
    try:
        for name in pc.available_isas():
            pc.use_isa(name)
            made.check(made.prepare()(), name)
    finally:
        pc.use_isa(before)
