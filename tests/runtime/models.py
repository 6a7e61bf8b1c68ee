"""Small models, made by hand, and what onnxruntime says about them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
UINT8, INT8, INT32 = onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.INT32


class Model:
    """Collects nodes and constants; names are made up where none is given."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def input(self, name, shape, element=FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def const(self, array, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape, scale=None):
        scale = scale or 1.0 / np.sqrt(np.prod(shape[1:]) or 1.0)
        return self.const((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def node(self, op, *inputs, outputs=1, domain="", **attrs):
        names = [f"{op.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, names, name, domain=domain, **attrs))
        return names[0] if outputs == 1 else names

    def output(self, name, element=FLOAT, shape=None):
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def batch_norm(self, x, channels):
        scale = self.const(self.rng.uniform(0.5, 1.5, channels).astype(np.float32))
        bias = self.const(self.rng.standard_normal(channels).astype(np.float32))
        mean = self.const(self.rng.standard_normal(channels).astype(np.float32) * 0.1)
        var = self.const(self.rng.uniform(0.5, 1.5, channels).astype(np.float32))
        return self.node("BatchNormalization", x, scale, bias, mean, var)

    def quantize(self, x, scale, zero, dtype=np.uint8):
        return self.node(
            "QuantizeLinear", x, self.const(np.float32(scale)), self.const(dtype(zero))
        )

    def dequantize(self, x, scale, zero, dtype=np.uint8):
        return self.node(
            "DequantizeLinear", x, self.const(np.float32(scale)), self.const(dtype(zero))
        )

    def quantized(self, x, scale, zero, dtype=np.uint8):
        """Quantize and dequantize, as a quantizer writes it around a tensor."""
        return self.dequantize(self.quantize(x, scale, zero, dtype), scale, zero, dtype)

    def integer_weights(self, *shape, axis=0, dtype=np.int8):
        """Per-channel symmetric weights behind a DequantizeLinear; returns it and the scales."""
        w = self.rng.integers(-127, 128, shape).astype(dtype)
        scale = self.rng.uniform(0.002, 0.01, shape[axis]).astype(np.float32)
        zero = np.zeros(shape[axis], dtype)
        inputs = (self.const(w), self.const(scale), self.const(zero))
        return self.node("DequantizeLinear", *inputs, axis=axis), scale

    def integer_bias(self, x_scale, w_scale):
        """An int32 bias in units of the sums, behind a DequantizeLinear."""
        q = self.rng.integers(-2000, 2000, w_scale.shape).astype(np.int32)
        scale = (np.float32(x_scale) * w_scale).astype(np.float32)
        zero = np.zeros(w_scale.shape, np.int32)
        return self.node(
            "DequantizeLinear", self.const(q), self.const(scale), self.const(zero), axis=0
        )

    def proto(self, opset=18, ir_version=9, domains=()):
        graph = helper.make_graph(self.nodes, "model", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def reference(proto, feeds):
    """Return onnxruntime's answers, computed without its own graph optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def assert_close(found, wanted, tolerance=1e-4):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_within_one(found, wanted, rate=0.01):
    """Integers that differ by one at most, and by one at few places (rounding of near ties)."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    off = np.abs(found.astype(np.int32) - wanted.astype(np.int32))
    assert off.max(initial=0) <= 1
    assert (off > 0).mean() <= rate
