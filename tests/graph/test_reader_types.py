"""A model whose types and shapes are all worked out here is not taken to onnx, and reads the same."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from pycompress.readers import read
from pycompress.readers.onnx import model as reader

MODELS = {
    "qdq": """(float[N,3,8,8] x) => (float[N,4] y)
        <float s = {0.1}, uint8 z = {128}, int64[2] shape = {0, -1}> {
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        c = Conv<pads = [1,1,1,1]>(d, w)
        r = Relu(c)
        m = GlobalAveragePool(r)
        f = Flatten(m)
        y = Reshape(f, shape)
    }""",
    "dynamic": """(float[N,T,16] x) => (float[N,T,4] y)
        <int8 wz = {0}, float s = {0.1}> {
        q, qs, qz = DynamicQuantizeLinear(x)
        i = MatMulInteger(q, w, qz, wz)
        f = Cast<to = 1>(i)
        a = Mul(qs, s)
        y = Mul(f, a)
    }""",
    "choice": """(int64[A,B] x) => (float[A,B] y) <int64 zero = {0}, float one = {1}, float two = {2}> {
        pos = Greater(x, zero)
        y = Where(pos, one, two)
    }""",
}


WEIGHTS = {
    "qdq": {"w": np.zeros((4, 3, 3, 3), np.float32)},
    "dynamic": {"w": np.zeros((16, 4), np.int8)},
}


def model(key):
    text = f'<ir_version: 9, opset_import: ["" : 18]> agraph {MODELS[key]}'
    proto = parser.parse_model(text)
    arrays = [numpy_helper.from_array(a, name) for name, a in WEIGHTS.get(key, {}).items()]
    proto.graph.initializer.extend(arrays)
    return proto


@pytest.mark.parametrize("key", MODELS)
def test_types_and_shapes_are_those_of_onnx(key, monkeypatch):
    proto = model(key)

    def known(graph):
        return {v.name: (v.dtype, v.shape) for v in graph.values()}

    with monkeypatch.context() as patch:
        patch.setattr(reader, "_KNOWN", frozenset())
        wanted = known(read(proto))
    monkeypatch.delattr(reader, "with_types")
    assert known(read(proto)) == wanted


def test_an_operator_without_a_rule_is_taken_to_onnx(monkeypatch):
    proto = model("choice")
    proto.graph.node[1].output[0] = "picked"
    proto.graph.node.append(onnx.helper.make_node("NonZero", ["pos"], ["where"]))
    proto.graph.node.append(onnx.helper.make_node("Identity", ["picked"], ["y"]))
    monkeypatch.delattr(reader, "with_types")
    with pytest.raises(NameError, match="with_types"):
        read(proto)
