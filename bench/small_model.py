"""Models of a few nodes, for timing one operator in two engines."""

import numpy as np
from onnx import helper


def small_model(nodes, inputs, constants, result):
    """Bytes of a model; `inputs` and `constants` are arrays by name, `y` has the type `result`."""
    kinds = {
        k: helper.np_dtype_to_tensor_dtype(v.dtype) for k, v in {**inputs, **constants}.items()
    }
    values = [helper.make_tensor_value_info(k, kinds[k], v.shape) for k, v in inputs.items()]
    tensors = [
        helper.make_tensor(k, kinds[k], v.shape, v.tobytes(), raw=True)
        for k, v in constants.items()
    ]
    y = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(result)), None)
    graph = helper.make_graph(nodes, "small", values, [y], tensors)
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
