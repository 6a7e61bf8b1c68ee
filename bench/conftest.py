"""Fixtures of the suites: one thread, every instruction set, onnxruntime as the peer."""

import numpy as np
import pytest
from onnx import helper

import pycompress


@pytest.fixture(autouse=True)
def one_thread():
    before = pycompress.get_num_threads()
    pycompress.set_num_threads(1)
    yield
    pycompress.set_num_threads(before)


@pytest.fixture(params=pycompress.available_isas())
def isa(request):
    before = pycompress.isa()
    pycompress.use_isa(request.param)
    yield request.param
    pycompress.use_isa(before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def peer():
    """A function that makes a callable of one ONNX node, run by onnxruntime on one thread."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def session(node, inputs, constants):
        """`inputs`, `constants`: arrays by the names that the node reads; its output is `y`."""
        kinds = {k: helper.np_dtype_to_tensor_dtype(v.dtype) for k, v in inputs.items()}
        values = [helper.make_tensor_value_info(k, kinds[k], v.shape) for k, v in inputs.items()]
        tensors = [
            helper.make_tensor(
                k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape, v.tobytes(), raw=True
            )
            for k, v in constants.items()
        ]
        result = helper.make_empty_tensor_value_info("y")
        graph = helper.make_graph([node], "peer", values, [result], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        made = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return lambda: made.run(None, inputs)[0]

    return session
