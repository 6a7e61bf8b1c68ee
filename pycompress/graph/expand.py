"""Preset nodes -> standard ONNX: what the export writes and every runtime can run.

- A `Quantized` constant becomes DequantizeLinear of its integers.
- `conv`, `conv_transpose`, `linear`, `embedding` become Conv, ConvTranspose, MatMul or Gemm,
  Gather; then Add for the residual, then the activation's operators.
- `linear` with dynamic ranges and integer weights becomes DynamicQuantizeLinear, MatMulInteger,
  Cast, Mul, Add; linears that read one value share one DynamicQuantizeLinear.
- `conv` with dynamic ranges stays float, since ConvInteger has one scale for all channels and is
  slow: the wish is written into the node's metadata (`DYNAMIC`), and other runtimes run it in float
  from a small file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.activations import Activation, Speller, spell
from pycompress.graph.ir import Graph, Node, Quantized, Value
from pycompress.graph.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

DYNAMIC = "pycompress.dynamic"
"""Key of a node's metadata_props: "1" = quantize its input at run time."""

_FLOAT_TYPE = 1  # TensorProto.FLOAT


def expand(graph: Graph) -> Graph:
    """Return the same model in standard operators only, without `Quantized` constants."""
    result = graph.copy()
    _Expander(Names(result)).graph(result)
    return result


class _Expander:
    def __init__(self, names: Names) -> None:
        self.names = names
        self.quantized_inputs: dict[Value, tuple[Value, Value, Value]] = {}
        self.floats: dict[Value, Value] = {}
        self.nodes: list[Node] = []

    def graph(self, graph: Graph) -> None:
        outer = self.nodes, self.quantized_inputs, self.floats
        # A subgraph may use what was made outside of it, never the other way round.
        self.nodes, self.quantized_inputs, self.floats = [], dict(outer[1]), dict(outer[2])
        for node in graph.nodes:
            for sub in node.subgraphs():
                self.graph(sub)
            if node.is_preset():
                _FORMATS[node.op](self, node)
            else:
                node.inputs = [None if v is None else self.dequantized(v) for v in node.inputs]
                self.nodes.append(node)
        graph.outputs = [self.dequantized(v) for v in graph.outputs]
        graph.nodes = self.nodes
        self.nodes, self.quantized_inputs, self.floats = outer

    # -- building blocks

    def constant(self, name: str, array: np.ndarray) -> Value:
        return Value(self.names.fresh(name), array.dtype, array.shape, array)

    def add(self, op: str, inputs: list[Value | None], outputs: list[Value], **attrs: Any) -> Node:  # noqa: ANN401
        name = self.names.fresh(f"{outputs[0].name}_{op}")
        node = Node(op, inputs, outputs, dict(attrs), name=name)
        self.nodes.append(node)
        return node

    def result(self, op: str, inputs: list[Value | None], stem: str, **attrs: Any) -> Value:  # noqa: ANN401
        out = Value(self.names.fresh(f"{stem}_{op.lower()}"), np.dtype(np.float32))
        self.add(op, inputs, [out], **attrs)
        return out

    def dequantized(self, value: Value) -> Value:
        """Return the float value of a quantized constant; any other value is itself."""
        if not isinstance(value.const, Quantized):
            return value
        if value not in self.floats:
            q = value.const
            inputs: list[Value | None] = [
                self.constant(f"{value.name}_quantized", q.data),
                self.constant(f"{value.name}_scale", q.scale),
            ]
            # onnxruntime 1.23 wants the zero points of an axis written out, zeros or not.
            if q.axis is not None or q.zero_point.any():
                inputs.append(self.constant(f"{value.name}_zero_point", q.zero_point))
            out = Value(value.name, q.scale.dtype, q.shape)
            self.add(
                "DequantizeLinear", inputs, [out], **({} if q.axis is None else {"axis": q.axis})
            )
            self.floats[value] = out
        return self.floats[value]

    def finish(self, node: Node, value: Value, residual: Value | None) -> None:
        """Append residual and activation; let the last node make the preset node's output."""
        stem = node.output.name
        if residual is not None:
            value = self.result("Add", [value, self.dequantized(residual)], stem)
        if node.attrs.get("activation"):
            speller = Speller(self.names.fresh, stem, node.output.dtype or np.dtype(np.float32))
            attrs = node.attrs
            activation = Activation(
                attrs["activation"], attrs.get("alpha", 0.0), attrs.get("beta", 0.0)
            )
            value = spell(activation, value, speller)
            self.nodes += speller.nodes
        last = value.producer
        assert last is not None
        last.outputs[0] = node.output
        node.output.producer = last
        if node.name:
            last.name = node.name if last.name == node.name else last.name

    # -- one function per format

    def conv(self, node: Node) -> None:
        x, w, bias, residual = (node.input(i) for i in range(4))
        names = ("strides", "pads", "dilations", "group", "auto_pad", "output_padding")
        attrs = {k: node.attrs[k] for k in names if k in node.attrs}
        if attrs.get("auto_pad", "NOTSET") != "NOTSET":
            attrs.pop("pads", None)
        inputs = [None if v is None else self.dequantized(v) for v in (x, w, bias)]
        op = "Conv" if node.op == "conv" else "ConvTranspose"
        value = self.result(op, inputs[: 2 + (bias is not None)], node.output.name, **attrs)
        assert value.producer is not None
        value.producer.name = self.names.fresh(node.name or f"{node.output.name}_{op}")
        value.producer.metadata = dict(node.metadata)
        if node.attrs.get("dynamic"):
            value.producer.metadata[DYNAMIC] = "1"
        self.finish(node, value, residual)

    def linear(self, node: Node) -> None:
        x, w, bias, residual = (node.input(i) for i in range(4))
        assert x is not None
        assert w is not None
        stem = node.output.name
        if node.attrs.get("dynamic") and isinstance(w.const, Quantized):
            value = self.integer_product(x, w, stem)
        elif bias is not None and x.shape is not None and len(x.shape) == 2:
            value = self.result("Gemm", [*map(self.dequantized, (x, w, bias))], stem)
            bias = None
        else:
            value = self.result("MatMul", [x, self.dequantized(w)], stem)
        if bias is not None:
            value = self.result("Add", [value, self.dequantized(bias)], stem)
        self.finish(node, value, residual)

    def integer_product(self, x: Value, w: Value, stem: str) -> Value:
        """Append x·W with x quantized as ONNX DynamicQuantizeLinear does, W as integers."""
        q = w.const
        assert isinstance(q, Quantized)
        if x not in self.quantized_inputs:
            stems = ("quantized", "scale", "zero_point")
            made = tuple(Value(self.names.fresh(f"{x.name}_{s}")) for s in stems)
            self.add("DynamicQuantizeLinear", [x], list(made))
            self.quantized_inputs[x] = (made[0], made[1], made[2])
        x_data, x_scale, x_zero = self.quantized_inputs[x]
        inputs: list[Value | None] = [x_data, self.constant(f"{w.name}_quantized", q.data), x_zero]
        if q.zero_point.any():
            inputs.append(self.constant(f"{w.name}_zero_point", q.zero_point))
        sums = self.result("MatMulInteger", inputs, stem)
        w_scale = self.constant(f"{w.name}_scale", q.scale)
        scale = self.result("Mul", [x_scale, w_scale], f"{stem}_scale")
        return self.result("Mul", [self.result("Cast", [sums], stem, to=_FLOAT_TYPE), scale], stem)

    def embedding(self, node: Node) -> None:
        table, indices = node.inputs
        assert table is not None
        value = self.result("Gather", [self.dequantized(table), indices], node.output.name, axis=0)
        self.finish(node, value, None)

    def activation(self, node: Node) -> None:
        assert node.inputs[0] is not None
        self.finish(node, node.inputs[0], None)


_FORMATS: dict[str, Callable[[_Expander, Node], None]] = {
    "conv": _Expander.conv,
    "conv_transpose": _Expander.conv,
    "linear": _Expander.linear,
    "embedding": _Expander.embedding,
    "activation": _Expander.activation,
}
