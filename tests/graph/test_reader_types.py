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
    "recurrent": """(float[T,B,3] x) => (float[T,1,B,2] y, float[1,B,2] last, float[2] state)
        <int64[1] two = {2}> {
        y, last, cell = LSTM<hidden_size = 2>(x, w, r)
        state = ConstantOfShape<value = float {0}>(two)
    }""",
    "positions": """(float[B,T] x) => (float[T] y) <int64 zero = {0}, int64 one = {1}> {
        sizes = Shape(x)
        t = Gather(sizes, one)
        places = Range(zero, t, one)
        y = Cast<to = 1>(places)
    }""",
    "branches": """(float[B,4] x, bool c) => (float[B,D] y) {
        y = If (c) <
            then_branch = a () => (float[B,4] p) { p = Relu(x) },
            else_branch = b () => (float[B,4] q) { q = Neg(x) }
        >
    }""",
    "branches of two shapes": """(float[B,4] x, bool c) => (float[D,E] y) {
        z = If (c) <
            then_branch = a () => (float[B,4] p) { p = Relu(x) },
            else_branch = b () => (float[4] q) { q = ReduceMax<keepdims = 0>(x, axes) }
        >
        w = Relu(z)
        shape = Shape(w)
        rank = Size(shape)
        y = Identity(x)
    }""",
    "unknown padding": """(float[B,4] x, int64[4] pads) => (float[C,D] y, int64[C] z) {
        padded = Pad(x, pads)
        y = Relu(padded)
        z = ArgMax<axis = 1, keepdims = 0>(padded)
    }""",
    "two names": """(float[A] a, float[B] b) => (float[C] y) {
        sum = Add(a, b)
        y = Relu(sum)
    }""",
}
OLD = {
    "axes and bounds": """(float[B,3,4] x) => (float[B,4] y) {
        mean = ReduceMean<axes = [1]>(x)
        flat = Squeeze<axes = [1]>(mean)
        low = Clip<min = 0.0>(flat)
        y = Softmax<axis = 1>(low)
    }""",
    "softmax of a matrix": """(float[B,3,4] x) => (float[B,3,4] y) { y = Softmax<axis = 1>(x) }""",
}


WEIGHTS = {
    "qdq": {"w": np.zeros((4, 3, 3, 3), np.float32)},
    "dynamic": {"w": np.zeros((16, 4), np.int8)},
    "recurrent": {"w": np.zeros((1, 8, 3), np.float32), "r": np.zeros((1, 8, 2), np.float32)},
    "branches of two shapes": {"axes": np.int64([0])},
}


def model(key):
    opset, body = (18, MODELS[key]) if key in MODELS else (11, OLD[key])
    text = f'<ir_version: 9, opset_import: ["" : {opset}]> agraph {body}'
    proto = parser.parse_model(text)
    arrays = [numpy_helper.from_array(a, name) for name, a in WEIGHTS.get(key, {}).items()]
    proto.graph.initializer.extend(arrays)
    return proto


def plain(shape):
    """Return a shape without the names that inference makes up."""
    return shape and tuple("?" if "unk__" in str(d) else d for d in shape)


@pytest.mark.parametrize("key", [*MODELS, *OLD])
def test_types_and_shapes_are_those_of_onnx(key, monkeypatch):
    proto = model(key)

    def known(graph):
        return {v.name: (v.dtype, plain(v.shape)) for v in graph.values()}

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


def test_what_a_rule_does_not_say_is_taken_to_onnx(monkeypatch):
    text = """<ir_version: 9, opset_import: ["" : 18]> agraph (float[1,1,9] x) => (float[1,1,D] y) {
        pooled = MaxPool<kernel_shape = [2], strides = [2], ceil_mode = 1>(x)
        y = Relu(pooled)
    }"""
    proto = parser.parse_model(text)
    monkeypatch.delattr(reader, "with_types")
    with pytest.raises(NameError, match="with_types"):
        read(proto)
