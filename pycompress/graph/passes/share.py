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

    Tensors of one shape are compared by a few samples first: hashing all weights of a model would
    take longer than reading it.
    """
    alike: dict[Hashable, list[Value]] = {}
    reads = (node.reads() if node.nested else node.inputs for node in edit.graph.nodes)
    for value in dict.fromkeys(v for read in reads for v in read):
        if value is not None and isinstance(value.const, np.ndarray) and not edit.is_output(value):
            alike.setdefault((value.const.shape, value.const.dtype), []).append(value)
    for values in alike.values():
        if len(values) > 1:
            _share(edit, values)


def _share(edit: Edit, values: list[Value]) -> None:
    """Let readers read the first of those values that are equal."""
    groups: dict[bytes, list[Value]] = {}
    for value in values:
        array = value.array()
        same = groups.setdefault(_sample(array), [])
        other = next((v for v in same if _same_bits(array, v.array())), None)
        if other is None:
            same.append(value)
        else:
            edit.replace(value, other)


def _sample(array: np.ndarray) -> bytes:
    if array.size <= _SAMPLES:
        return array.tobytes()
    return array.reshape(-1)[:: array.size // _SAMPLES].tobytes()


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Compare bits, not values: -0 differs from 0, and a NaN equals itself."""
    if a is b or a.size <= _SAMPLES:  # of which the samples are all there is
        return True
    words = np.dtype(f"u{a.dtype.itemsize}")
    return bool(np.array_equal(a.view(words), b.view(words)))


def share_results(edit: Edit) -> None:
    """Let readers of a node that computes what another one computes already read the other one."""
    readers: dict[Hashable, list[Node]] = {}  # of the same values, by the same operator
    for node in edit.nodes():
        if node.op in _RANDOM or any(map(edit.is_output, node.outputs)):
            continue
        alike = readers.setdefault((node.domain, node.op, *map(id, node.inputs)), [])
        key = _key(node) if alike else None
        other = None if key is None else next((n for n in alike if _key(n) == key), None)
        if other is None:
            alike.append(node)
        else:
            for value, same in zip(node.outputs, other.outputs, strict=True):
                edit.replace(value, same)


def _key(node: Node) -> Hashable | None:
    """Return all that tells a node from others that read the same, None if it is never the same."""
    attrs = []
    for name, attr in sorted(node.attrs.items()):
        frozen = _frozen(attr)
        if frozen is None:
            return None
        attrs.append((name, frozen))
    return len(node.outputs), tuple(attrs), tuple(sorted(node.metadata.items()))


def _frozen(attr: Any) -> Hashable | None:  # noqa: ANN401
    if isinstance(attr, Graph | Quantized):
        return None
    if isinstance(attr, np.ndarray):
        return attr.dtype.str, attr.shape, attr.tobytes()
    return tuple(attr) if isinstance(attr, list) else (type(attr).__name__, attr)
