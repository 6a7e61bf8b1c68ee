"""ONNX's own backend tests, through `pycompress.backend`."""

import re

import pytest

from tests.onnx_backend import suite
from tests.onnx_backend.coverage import KINDS, cases, run_case

# The reference evaluator is not as quiet as we are.
pytestmark = pytest.mark.filterwarnings("ignore")

globals().update(suite.test_classes())

NATIVE = (
    *("DynamicQuantizeLinear", "QLinearMatMul", "MatMulInteger"),
    *("BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"),
    *("Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "IsNaN", "IsInf"),
)
"""Operators of which every test has to run in the engine."""

NAMES = {case.name for kind in KINDS for case in cases(kind)}


@pytest.mark.parametrize("op", NATIVE)
def test_operators_run_natively(op):
    found = {
        case.name: run_case(case)
        for case in cases("node")
        if any(node.op_type == op for node in case.model.graph.node)
    }
    assert found
    assert found == dict.fromkeys(found, ("native", ""))


@pytest.mark.parametrize("pattern", [p for patterns in suite.EXCLUDED.values() for p in patterns])
def test_nothing_is_excluded_in_vain(pattern):
    """Every pattern names tests that exist: one that was renamed must not stay behind."""
    assert any(re.fullmatch(f"test_(?:{pattern})", name) for name in NAMES)
