"""Runs one operator in the native program and in onnx.reference, for the tests of the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.native import program, run

__all__ = ["Case", "program", "reference", "run"]


def onnx_type(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def reference(op, inputs, attrs=None, *, outputs=1, opset=21):
    """Run one operator in onnx.reference."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, **(attrs or {}))
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(n, onnx_type(a), a.shape)
            for n, a in zip(names, inputs, strict=True)
            if a is not None
        ],
        [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        feeds = {n: a for n, a in zip(names, inputs, strict=True) if a is not None}
        return ReferenceEvaluator(model).run(None, feeds)


@dataclass
class Case:
    """One row of a table of operator tests."""

    op: str
    inputs: list[Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    constants: tuple[int, ...] = ()
    rtol: float = 1e-5
    atol: float = 1e-6
    opset: int = 21

    def __post_init__(self) -> None:
        self.inputs = [None if a is None else np.asarray(a) for a in self.inputs]

    def __str__(self) -> str:
        shapes = ",".join("-" if a is None else f"{a.dtype}{list(a.shape)}" for a in self.inputs)
        attrs = ",".join(
            f"{k}={v}" for k, v in self.attrs.items() if not isinstance(v, onnx.TensorProto)
        )
        return f"{self.op}({shapes};{attrs})".replace(" ", "")

    def check(self, threads=1):
        attrs = {
            k: onnx.numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
            for k, v in self.attrs.items()
        }
        wanted = reference(self.op, self.inputs, self.attrs, outputs=self.outputs, opset=self.opset)
        found = run(
            self.op,
            self.inputs,
            attrs,
            outputs=self.outputs,
            constants=self.constants,
            threads=threads,
        )
        assert len(found) == len(wanted)
        for y, expected in zip(found, map(np.asarray, wanted), strict=True):
            assert y.dtype == expected.dtype
            assert y.shape == expected.shape
            if y.dtype.kind == "f":
                np.testing.assert_allclose(y, expected, rtol=self.rtol, atol=self.atol)
            else:
                np.testing.assert_array_equal(y, expected)
