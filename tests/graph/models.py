"""Small models made on the spot, and the check that a rewrite is exact."""

import math

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from pycompress.graph import export, simplify, to_formats
from pycompress.readers import read

INT64 = TensorProto.INT64


class Model:
    """Collects nodes and constants; values are known by their names."""

    def __init__(self, opset=17, seed=0, domains=()):
        self.opsets = [helper.make_opsetid("", opset)]
        self.opsets += [helper.make_opsetid(domain, 1) for domain in domains]
        self.rng = np.random.default_rng(seed)
        self.nodes, self.inputs, self.outputs, self.constants = [], [], [], []
        self.feeds = {}

    def _name(self, stem):
        return f"{stem}_{len(self.nodes) + len(self.constants)}"

    def input(self, name, shape, feed=None, kind=TensorProto.FLOAT):
        """Declare an input; the feed is random where none is given, names count as 2."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        if feed is None:
            feed = self.random(*(d if isinstance(d, int) else 2 for d in shape))
        self.feeds[name] = feed
        return name

    def random(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def const(self, array, name=None):
        name = name or self._name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape):
        """Random weights that keep sums near one."""
        return self.const(self.random(*shape) / np.float32(math.sqrt(math.prod(shape[1:]) or 1)))

    def number(self, value):
        return self.const(np.float32(value))

    def node(self, op, *inputs, outputs=1, domain="", name="", **attrs):
        names = [self._name(op.lower()) + (f"_{i}" if i else "") for i in range(outputs)]
        made = helper.make_node(op, list(inputs), names, domain=domain, name=name, **attrs)
        self.nodes.append(made)
        return names[0] if outputs == 1 else names

    def output(self, *names, kind=TensorProto.FLOAT):
        self.outputs += [helper.make_tensor_value_info(n, kind, None) for n in names]

    def proto(self):
        graph = helper.make_graph(self.nodes, "g", self.inputs, self.outputs, self.constants)
        version = helper.find_min_ir_version_for(self.opsets, ignore_unknown=True)
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=version)


def run(proto, feeds):
    """What ONNX Runtime answers, each node as it is written."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def assert_same(found, wanted, rtol=1e-5, atol=1e-5):
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def rewritten(model, **tolerance):
    """Bring a model into preset formats, and check on the way:

    the written model passes the ONNX checker, answers as the original does, and read again
    takes the same formats.
    """
    proto = model.proto() if isinstance(model, Model) else model
    rewrite = to_formats(simplify(read(proto)))
    written = export(rewrite.graph)
    onnx.checker.check_model(written)
    assert_same(run(written, model.feeds), run(proto, model.feeds), **tolerance)
    again = to_formats(simplify(read(written)))
    assert sorted(ops(again.graph)) == sorted(ops(rewrite.graph))
    return rewrite


def ops(graph):
    """The operators of a graph in order, preset formats with their activation."""
    return [
        node.op + (f" {node.attrs['activation']}" if node.attrs.get("activation") else "")
        for node in graph.nodes
    ]


def reason(rewrite, op):
    """Why the node of an operator took no format."""
    (found,) = (d.reason for d in rewrite.decisions if d.op == op and d.format is None)
    return found
