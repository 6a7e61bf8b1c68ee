"""Preset nodes -> standard ONNX: what the export writes and every runtime can run.

- A `Quantized` constant becomes DequantizeLinear of its integers, one in bfloat16 a Cast of it.
- A layer with `bf16` gets its input by way of two Casts, so that every runtime rounds it.
- `conv`, `conv_transpose`, `linear`, `embedding` become Conv, ConvTranspose, MatMul or Gemm,
  Gather; then Add for the residual, then the activation's operators.
- `linear` with dynamic ranges and integer weights becomes DynamicQuantizeLinear, MatMulInteger,
  Cast, Mul, Add; linears that read one value share one DynamicQuantizeLinear. A range for each row
  is a wish in the node's metadata (`DYNAMIC`): the standard has one range for all.
- `recurrent` becomes LSTM, GRU or RNN.
- `conv` with dynamic ranges stays float, since ConvInteger has one scale for all channels and is
  slow, and so do a `linear` with ``float_elsewhere`` and a `recurrent`: the wish is written into
  the metadata, and other runtimes run it in float from a small file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.activations import Activation, Speller, spell
from pycompress.graph.ir import Graph, Node, Quantized, Value, in_halves
from pycompress.graph.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

DYNAMIC = "pycompress.dynamic"
"""Key of a node's metadata_props: "1" = quantize its input at run time; "rows" = each row of it by
its own range, where other runtimes take one range for all."""

_FLOAT, _BFLOAT16 = 1, 16  # of TensorProto


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
        self.roundings: dict[Value, Value] = {}
        self.integers: dict[Value, tuple[Value, Value, Value | None]] = {}
        self.zeros: dict[tuple[np.dtype[Any], int], Value] = {}
        self.nodes: list[Node] = []
        self.named: set[str] = set()

    def graph(self, graph: Graph) -> None:
        outer = self.nodes, self.quantized_inputs, self.floats, self.roundings
        # A subgraph may use what was made outside of it, never the other way round.
        self.nodes, self.quantized_inputs, self.floats = [], dict(outer[1]), dict(outer[2])
        self.roundings = dict(outer[3])
        self.named |= {node.name for node in graph.nodes}
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
        self.nodes, self.quantized_inputs, self.floats, self.roundings = outer

    # -- building blocks

    def constant(self, name: str, array: np.ndarray) -> Value:
        return Value(self.names.fresh(name), array.dtype, array.shape, array)

    def add(
        self,
        op: str,
        inputs: list[Value | None],
        outputs: list[Value],
        name: str = "",
        **attrs: Any,  # noqa: ANN401
    ) -> Node:
        name = name or self.names.fresh(f"{outputs[0].name}_{op}")
        node = Node(op, inputs, outputs, attrs, name=name)
        self.nodes.append(node)
        return node

    def like(self, value: Value) -> str:
        """Return the name of a value for the node that makes it, unless a node has it already."""
        name = self.names.fresh(value.name) if value.name in self.named else value.name
        self.named.add(name)
        return name

    def result(self, op: str, inputs: list[Value | None], stem: str, **attrs: Any) -> Value:  # noqa: ANN401
        out = Value(self.names.fresh(f"{stem}_{op.lower()}"), np.dtype(np.float32))
        self.add(op, inputs, [out], **attrs)
        return out

    def parts(self, value: Value) -> tuple[Value, Value, Value | None]:
        """Return data, scale and zero point (None where all are zero) of a quantized constant."""
        if value not in self.integers:
            q = value.const
            assert isinstance(q, Quantized)
            data = self.constant(f"{value.name}_quantized", q.data)
            scale = self.constant(f"{value.name}_scale", q.scale)
            zeros = q.zero_point.any()
            zero = self.constant(f"{value.name}_zero_point", q.zero_point) if zeros else None
            self.integers[value] = data, scale, zero
        return self.integers[value]

    def no_zero_point(self, q: Quantized) -> Value:
        """Return a zero point of zeros per channel; all constants of one type and length share it.

        The standard lets it be left out; onnxruntime 1.23 wants it, zeros or not.
        """
        key = q.zero_point.dtype, q.zero_point.size
        if key not in self.zeros:
            self.zeros[key] = self.constant(f"zeros_{key[0].name}_{key[1]}", q.zero_point)
        return self.zeros[key]

    def dequantized(self, value: Value) -> Value:
        """Return the float value of a constant in integers or halves; any other is itself."""
        if in_halves(value.const) and value.dtype == np.float32:
            return self.widened(value)
        if not isinstance(value.const, Quantized):
            return value
        if value not in self.floats:
            q = value.const
            data, scale, zero = self.parts(value)
            if zero is None and q.axis is not None:
                zero = self.no_zero_point(q)
            inputs = [data, scale, *([] if zero is None else [zero])]
            out = Value(value.name, q.scale.dtype, q.shape)
            attrs = {} if q.axis is None else {"axis": q.axis}
            self.add("DequantizeLinear", [*inputs], [out], self.like(out), **attrs)
            self.floats[value] = out
        return self.floats[value]

    def widened(self, value: Value) -> Value:
        """Return the float32 value of a constant in bfloat16."""
        if value not in self.floats:
            halves = self.constant(f"{value.name}_bfloat16", value.array())
            out = Value(value.name, value.dtype, value.shape)
            self.add("Cast", [halves], [out], self.like(out), to=_FLOAT)
            self.floats[value] = out
        return self.floats[value]

    def rounded(self, x: Value) -> Value:
        """Return a float32 value whose elements went through bfloat16; readers of it share them."""
        if x not in self.roundings:
            halves = Value(self.names.fresh(f"{x.name}_bfloat16"), None, x.shape)
            self.add("Cast", [self.dequantized(x)], [halves], to=_BFLOAT16)
            out = Value(self.names.fresh(f"{x.name}_rounded"), x.dtype, x.shape)
            self.add("Cast", [halves], [out], to=_FLOAT)
            self.roundings[x] = out
        return self.roundings[x]

    def product(self, node: Node, op: str, inputs: list[Value | None], **attrs: Any) -> Value:  # noqa: ANN401
        """Append the operator that stands for a preset node, under the node's name."""
        value = self.result(op, inputs, node.output.name, **attrs)
        assert value.producer is not None
        value.producer.name = node.name or value.producer.name
        value.producer.metadata = dict(node.metadata)
        return value

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

    # -- one function per format

    def conv(self, node: Node) -> None:
        x, w, bias, residual = (node.input(i) for i in range(4))
        attrs = {k: node.attrs[k] for k in _WINDOW if k in node.attrs and not _is_default(node, k)}
        if attrs.get("auto_pad", "NOTSET") != "NOTSET":
            attrs.pop("pads", None)
        x = self.rounded(x) if x is not None and node.attrs.get("bf16") else x
        inputs = [None if v is None else self.dequantized(v) for v in (x, w, bias)]
        op = "Conv" if node.op == "conv" else "ConvTranspose"
        value = self.product(node, op, inputs, **attrs)
        if node.attrs.get("dynamic") and value.producer is not None:
            value.producer.metadata[DYNAMIC] = "1"
        self.finish(node, value, residual)

    def linear(self, node: Node) -> None:
        x, w, bias, residual = (node.input(i) for i in range(4))
        assert x is not None
        assert w is not None
        x = self.rounded(x) if node.attrs.get("bf16") else x
        dynamic = node.attrs.get("dynamic") and isinstance(w.const, Quantized)
        if dynamic and not node.attrs.get("float_elsewhere"):
            value = self.integer_product(node, x, w)
        elif bias is not None and x.shape is not None and len(x.shape) == 2:
            value = self.product(node, "Gemm", [*map(self.dequantized, (x, w, bias))])
            bias = None
        else:
            value = self.product(node, "MatMul", [x, self.dequantized(w)])
        if dynamic and node.attrs.get("float_elsewhere") and value.producer is not None:
            value.producer.metadata[DYNAMIC] = "rows"
        if bias is not None:
            value = self.result("Add", [value, self.dequantized(bias)], node.output.name)
        self.finish(node, value, residual)

    def integer_product(self, node: Node, x: Value, w: Value) -> Value:
        """Append x·W with x quantized as ONNX DynamicQuantizeLinear does, W as integers."""
        if x not in self.quantized_inputs:
            stems = ("quantized", "scale", "zero_point")
            made = tuple(Value(self.names.fresh(f"{x.name}_{s}")) for s in stems)
            self.add("DynamicQuantizeLinear", [x], list(made))
            self.quantized_inputs[x] = (made[0], made[1], made[2])
        x_data, x_scale, x_zero = self.quantized_inputs[x]
        data, w_scale, w_zero = self.parts(w)
        inputs = [x_data, data, x_zero, *([] if w_zero is None else [w_zero])]
        stem = node.output.name
        product = self.product(node, "MatMulInteger", [*inputs])
        if node.attrs.get("by_row") and product.producer is not None:
            product.producer.metadata[DYNAMIC] = "rows"
        sums = self.result("Cast", [product], stem, to=_FLOAT)
        scale = self.result("Mul", [x_scale, w_scale], f"{stem}_scale")
        return self.result("Mul", [sums, scale], stem)

    def embedding(self, node: Node) -> None:
        table, indices = node.inputs
        assert table is not None
        value = self.product(node, "Gather", [self.dequantized(table), indices], axis=0)
        self.finish(node, value, None)

    def recurrent(self, node: Node) -> None:
        inputs = [None if v is None else self.dequantized(v) for v in node.inputs]
        attrs = {k: v for k, v in node.attrs.items() if k not in {"cell", "dynamic"}}
        made = Node(node.attrs["cell"], inputs, node.outputs, attrs, "", node.name)
        made.metadata = dict(node.metadata)
        if node.attrs.get("dynamic"):
            made.metadata[DYNAMIC] = "1"
        self.nodes.append(made)

    def activation(self, node: Node) -> None:
        assert node.inputs[0] is not None
        self.finish(node, node.inputs[0], None)
        last = node.output.producer
        if last is not None and node.name:
            last.name = node.name


_WINDOW: dict[str, Any] = {
    "strides": {1},
    "pads": {0},
    "dilations": {1},
    "output_padding": {0},
    "group": 1,
    "auto_pad": "NOTSET",
}
"""The attributes of Conv and ConvTranspose with their defaults: a set holds that of every axis."""


def _is_default(node: Node, name: str) -> bool:
    value = node.attrs[name]
    return bool((set(value) if isinstance(value, list | tuple) else value) == _WINDOW[name])


_FORMATS: dict[str, Callable[[_Expander, Node], None]] = {
    "conv": _Expander.conv,
    "conv_transpose": _Expander.conv,
    "linear": _Expander.linear,
    "embedding": _Expander.embedding,
    "recurrent": _Expander.recurrent,
    "activation": _Expander.activation,
}
