"""What importing the package and building a session load."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import pycompress

DRAWING = ("rich", "typer", "matplotlib")


def modules_after(code, folder):
    """Names of the top packages that a fresh interpreter holds after running `code`."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    environment = os.environ | {"PYTHONPATH": str(Path(pycompress.__file__).parents[1])}
    command = [sys.executable, "-c", f"{code}\n{show}"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=folder, env=environment
    )
    return set(done.stdout.split())


@pytest.fixture
def model(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    w = helper.make_tensor("w", TensorProto.FLOAT, [4, 3], [0.5] * 12)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "small", [x], [y], [w])
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_importing_the_package_loads_numpy_at_most(tmp_path):
    loaded = modules_after("import pycompress", tmp_path)
    assert loaded.isdisjoint({*DRAWING, "onnx", "google", "ml_dtypes"})


def test_a_kernel_needs_no_model_package(tmp_path):
    loaded = modules_after("import pycompress; pycompress.quantize", tmp_path)
    assert loaded.isdisjoint({*DRAWING, "onnx"})
    assert "numpy" in loaded


def test_a_session_draws_nothing(model):
    code = f"import pycompress; pycompress.InferenceSession({str(model)!r})"
    loaded = modules_after(code, model.parent)
    assert loaded.isdisjoint({*DRAWING, "onnxruntime"})
    assert "onnx" in loaded


def test_opening_a_plan_loads_nothing_that_makes_one(model, tmp_path):
    plan = tmp_path / "small.plan"
    pycompress.InferenceSession(model).save(plan)
    loaded = modules_after(
        f"import pycompress; pycompress.InferenceSession({str(plan)!r})", tmp_path
    )
    assert loaded.isdisjoint({*DRAWING, "onnx", "google", "ml_dtypes", "onnxruntime", "secrets"})
