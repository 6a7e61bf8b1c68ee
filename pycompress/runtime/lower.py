"""Lowering: a segment of the graph becomes a native program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress import _core
from pycompress.graph.ir import Node, Quantized, Value
from pycompress.runtime.elements import NAMES
from pycompress.runtime.steps import Call, NativeStep

if TYPE_CHECKING:
    from pycompress.graph.ir import Constant
    from pycompress.runtime.partition import Segment

_DROPPED = {
    "Cast": ("saturate", "round_mode"),
    "MaxPool": ("storage_order",),
    "linear": ("float_elsewhere",),
    "BatchNormalization": ("momentum", "spatial", "training_mode"),
}
"""Attributes that say nothing here: about float8, outputs that are not taken, other runtimes."""

_CHANNEL = {"conv": 0, "linear": 1}


class Builder:
    """Builds one program.

    Parameters
    ----------
    threads : int
        Size of the program's own pool.
    float_format : str
        "float32" or "bfloat16": what layers that are not of integers compute in.
    """

    def __init__(self, threads: int, float_format: str = "float32") -> None:
        self.float_format = float_format
        self.program = _core.Program(threads)
        self.calls: list[Call] = []
        self._ids: dict[Value, int] = {}

    def build(self, segment: Segment) -> NativeStep:
        """Return the step that computes the segment's outputs from its inputs.

        Raises
        ------
        ValueError
            When the engine refuses a node; names the node.
        """
        for value in segment.inputs:
            by_value = value in segment.by_value
            dtype = _name_of(value)
            self._ids[value] = self.program.input(value.name, dtype, by_value=by_value)
            arguments = value.name, dtype, by_value
            self.calls.append(Call("input", arguments, [self._ids[value]]))
        for node in segment.nodes:
            self.add(node)
        returned = [self._ids[v] for v in segment.outputs]
        self.program.finish(returned)
        calls = self.calls  # and not the builder, which knows the whole graph
        return NativeStep(segment.inputs, segment.outputs, self.program, lambda: calls, returned)

    def try_alone(self, node: Node) -> str | None:
        """Add a node that stands alone, its inputs of known types; return what is wrong with it."""
        for value in node.inputs:
            if value is not None and value.const is None:
                self._ids[value] = self.program.input(value.name, _name_of(value))
        try:
            self.add(node)
        except ValueError as error:
            return str(error)
        return None

    def add(self, node: Node) -> None:
        """Add one node, its constants included."""
        known, op, attrs = self._ids, node.op, node.attrs.copy()
        for unsaid in _DROPPED.get(op, ()):
            attrs.pop(unsaid, None)
        inputs = [
            -1
            if v is None
            else known[v]
            if v.const is None
            else self._constant_input(node, i, v, v.const, attrs)
            for i, v in enumerate(node.inputs)
        ]
        while inputs and inputs[-1] == -1:
            inputs.pop()
        outputs = node.outputs
        name = node.name or outputs[0].name
        if op in _CHANNEL:
            op = f"{op}_bf16" if self._rounds(node, attrs) else op
        else:
            attrs.pop("bf16", None)
        ids = self.program.add(op, name, inputs, len(outputs), attrs)
        self.calls.append(Call("add", (op, name, inputs, len(outputs), attrs), ids))
        for value, made in zip(outputs, ids, strict=True):
            known[value] = made

    def _rounds(self, node: Node, attrs: dict[str, Any]) -> bool:
        """Tell whether a layer is one of float32 that is to be computed in bfloat16.

        The file may ask for it, `bf16`, and then nobody else has to hear of it.
        """
        asked = rounds_float(node, self.float_format)
        attrs.pop("bf16", None)
        integers = "x_scale" in attrs or (attrs.get("dynamic") and "w_scale" in attrs)
        return asked and not integers

    def _constant_input(
        self, node: Node, index: int, value: Value, const: Constant, attrs: dict[str, Any]
    ) -> int:
        if isinstance(const, Quantized):
            if takes_integers(node, index, const):
                attrs |= _weight_attrs(node, index, const)
                return self._constant(value, const.data)
            return self._constant(value, const.dequantize())
        return self._constant(value, const)

    def _constant(self, value: Value, array: np.ndarray) -> int:
        made = self._ids.get(value)
        if made is None:
            if not array.flags.c_contiguous:
                array = np.ascontiguousarray(array).reshape(array.shape)
            self._ids[value] = made = self.program.constant(array)
            self.calls.append(Call("constant", (NAMES[array.dtype], array.shape), [made]))
        return made


def rounds_float(node: Node, float_format: str) -> bool:
    """Tell whether a layer, if it is not one of integers, is to be computed in bfloat16."""
    asked = bool(node.attrs.get("bf16")) or float_format == "bfloat16"
    return asked and node.op in _CHANNEL and node.attrs.get("group", 1) == 1


def _name_of(value: Value) -> str:
    """Return the name of a value's element type, as the engine is told it."""
    return str(value.dtype) if value.dtype not in NAMES else NAMES[value.dtype]


def takes_integers(node: Node, index: int, const: Quantized) -> bool:
    """Tell whether input `index` of a preset node can be these integers as they are."""
    if const.data.dtype not in (np.int8, np.uint8):
        return False
    if node.op == "embedding":
        return index == 0
    if node.op == "recurrent":
        whole = const.data.dtype == np.int8 and not const.zero_point.any()
        by_row = const.scale.size == 1 or const.axis == 1
        return index in {1, 2} and whole and by_row and bool(node.attrs.get("dynamic"))
    if node.op in _CHANNEL:
        return index == 1 and (const.scale.size == 1 or const.axis == _CHANNEL[node.op])
    groups = node.attrs.get("group", 1)
    return (
        node.op == "conv_transpose"
        and index == 1
        and (const.scale.size == 1 or (const.axis == 1 and groups == 1))
    )


def _weight_attrs(node: Node, index: int, const: Quantized) -> dict[str, Any]:
    scale = np.ascontiguousarray(const.scale, np.float32)
    if node.op == "embedding":
        attrs: dict[str, Any] = {"scale": scale, "zero": const.zero_point.astype(np.int64)}
        return attrs if const.axis is None or scale.size == 1 else attrs | {"axis": const.axis}
    if node.op == "recurrent":
        return {"w_scale" if index == 1 else "r_scale": scale.reshape(-1)}
    attrs = {"w_scale": scale}
    if np.count_nonzero(const.zero_point):
        attrs["w_zero"] = const.zero_point.astype(np.int64)
    return attrs
