"""Keeping one of what is there twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.graph.ir import Graph, Quantized

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pycompress.graph.edit import Edit
    from pycompress.graph.ir import Node, Value

_SAMPLES = 32
_RANDOM = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
}


def share_constants(edit: Edit) -> None:
    """Let readers of equal constants read one of them, so that tied weights are stored once.

    Tensors are compared by a few samples first: hashing all weights of a model would take longer
    than reading it.
    """
    groups: dict[Hashable, list[Value]] = {}
    for value in list(edit.graph.constants()):
        if not isinstance(value.const, np.ndarray) or edit.is_output(value):
            continue
        for other in groups.setdefault(_sample(value.const), []):
            if _same_bits(value.const, other.array()):
                edit.replace(value, other)
                break
        else:
            groups[_sample(value.const)].append(value)


def _sample(array: np.ndarray) -> Hashable:
    flat = array.reshape(-1)
    step = max(1, flat.size // _SAMPLES)
    return array.dtype.str, array.shape, flat[::step].tobytes()


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Compare bits, not values: -0 differs from 0, and a NaN equals itself."""
    words = np.dtype(f"u{a.dtype.itemsize}")
    return a is b or bool(np.array_equal(a.view(words), b.view(words)))


def share_results(edit: Edit) -> None:
    """Let readers of a node that computes what another one computes already read the other one."""
    first: dict[Hashable, Node] = {}
    for node in edit.nodes():
        if node.op in _RANDOM or any(edit.is_output(v) for v in node.outputs):
            continue
        key = _key(node)
        if key is None:
            continue
        other = first.setdefault(key, node)
        if other is not node:
            for value, same in zip(node.outputs, other.outputs, strict=True):
                edit.replace(value, same)


def _key(node: Node) -> Hashable | None:
    attrs = []
    for name, attr in sorted(node.attrs.items()):
        frozen = _frozen(attr)
        if frozen is None:
            return None
        attrs.append((name, frozen))
    inputs = tuple(id(v) for v in node.inputs)
    metadata = tuple(sorted(node.metadata.items()))
    return node.domain, node.op, inputs, len(node.outputs), tuple(attrs), metadata


def _frozen(attr: Any) -> Hashable | None:  # noqa: ANN401
    if isinstance(attr, Graph | Quantized):
        return None
    if isinstance(attr, np.ndarray):
        return attr.dtype.str, attr.shape, attr.tobytes()
    return tuple(attr) if isinstance(attr, list) else (type(attr).__name__, attr)
