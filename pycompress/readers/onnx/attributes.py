"""Attributes whose values all that follows relies on: looked at once, when a model is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompress.readers.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompress.graph.ir import Graph, Node

_TYPES = range(1, 27)  # of TensorProto.DataType, UNDEFINED left out


def check_attributes(graph: Graph) -> None:
    """Raise ModelError where an attribute is none that its operator can have; names the node."""
    for node in graph.everywhere():
        check = _CHECKS.get(node.op) if not node.domain else None
        wrong = None if check is None else check(node)
        if wrong is not None:
            name = node.name or (node.outputs[0].name if node.outputs else "")
            msg = f"node '{name}' ({node.op}): {wrong}"
            raise ModelError(msg)


def _transpose(node: Node) -> str | None:
    perm = node.attrs.get("perm")
    if perm is None or sorted(perm) == list(range(len(perm))):
        return None
    return f"attribute 'perm' must be an order of axes, found {list(perm)}"


def _cast(node: Node) -> str | None:
    code = node.attrs.get("to")
    return None if code in _TYPES else f"attribute 'to' must be an element type, found {code}"


_CHECKS: dict[str, Callable[[Node], str | None]] = {"Transpose": _transpose, "Cast": _cast}
