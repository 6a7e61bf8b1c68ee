"""Does what an installed wheel must do: kernels on every set, a model compressed and run.

python tools/ci/smoke.py     in an environment that has the wheel, away from the checkout
"""

from __future__ import annotations

import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

import pycompress as pc


def write_model(path: Path) -> None:
    """Write a model of two layers."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w0", (64, 96)), ("w1", (96, 10)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w1"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 64])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, "smoke", [x], [y], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def main() -> int:
    """Return 0 when kernels and models give what they must."""
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (5, 70)).astype(np.uint8)
    w = rng.integers(-127, 128, (70, 33)).astype(np.int8)
    wanted = a.astype(np.int32) @ w.astype(np.int32)
    for isa in pc.available_isas():
        pc.use_isa(isa)
        np.testing.assert_array_equal(pc.qgemm(a, pc.pack(w)), wanted)
    pc.use_isa(pc.available_isas()[0])
    with tempfile.TemporaryDirectory() as folder:
        model, compressed = Path(folder) / "m.onnx", Path(folder) / "m.int8.onnx"
        write_model(model)
        pc.compress(model, compressed)
        x = rng.normal(size=(7, 64)).astype(np.float32)
        before, after = (pc.InferenceSession(p).run(None, {"x": x})[0] for p in (model, compressed))
    cosine = float(np.sum(before * after) / np.linalg.norm(before) / np.linalg.norm(after))
    sets = ", ".join(pc.available_isas())
    sys.stdout.write(
        f"pycompress {version('pycompress')} on {platform.machine()}: {sets}; "
        f"a compressed model's cosine with its original is {cosine:.5f}\n"
    )
    return 0 if cosine > 0.999 and "onnxruntime" not in sys.modules else 1


if __name__ == "__main__":
    sys.exit(main())
