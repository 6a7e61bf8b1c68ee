"""The differential step for evened channels: what one constant loses, another gains, and no more.

Nothing here uses the code that evens out: expected constants are worked out again from the float
model. A node that does not fit is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.convert.plan import label
from pycompress.convert.streams import find_streams
from pycompress.convert.verify import ConversionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompress.convert.evening import Exponents
    from pycompress.graph.ir import Graph, Node


def verify_evened(graph: Graph, made: Graph, exponents: Exponents) -> None:
    """Hold an evened graph against the one that it was made of.

    Parameters
    ----------
    graph, made : Graph
    exponents : dict of tuple of int by key of a stream
        What `made` carries out.

    Raises
    ------
    ConversionError
        Names the first node one of whose constants is not what it should be, and how.
    """
    expected: dict[tuple[str, int], np.ndarray] = {}
    whole: dict[str, np.ndarray] = {}
    for stream in find_streams(graph)[0]:
        if stream.key not in exponents:
            continue
        factors = np.array([2.0**power for power in exponents[stream.key]])
        for sites, each in ((stream.divided, 1.0 / factors), (stream.readers, factors)):
            for site in sites:
                wide = np.ones(max(site.array().ndim, -site.axis), int).tolist()
                wide[site.axis] = -1
                key = (site.node.output.name, site.index)
                array = expected.get(key, site.array())  # a layer may end a place and begin one
                expected[key] = array * np.repeat(each, site.repeat).reshape(wide)
        if stream.whole:
            whole[stream.key] = factors
    for complaint in _complaints(graph, made, expected, whole):
        msg = f"internal: {complaint}"
        raise ConversionError(msg)


def _complaints(
    graph: Graph,
    made: Graph,
    expected: dict[tuple[str, int], np.ndarray],
    whole: dict[str, np.ndarray],
) -> Iterator[str]:
    after = {node.output.name: node for node in made.nodes if node.outputs}
    before = {node.output.name for node in graph.nodes if node.outputs}
    back: dict[str, str] = {}
    for name, node in after.items():
        if name in before:
            continue
        source = node.input(0)
        factors = None if source is None else whole.get(source.name)
        gain = node.input(1)
        if not node.is_op("Mul") or factors is None or gain is None or gain.const is None:
            yield f"node '{label(node)}' is new, and has no place"
        elif not np.array_equal(gain.array(), factors.astype(np.float32)):
            yield f"node '{label(node)}' was evened out wrongly: it multiplies with other factors"
        elif source is not None:
            back[name] = source.name
    for node in graph.nodes:
        other = after.get(node.output.name)
        if other is None:
            yield f"node '{label(node)}' is gone"
        else:
            yield from _of_node(node, other, expected, back, whole)


def _of_node(
    node: Node,
    made: Node,
    expected: dict[tuple[str, int], np.ndarray],
    back: dict[str, str],
    whole: dict[str, np.ndarray],
) -> Iterator[str]:
    said = f"node '{label(node)}' was evened out wrongly: "
    for index, (value, other) in enumerate(zip(node.inputs, made.inputs, strict=True)):
        if value is None or other is None:
            if value is not other:
                yield said + f"input {index} is gone, or new"
            continue
        if value.const is None:
            reads = back.get(other.name, other.name)
            takes = (node.output.name, 1) in expected and index == 0
            if reads != value.name or (value.name in whole and (other.name in back) == takes):
                yield said + f"it reads '{other.name}', wanted '{value.name}'"
            continue
        wanted = expected.get((node.output.name, index))
        if wanted is None:
            if other.const is not value.const:
                yield said + f"its constant '{value.name}' is another one"
            continue
        found = other.array()
        if found.shape != wanted.shape:
            yield (
                said + f"'{value.name}' has shape {list(found.shape)}, wanted {list(wanted.shape)}"
            )
        elif not np.array_equal(found, wanted.astype(np.float32)):
            with np.errstate(all="ignore"):
                ratio = np.nan_to_num(np.abs(np.log2(np.abs(found / wanted))))
            where = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
            yield said + (
                f"'{value.name}' is {found[where]:.6g} at {[int(i) for i in where]}, "
                f"wanted {wanted[where]:.6g}"
            )
