"""Dropping nodes that pass their input on unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node, Value


def drop_identities(edit: Edit) -> None:
    """Let readers of Identity, of Dropout at inference, and of other no-ops read the input itself."""
    for node in edit.nodes():
        if not edit.owns(node) or node.domain:
            continue
        source = _unchanged(edit, node)
        if source is not None:
            edit.replace(node.output, source)


def _unchanged(edit: Edit, node: Node) -> Value | None:
    """Return the input that the first output equals, or None."""
    x = node.input(0)
    if x is None:
        return None
    same = False
    match node.op:
        case "Identity":
            same = True
        case "Dropout":
            mode = node.input(2)
            training = mode is not None and (mode.const is None or bool(mode.array().any()))
            same = not training and not any(edit.readers(v) for v in node.outputs[1:])
        case "Cast":
            same = x.dtype is not None and x.dtype == node.output.dtype
        case "Transpose":
            perm = node.attrs.get("perm")
            same = perm is not None and list(perm) == sorted(perm)
        case "Concat" | "Sum" | "Max" | "Min" | "Mean":
            same = len(node.inputs) == 1
        case "Pad":
            pads = node.input(1)
            same = pads is not None and pads.const is not None and not pads.array().any()
    return x if same else None
