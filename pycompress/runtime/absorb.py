"""Absorption: what stands between DequantizeLinear and QuantizeLinear becomes integer operators.

    DQ(x) -> conv -> Q   =>  native conv    x_scale x_zero -> y_scale y_zero
    x -> conv -> Q       =>  native conv    float -> y_scale y_zero
    DQ(a) -> Add  -> Q   =>  q_add          (Mul: q_mul; Relu or Clip behind it is fused)
    DQ(x) -> f    -> Q   =>  q_table        f: any element-wise operators with scalar constants
    DQ(x) -> mean -> Q   =>  q_global_average_pool
    DQ(x) -> move        =>  move -> DQ     Reshape, MaxPool, Concat ...: values pass unchanged

The result equals the QDQ graph evaluated in float32, but for the rounding of ties: an integer sum
is exact, and its scales are multiplied into one factor that is rounded once. A value that is read
as integers and as float keeps both forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pycompress.graph.ir import Graph, Node, Quantized, Value, captures
from pycompress.runtime.elements import NAMES
from pycompress.runtime.moves import NATIVE, movement
from pycompress.runtime.params import INT8, Params, node_params
from pycompress.runtime.tables import as_clamp, evaluate, is_scalar_function

if TYPE_CHECKING:
    pass


class Form(NamedTuple):
    """The integer tensor behind a float value."""

    value: Value
    params: Params


def absorb(graph: Graph) -> Graph:
    """Return `graph`, changed: integer operators between its Q and DQ nodes, natively.

    Parameters
    ----------
    graph : Graph
        In preset formats, opset 18 or later.

    Notes
    -----
    ONNX QuantizeLinear and DequantizeLinear (opset 10 and later) with a constant scalar scale and
    zero point, 8 bits. Others stay.
    """
    return _Absorber(graph).run()


class _Absorber:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.forms: dict[Value, Form] = {}
        self.tables: dict[
            Value, tuple[Form, np.ndarray]
        ] = {}  # q_table's result: the tensor it read, and the table
        self.made: dict[tuple[Value, np.dtype[Any], bytes], Value] = {}
        self.done: dict[tuple[Value, Params], Value | None] = {}
        self.nodes: list[Node] = []
        self.readers = graph.consumers()
        self.known: dict[Node, Params | None] = {}  # of the Q and DQ nodes that were looked at
        self.replaced: dict[Value, Value] = {}  # a QuantizeLinear's output: the integers instead
        self.names = {v.name for v in graph.values()}

    def run(self) -> Graph:
        steps = {"DequantizeLinear": self._dequantize, "QuantizeLinear": self._quantize}
        for node in self.graph.nodes:
            self._read_integers(node)
            step = self._pass_through if node.domain else steps.get(node.op, self._pass_through)
            step(node)
        self.graph.nodes = self.nodes
        self.graph.prune()
        return self.graph

    def params(self, node: Node) -> Params | None:
        """Return the parameters of a Q or DQ node; see `node_params`."""
        if node not in self.known:
            self.known[node] = node_params(node)
        return self.known[node]

    # ---- forms -------------------------------------------------------------------------------

    def _dequantize(self, node: Node) -> None:
        self.nodes.append(node)
        params = self.params(node)
        source = node.inputs[0]
        if params is not None and source is not None:
            self.forms[node.output] = Form(source, params)

    def form(self, value: Value | None) -> Form | None:
        """Return the integers behind a float value, a per-tensor quantized constant included."""
        if value is None:
            return None
        if value not in self.forms and isinstance(value.const, Quantized):
            const = value.const
            if const.data.dtype in INT8 and const.scale.size == 1:
                params = Params(
                    np.float32(const.scale.item()), int(const.zero_point.item()), const.data.dtype
                )
                data = Value(
                    self.fresh(f"{value.name}_integers"),
                    const.data.dtype,
                    const.data.shape,
                    const.data,
                )
                self.forms[value] = Form(data, params)
        return self.forms.get(value)

    def recast(self, form: Form, dtype: np.dtype[np.generic]) -> Form:
        """Return the same numbers in the other 8-bit type: sign bit flipped, zero point moved."""
        if form.params.dtype == dtype:
            return form
        zero = form.params.zero + (128 if dtype == np.uint8 else -128)
        flip = np.arange(256, dtype=np.uint8) ^ np.uint8(0x80)
        params = Params(form.params.scale, zero, dtype)
        return Form(self._table(form, flip, params), params)

    # ---- Q -----------------------------------------------------------------------------------

    def _quantize(self, node: Node) -> None:
        x, params = node.inputs[0], self.params(node)
        if x is None or params is None:
            self.nodes.append(node)
            return
        if (x, params) not in self.done:
            self.done[x, params] = self._integer_result(x, params)
        value = self.done[x, params]
        if value is None:
            self.nodes.append(node)
        else:
            value.dtype, value.shape = params.dtype, x.shape
            self._take_over(node, value)

    def _take_over(self, node: Node, value: Value) -> None:
        """Let the readers of a QuantizeLinear read `value`; a graph output keeps its name."""
        out = node.output
        if any(v is out for v in self.graph.outputs):
            self.emit(Node("Identity", [value], [out], name=node.name))
        else:
            self.replaced[out] = value

    def _read_integers(self, node: Node) -> None:
        replaced = self.replaced
        if not replaced:
            return
        node.inputs = [replaced.get(v, v) if v is not None else v for v in node.inputs]
        for sub in node.subgraphs() if node.nested else ():
            for value in dict.fromkeys(captures(sub)):
                if value in self.replaced:
                    sub.replace(value, self.replaced[value])

    def _integer_result(self, x: Value, params: Params) -> Value | None:
        form = self.form(x)
        if form is not None and form.params == params:
            return form.value  # Q(DQ(x)) with the same parameters is x
        table = self._as_table(x, params)
        if table is not None:
            return table
        node = x.producer
        if node is None:
            return None
        if node.domain == NATIVE or node.is_preset("conv", "linear"):
            return self._requantized(node, params)
        if node.op == "Concat":
            return self._concat(node, params)
        if node.op in {"GlobalAveragePool", "ReduceMean"}:
            return self._average(node, params)
        return self._binary(node, params)

    def _as_table(self, x: Value, params: Params) -> Value | None:
        found = self._scalar_function(x, 8)
        if found is None or found[0] is None:
            return None
        return self._table(found[0], params.quantize(found[1]), params)

    def _scalar_function(self, x: Value, depth: int) -> tuple[Form | None, np.ndarray] | None:
        """Return the one integer tensor that `x` depends on, and `x` for its 256 values."""
        if x.const is not None:
            array = x.array()
            return (None, array.reshape(())) if array.size == 1 and array.ndim <= 1 else None
        form = self.forms.get(x)
        if form is not None:
            root, table = self.tables.get(form.value, (form, slice(None)))
            return root, form.params.dequantize()[table]
        node = x.producer
        if node is None or depth == 0 or not is_scalar_function(node):
            return None
        parts = {v: self._scalar_function(v, depth - 1) for v in node.inputs if v is not None}
        found = [part for part in parts.values() if part is not None]
        roots = {root.value: root for root, _ in found if root is not None}
        if len(found) != len(parts) or len(roots) != 1:
            return None
        known = {v: part[1] for v, part in parts.items() if part is not None}
        inputs = [None if v is None else known[v] for v in node.inputs]
        return next(iter(roots.values())), evaluate(node, inputs)

    def _table(self, form: Form, table: np.ndarray, params: Params) -> Value:
        key = form.value, params.dtype, table.tobytes()
        if key not in self.made:
            out = self.new(f"{form.value.name}_table", params)
            attrs = {"table": table, "y_dtype": params.dtype.name}
            self.emit(Node("q_table", [form.value], [out], attrs, NATIVE))
            out.shape = form.value.shape
            self.made[key] = out
            self.tables[out] = form, table
        return self.made[key]

    def _requantized(self, node: Node, params: Params) -> Value | None:
        """Let a layer, of floats or of integers, write integers when only these are wanted."""
        if node.op not in {"conv", "linear"} or node.attrs.keys() & {"bf16", "dynamic"}:
            return None
        if not self._only_quantized(node.output):
            return None
        inputs, attrs = list(node.inputs), dict(node.attrs)
        if len(inputs) > 3 and inputs[3] is not None:
            residual = self.form(inputs[3])
            if residual is None:
                return None
            residual = self.recast(residual, params.dtype)
            inputs[3] = residual.value
            attrs |= {"res_scale": float(residual.params.scale), "res_zero": residual.params.zero}
        attrs |= {
            "y_scale": float(params.scale),
            "y_zero": params.zero,
            "y_dtype": NAMES[params.dtype],
        }
        return self.emit(
            Node(node.op, inputs, [self.new(node.output.name, params)], attrs, NATIVE, node.name)
        )

    def _only_quantized(self, value: Value) -> bool:
        """Tell whether every reader of `value` is a QuantizeLinear with the same parameters."""
        if any(v is value for v in self.graph.outputs):
            return False
        readers = self.readers.get(value, [])
        found = {self.params(n) if n.is_op("QuantizeLinear") else None for n in readers}
        return len(found) == 1 and None not in found

    def _average(self, node: Node, params: Params) -> Value | None:
        x = node.inputs[0]
        form = self.form(x)
        if x is None or form is None or x.shape is None:
            return None
        axes: list[int] = []
        if node.op == "ReduceMean":
            rank, given = len(x.shape), node.input(1)
            if rank < 3 or given is None or given.const is None:
                return None
            axes = sorted(int(a) % rank for a in given.array())
            if axes != list(range(2, rank)):
                return None
        form = self.recast(form, params.dtype)
        form.value.shape = form.value.shape or x.shape
        attrs = {
            "x_scale": float(form.params.scale), "x_zero": form.params.zero,
            "y_scale": float(params.scale), "y_zero": params.zero,
        }  # fmt: skip
        out = self.new(node.output.name, params)
        self.emit(Node("q_global_average_pool", [form.value], [out], attrs, NATIVE, node.name))
        if axes and not node.attrs.get("keepdims", 1):
            where = Value(
                self.fresh(f"{out.name}_axes"), np.dtype(np.int64), (len(axes),), np.array(axes)
            )
            return self.emit(
                Node("Squeeze", [out, where], [self.new(out.name, params)], name=node.name)
            )
        return out

    def _concat(self, node: Node, params: Params) -> Value | None:
        """Quantize before joining: every part alone, by a table where parameters differ."""
        parts = [None if v is None else self._as_integers(v, params) for v in node.inputs]
        if any(p is None for p in parts):
            return None
        return self.emit(
            Node(
                "Concat",
                list(parts),
                [self.new(node.output.name, params)],
                dict(node.attrs),
                "",
                node.name,
            )
        )

    def _as_integers(self, x: Value, params: Params) -> Value | None:
        form = self.form(x)
        if form is not None and form.params == params:
            return form.value
        return self._as_table(x, params)

    def _binary(self, node: Node, params: Params) -> Value | None:
        attrs: dict[str, Any] | None = as_clamp(node)
        source = None if attrs is None else node.inputs[0]
        if source is not None and source.producer is not None:
            node = source.producer
        if not node.is_op("Add", "Mul"):
            return None
        sides = [self.form(v) for v in node.inputs]
        if sides[0] is None or sides[1] is None:
            return None
        a, b = (self.recast(side, params.dtype) for side in sides if side is not None)
        attrs = (attrs or {}) | {"a_scale": float(a.params.scale), "a_zero": a.params.zero}
        attrs |= {"b_scale": float(b.params.scale), "b_zero": b.params.zero}
        attrs |= {"y_scale": float(params.scale), "y_zero": params.zero}
        out = self.new(node.output.name, params)
        return self.emit(
            Node(f"q_{node.op.lower()}", [a.value, b.value], [out], attrs, NATIVE, node.name)
        )

    # ---- between -----------------------------------------------------------------------------

    def _pass_through(self, node: Node) -> None:
        if node.is_preset("conv", "linear"):
            node = self._integer_input(node)
        self.nodes.append(node)
        if node.domain:  # no operator that only moves values
            return
        forms = [self.form(v) if v is not None and v.const is None else None for v in node.inputs]
        moved = movement(node, [None if f is None else (f.value, f.params) for f in forms])
        if moved is None:
            return
        inputs, params = moved
        outputs = [self.new(v.name, params) for v in node.outputs]
        self.emit(Node(node.op, inputs, outputs, dict(node.attrs), node.domain, node.name))
        for value, integers in zip(node.outputs, outputs, strict=True):
            integers.shape = value.shape
            self.forms[value] = Form(integers, params)

    def _integer_input(self, node: Node) -> Node:
        """Return a native node that reads integers, where x has them and w holds them."""
        x, w = node.inputs[0], node.inputs[1]
        form = self.form(x)
        if (
            form is None
            or w is None
            or not isinstance(w.const, Quantized)
            or node.attrs.get("dynamic")
        ):
            return node
        weight = w.const
        channel = 0 if node.op == "conv" else 1
        if weight.data.dtype not in INT8 or (weight.scale.size > 1 and weight.axis != channel):
            return node
        inputs = [form.value, *node.inputs[1:]]
        if len(inputs) > 2 and inputs[2] is not None:
            inputs[2] = self._bias(inputs[2], form.params.scale, weight)
        attrs = node.attrs | {"x_scale": float(form.params.scale), "x_zero": form.params.zero}
        return Node(node.op, inputs, node.outputs, attrs, NATIVE, node.name, node.metadata)

    def _bias(self, bias: Value, x_scale: np.float32, weight: Quantized) -> Value:
        """Return an int32 bias as it is when its unit is that of the sums, else as float32."""
        const = bias.const
        if not isinstance(const, Quantized):
            return bias
        unit = x_scale * weight.scale.reshape(-1)
        same = const.data.dtype == np.int32 and not np.count_nonzero(const.zero_point)
        near = np.abs(const.scale.reshape(-1) - unit) <= 1e-6 * unit
        if same and np.count_nonzero(near) == near.size:
            return Value(
                self.fresh(f"{bias.name}_int32"), const.data.dtype, const.shape, const.data
            )
        return Value(
            self.fresh(f"{bias.name}_float"), np.dtype(np.float32), const.shape, const.dequantize()
        )

    # ---- nodes and values --------------------------------------------------------------------

    def emit(self, node: Node) -> Value:
        self.nodes.append(node)
        return node.output

    def new(self, stem: str, params: Params) -> Value:
        return Value(self.fresh(f"{stem}_q"), params.dtype)

    def fresh(self, stem: str) -> str:
        name, number = stem, 0
        while name in self.names:
            number += 1
            name = f"{stem}_{number}"
        self.names.add(name)
        return name
