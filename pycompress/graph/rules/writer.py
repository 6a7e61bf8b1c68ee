"""What writes the nodes that a rule puts in the place of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import PRESET, Node, Value

if TYPE_CHECKING:
    from pycompress.graph.activations import Activation
    from pycompress.graph.edit import Edit

_FLOAT32 = np.dtype(np.float32)


class Writer:
    """Adds nodes in front of the one that is replaced.

    Parameters
    ----------
    edit : Edit
    root : Node
        Whose output's name the new values are named after.
    """

    def __init__(self, edit: Edit, root: Node) -> None:
        self.edit, self.root, self.stem = edit, root, root.outputs[0].name

    def __call__(
        self,
        op: str,
        *inputs: Value | None,
        dtype: np.dtype[Any] | None = _FLOAT32,
        domain: str = "",
        **attrs: Any,  # noqa: ANN401
    ) -> Value:
        """Add a node, and return its output."""
        out = Value(self.edit.names.fresh(f"{self.stem}_{op.lower()}"), dtype)
        name = self.edit.names.fresh(f"{self.root.name or self.stem}_{op}")
        return self.edit.add(Node(op, list(inputs), [out], attrs, domain, name)).output

    def ints(self, *values: int) -> Value:
        """Return a constant list of int64."""
        return self.edit.constant(f"{self.stem}_ints", np.array(values, np.int64))

    def number(self, value: float) -> Value:
        """Return a constant float32."""
        return self.edit.constant(f"{self.stem}_number", np.array(value, np.float32))

    def activation(self, activation: Activation, x: Value) -> Value:
        """Add an activation of a preset format."""
        attrs: dict[str, Any] = activation.attrs()
        return self("activation", x, domain=PRESET, **attrs)

    def take_over(self, output: int, value: Value) -> None:
        """Let `value` be what the replaced node computed."""
        if output < len(self.root.outputs):
            old = self.root.outputs[output]
            value.shape = old.shape if value.shape is None else value.shape
            self.edit.replace(old, value)
