"""Carry out a plan: integer constants, explicit quantization, run-time ranges."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.convert.activations import Affine, quantize_bias
from pycompress.convert.blocks import put_into_blocks
from pycompress.convert.chain import Chain, find_chain, parameters
from pycompress.convert.halves import multiplies_halves, to_halves
from pycompress.convert.plan import (
    CHANNEL_AXIS,
    Choice,
    Plan,
    Precision,
    label,
    weight_indices,
    weights_of,
)
from pycompress.convert.rounding import round_rows
from pycompress.convert.verify import ConversionError
from pycompress.convert.weights import quantize_table, quantize_weight
from pycompress.graph.ir import PRESET, Graph, Node, Quantized, Value
from pycompress.graph.names import Names
from pycompress.kernels.cpu import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompress.calibration import Range, SecondMoments
    from pycompress.convert.rounding import Layer


class WeightCache:
    """Integer forms of constants, made once however often a plan is tried.

    Tied weights (one array read by several nodes) stay one array in integers, along whichever axis
    was asked for first.

    Parameters
    ----------
    moments : list of (ndarray, SecondMoments), optional
        Second moments of what is multiplied with an array; it is then rounded by `round_rows`.
    """

    def __init__(self, moments: Iterable[tuple[np.ndarray, SecondMoments]] = ()) -> None:
        self._made: dict[int, tuple[np.ndarray, Quantized | str]] = {}
        self._moments = {id(array): second for array, second in moments}
        self._bias: dict[int, np.ndarray] = {}

    def get(self, array: np.ndarray, format: str) -> Quantized | str:
        """Return the int8 form of a constant of a format, or the reason why it has none."""
        found = self._made.get(id(array))
        axis = CHANNEL_AXIS[format]
        if found is not None and (
            format == "embedding" or isinstance(found[1], str) or found[1].axis == axis
        ):
            return found[1]
        made = quantize_table(array) if format == "embedding" else quantize_weight(array, axis)
        if id(array) in self._moments and isinstance(made, Quantized):
            made, self._bias[id(array)] = _rounded(array, made, axis, self._moments[id(array)])
        self._made[id(array)] = (array, made)  # holding the array keeps its id from being reused
        return made

    def round(self, layers: Iterable[Layer]) -> None:
        """Round the weights of layers by their moments, several at a time."""
        chosen = list(layers)
        self._moments |= {id(layer.weight): layer.moments for layer in chosen}
        with ThreadPoolExecutor(usable_cpus()) as pool:
            list(pool.map(lambda layer: self.get(layer.weight, layer.format), chosen))

    def take_over(self, other: WeightCache, layers: Iterable[Layer]) -> None:
        """Take what another cache made of the same weights by the same moments."""
        for layer in layers:
            key = id(layer.weight)
            if key in other._made and other._moments.get(key) is layer.moments:
                self._made[key] = other._made[key]
                if key in other._bias:
                    self._bias[key] = other._bias[key]

    def moments_of(self, array: np.ndarray) -> SecondMoments | None:
        """Return the second moments by which an array is rounded; None: to nearest."""
        return self._moments.get(id(array))

    def bias_of(self, array: np.ndarray) -> np.ndarray | None:
        """Return what the bias of an array's layer has to take up, float64, one per channel."""
        return self._bias.get(id(array))


def _rounded(
    array: np.ndarray, nearest: Quantized, axis: int, moments: SecondMoments
) -> tuple[Quantized, np.ndarray]:
    rows = np.moveaxis(array, axis, 0)
    integers, bias = round_rows(rows.reshape(rows.shape[0], -1), nearest.scale, moments)
    data = np.ascontiguousarray(np.moveaxis(integers.reshape(rows.shape), 0, axis))
    return Quantized(data, nearest.scale, nearest.zero_point, axis), bias


def separate_residuals(graph: Graph) -> Graph:
    """Return a graph in which each convolution's fused residual is an addition of its own.

    ``y = act(conv(x) + r)`` becomes ``t = conv(x); s = t + r; y = act(s)``: the values between have
    ranges of their own to calibrate, and other runtimes have integer kernels for the parts. Exact:
    the same operations in the same order.
    """
    graph = graph.copy()
    nodes: list[Node] = []
    names = Names(graph)
    for node in graph.nodes:
        nodes.append(node)
        residual = node.input(3)
        if not node.is_preset("conv") or residual is None:
            continue
        nodes.extend(_separate(node, residual, names))
    graph.nodes = nodes
    return graph


def _separate(node: Node, residual: Value, names: Names) -> list[Node]:
    result = node.output
    product = Value(names.fresh(f"{result.name}_conv"), result.dtype, result.shape)
    node.inputs, node.outputs = node.inputs[:3], [product]
    product.producer = node
    activation: dict[str, Any] = {
        k: node.attrs.pop(k) for k in ("activation", "alpha", "beta") if k in node.attrs
    }
    if not activation.get("activation"):
        return [Node("Add", [product, residual], [result], name=names.fresh(f"{label(node)}_add"))]
    total = Value(names.fresh(f"{result.name}_sum"), result.dtype, result.shape)
    return [
        Node("Add", [product, residual], [total], name=names.fresh(f"{label(node)}_add")),
        Node(
            "activation", [total], [result], activation, PRESET, names.fresh(f"{label(node)}_act")
        ),
    ]


def settle(graph: Graph, plan: Plan, ranges: Mapping[str, Range], weights: WeightCache) -> Plan:
    """Return the plan with what can't be carried out moved to a safer precision."""
    changed: list[Choice] = []
    for node in graph.everywhere():
        choice = plan.choices.get(node.output.name)
        if choice is None:
            continue
        if node.op == "embedding" and choice.precision == "weights":
            made = weights.get(_constant(node), "embedding")
            if isinstance(made, str):
                changed.append(Choice(choice.key, choice.node, choice.format, "float", made))
        elif choice.precision == "static":
            missing = _without_range(graph, node, ranges)
            if missing is not None:
                reason = f"the range of '{missing}' is unknown: infinite, NaN, or never computed"
                changed.append(Choice(choice.key, choice.node, choice.format, "dynamic", reason))
    return plan.change(changed)


def _without_range(graph: Graph, node: Node, ranges: Mapping[str, Range]) -> str | None:
    """Name a value without a range that this static node would read in integers."""
    return next((v.name for v in find_chain(graph, {node}).values if v.name not in ranges), None)


def apply_plan(
    graph: Graph,
    plan: Plan,
    ranges: Mapping[str, Range],
    weights: WeightCache,
    *,
    elsewhere: bool = False,
) -> Graph:
    """Return the converted graph; `graph` is left as it is.

    Parameters
    ----------
    graph : Graph
        In preset formats, residuals separated where nodes are static (`separate_residuals`).
    plan : Plan
    ranges : dict
        Value name -> (low, high), for the chain of the static nodes.
    weights : WeightCache
    elsewhere : bool
        Return what other runtimes make of the file: one range for all rows of a dynamic linear,
        float arithmetic where the standard has no form for what is done here.
    """
    graph = graph.copy()
    static = {node for node in graph.nodes if plan.precision(node) == "static"}
    chain = find_chain(graph, static)
    affines = parameters(chain, ranges)
    made: dict[Value, Value] = {}
    halves: dict[Value, Value] = {}
    names = Names(graph)
    # embeddings last: they take a tied weight along any axis, the other formats along their own
    # only
    for node in sorted(graph.everywhere(), key=lambda n: n.op == "embedding"):
        precision = plan.precision(node)
        if precision in {None, "int4", "float"}:
            continue
        if precision == "bf16":
            _convert_to_halves(node, halves)
            continue
        original = _constant(node)
        _convert_weights(node, weights, made)
        _correct_bias(node, weights.bias_of(original), names)
        if precision in {"dynamic", "rows"}:
            node.attrs.update(_at_run_time(node, precision, elsewhere=elsewhere))
        elif precision == "static":
            _convert_bias(node, original, affines, names)
    _rename_copies(graph, names)
    _insert_pairs(graph, chain, affines, names)
    put_into_blocks(graph, plan.keys("int4"), names)
    return graph


def _rename_copies(graph: Graph, names: Names) -> None:
    """Give a weight that others still read in float, or in other integers, a name of its own."""
    taken: set[str] = set()
    read = (v for node in graph.everywhere() for v in node.inputs if v is not None)
    for value in dict.fromkeys(v for v in (*read, *graph.outputs) if v.const is not None):
        if value.name in taken:
            value.name = names.fresh(value.name)
        taken.add(value.name)


def _at_run_time(node: Node, precision: Precision, *, elsewhere: bool) -> dict[str, bool]:
    """Return the attributes of a node whose ranges are found at run time."""
    if node.op != "linear":
        return {} if elsewhere else {"dynamic": True}
    if elsewhere:
        return {} if precision == "rows" else {"dynamic": True}
    return {"dynamic": True, "by_row": True, "float_elsewhere": precision == "rows"}


def _constant(node: Node) -> np.ndarray:
    """Return the first of a node's constants."""
    weights = weights_of(node)
    if not weights or not isinstance(weights[0], np.ndarray):
        msg = f"node '{label(node)}' has no float constant to convert"
        raise ValueError(msg)
    return weights[0]


def _convert_weights(node: Node, weights: WeightCache, made: dict[Value, Value]) -> None:
    for index in weight_indices(node):
        source = node.inputs[index]
        if source is None or not isinstance(source.const, np.ndarray):
            continue
        quantized = weights.get(source.const, node.op)
        if isinstance(quantized, str):
            msg = f"node '{label(node)}' can't be converted: {quantized}"
            raise ValueError(msg)
        value = made.get(source)
        if value is None or value.const is not quantized:
            value = Value(source.name, source.dtype, source.shape, quantized)
            made[source] = value
        node.inputs[index] = value


def _convert_to_halves(node: Node, made: dict[Value, Value]) -> None:
    for index in weight_indices(node):
        source = node.inputs[index]
        if source is None or not isinstance(source.const, np.ndarray):
            continue
        if source not in made:
            array = to_halves(source.const)
            made[source] = Value(source.name, source.dtype, source.shape, array)
        node.inputs[index] = made[source]
    if multiplies_halves(node):
        node.attrs["bf16"] = True


def _correct_bias(node: Node, change: np.ndarray | None, names: Names) -> None:
    """Let the bias, where there is one, take up the mean error of the rounded weights."""
    bias = node.input(2)
    if change is None or bias is None or not isinstance(bias.const, np.ndarray):
        return
    corrected = (bias.const + change.reshape(bias.const.shape)).astype(np.float32)
    node.inputs[2] = Value(names.fresh(bias.name), bias.dtype, bias.shape, corrected)


def _convert_bias(
    node: Node, original: np.ndarray, affines: Mapping[Value, Affine], names: Names
) -> None:
    """Put a static node's bias into int32; weights that it widens become the node's own."""
    x, weight, bias = node.input(0), node.input(1), node.input(2)
    if x is None or weight is None or not isinstance(weight.const, Quantized):
        return
    if bias is None or not isinstance(bias.const, np.ndarray):
        return
    if weight.const.scale.size != bias.const.size:
        found = f"{weight.const.scale.size} scales for {bias.const.size} biases"
        msg = f"internal: node '{label(node)}' was converted wrongly: its weights have {found}"
        raise ConversionError(msg)
    units, widened = quantize_bias(bias.const.ravel(), affines[x].scale, weight.const, original)
    node.inputs[2] = Value(names.fresh(bias.name), bias.dtype, units.shape, units)
    if widened is not weight.const:
        node.inputs[1] = Value(names.fresh(weight.name), weight.dtype, weight.shape, widened)


def _insert_pairs(
    graph: Graph, chain: Chain, affines: Mapping[Value, Affine], names: Names
) -> None:
    """Put a QuantizeLinear and DequantizeLinear after each value of the chain.

    Integer nodes read what comes out of the pair.
    """
    consumers = graph.consumers()
    after: dict[Node | None, list[Node]] = {}
    shared: dict[tuple[float, int], tuple[Value, Value]] = {}
    for value in chain.values:
        scale, zero = _parameter_values(affines[value], shared, names)
        integers = Value(names.fresh(f"{value.name}_q"), np.dtype(np.uint8), value.shape)
        floats = Value(names.fresh(f"{value.name}_dq"), value.dtype, value.shape)
        pair = [
            Node("QuantizeLinear", [value, scale, zero], [integers], name=integers.name),
            Node("DequantizeLinear", [integers, scale, zero], [floats], name=floats.name),
        ]
        after.setdefault(value.producer, []).extend(pair)
        for node in consumers.get(value, []):
            # what a float node reads of an integer node is dequantized; what it reads of a float
            # node stays as it was
            if node in chain.nodes or value.producer in chain.nodes:
                node.inputs = [floats if v is value else v for v in node.inputs]
    nodes = list(after.pop(None, []))
    for node in graph.nodes:
        nodes.append(node)
        nodes.extend(after.get(node, []))
    graph.nodes = nodes


def _parameter_values(
    parameter: Affine, shared: dict[tuple[float, int], tuple[Value, Value]], names: Names
) -> tuple[Value, Value]:
    """Constants for a scale and a zero point, one pair for all values that share them."""
    key = (float(parameter.scale), parameter.zero_point)
    if key not in shared:
        scale, zero = (
            np.array(parameter.scale, np.float32),
            np.array(parameter.zero_point, np.uint8),
        )
        shared[key] = (
            Value(names.fresh("scale"), scale.dtype, (), scale),
            Value(names.fresh("zero"), zero.dtype, (), zero),
        )
    return shared[key]
