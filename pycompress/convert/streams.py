"""Streams: values through which a positive factor for each channel passes, from layer to layer.

What a stream's sources compute can be divided by any positive factors, channel by channel, when all
that read it multiply by them: the answers stay as they are, and with powers of two so do their
bits. `find_streams` finds the places where this can be done, and says of the others why not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pycompress.convert.passing import HOMOGENEOUS, Layout, Refused, of_layer, passed
from pycompress.convert.plan import label

if TYPE_CHECKING:
    from pycompress.graph.ir import Graph, Node, Value

NORMS = ("LayerNormalization",)
"""Operators that end with a scale and a bias for each channel."""

LEAST_CHANNELS = 2

Kind: TypeAlias = Literal["equalize", "smooth"]
"""What evening channels out is called between layers; and behind normalisations and attention."""


@dataclass(frozen=True)
class Site:
    """A constant that takes the factors up, or their inverse.

    Attributes
    ----------
    node : Node
    index : int
        Which of its inputs.
    axis : int
        Along which the channels lie, counted from the end; the constant is broadcast if it has no
        such axis.
    repeat : int
        Elements of that axis for each channel.
    """

    node: Node
    index: int
    axis: int
    repeat: int = 1

    def array(self) -> np.ndarray:
        """Return the constant."""
        value = self.node.inputs[self.index]
        if value is None:
            msg = f"internal: node '{label(self.node)}' has no input {self.index}"
            raise AssertionError(msg)
        return value.array()


@dataclass
class Stream:
    """One place where channels can be evened out.

    Attributes
    ----------
    key : str
        Name of the first source's output.
    name : str
        The first source, for a reader.
    channels : int
    smooth : bool
        Scales move from activations to weights behind a normalisation, or through attention;
        otherwise from one layer to the next.
    divided : list of Site
        Constants that are divided by the factors.
    readers : list of Site
        Weights that are multiplied with them.
    whole : list of Node
        What reads the first source's result as it was: multiplied with the factors first.
    values : set of str
        Names of what is divided.
    """

    key: str
    name: str
    channels: int
    smooth: bool = False
    divided: list[Site] = field(default_factory=list)
    readers: list[Site] = field(default_factory=list)
    whole: list[Node] = field(default_factory=list)
    values: set[str] = field(default_factory=set)

    @property
    def kind(self) -> Kind:
        """What evening out is called here."""
        return "smooth" if self.smooth else "equalize"


def find_streams(graph: Graph) -> tuple[list[Stream], list[tuple[str, str]]]:
    """Return the places of a graph, and (name of a source, why not) for each that is none.

    Parameters
    ----------
    graph : Graph
        In preset formats.
    """
    finder = _Finder(graph)
    streams: list[Stream] = []
    refused: list[tuple[str, str]] = []
    for node in graph.nodes:
        if not node.outputs or node.output in finder.seen or source_axis(node) is None:
            continue
        try:
            streams.append(finder.grow(node))
        except Refused as reason:
            beside = finder.beside(node)
            if beside is not None:
                streams.append(beside)
            else:
                refused.append((label(node), str(reason)))
    return streams, refused


def source_axis(node: Node) -> int | None:
    """Return the axis of a node's output whose channels its constants can divide; None: no one."""
    if node.is_preset("conv"):
        return 1
    if node.is_preset("conv_transpose"):
        return 1 if node.attrs.get("group", 1) == 1 else None
    shape = node.output.shape
    if not shape:  # unknown, or that of one number
        return None
    if node.is_preset("linear"):
        return len(shape) - 1
    if node.is_op(*NORMS) and _is_float(node.input(1)):
        last = int(node.attrs.get("axis", -1)) % len(shape) == len(shape) - 1
        return len(shape) - 1 if last else None
    if node.is_op("Mul") and len(node.inputs) == 2:
        gain = node.inputs[1]
        wide = gain is not None and gain.shape == shape[-1:] and _is_float(gain)
        return len(shape) - 1 if wide else None
    return None


class _Finder:
    """Grows streams from their sources; each value belongs to one at most."""

    def __init__(self, graph: Graph) -> None:
        self.seen: set[Value] = set()
        self._consumers = graph.consumers()
        self._outputs = set(graph.outputs)
        self._own = set(graph.nodes)
        self._read: dict[int, int] = {}
        for node in graph.everywhere():
            for value in node.inputs:
                if value is not None and value.const is not None:
                    self._read[id(value.const)] = self._read.get(id(value.const), 0) + 1

    def grow(self, source: Node) -> Stream:
        """Return the stream that a source is part of.

        Raises
        ------
        Refused
            It has none; the reason.
        """
        channels = _channels_of(source)
        stream = Stream(source.output.name, label(source), channels)
        members: dict[Value, Layout] = {}
        entered: set[Node] = set()
        axis = source_axis(source)
        stack = [(source.output, Layout((axis or 0,), (channels,)))]
        reason: Refused | None = None
        # the whole of it is walked even after a refusal: it is the reason of all that hang together
        while stack:
            value, layout = stack.pop()
            if value in members:
                if members[value] != layout and reason is None:
                    reason = Refused(f"two orders of channels meet in '{value.name}'")
                continue
            members[value] = layout
            try:
                stack += self._enter(stream, value, layout, members, entered)
                stack += self._leave(stream, value, layout, members)
            except Refused as refused:
                reason = reason or refused
        self.seen |= set(members)
        stream.values = {value.name for value in members}
        if reason is not None:
            raise reason
        if not stream.readers:
            msg = "no layer reads it"
            raise Refused(msg)
        if channels < LEAST_CHANNELS:
            msg = "it has one channel"
            raise Refused(msg)
        return stream

    def beside(self, source: Node) -> Stream | None:
        """Return the stream of a normalisation's result alone; None where it has none.

        Layers take the factors, and what else reads the result (the sum around them) gets it whole
        by a multiplication.
        """
        value = source.output
        if not source.is_op(*NORMS) or value in self._outputs:
            return None
        channels = _channels_of(source)
        layout = Layout((source_axis(source) or 0,), (channels,))
        stream = Stream(value.name, label(source), channels, smooth=True, values={value.name})
        try:
            self._divide(stream, source, (1, 2), layout, -1)
        except Refused:
            return None
        readers = self._consumers.get(value, [])
        if any(node not in self._own or node.nested for node in readers):
            return None
        stream.whole += [n for n in readers if not self._takes(stream, n, value, layout)]
        return stream if stream.readers else None

    def _takes(self, stream: Stream, node: Node, value: Value, layout: Layout) -> bool:
        """Let the weights of a layer take the factors; tell whether they do."""
        if (
            not node.is_preset("linear")
            or node.inputs[0] is not value
            or node.inputs.count(value) > 1
        ):
            return False
        try:
            self._into_layer(stream, node, 0, layout)
        except Refused:
            return False
        return True

    def _enter(
        self,
        stream: Stream,
        value: Value,
        layout: Layout,
        members: dict[Value, Layout],
        entered: set[Node],
    ) -> list[tuple[Value, Layout]]:
        """Take up what computes a value, and return what has to be in the stream for that."""
        node = value.producer
        if node is None or node not in self._own:
            msg = f"'{value.name}' is no result of a layer"
            raise Refused(msg)
        if node in entered:
            return []
        entered.add(node)
        if node.is_preset("conv", "conv_transpose", "linear"):
            return self._enter_layer(stream, node, layout)
        if node.is_op(*NORMS):
            self._divide(stream, node, (1, 2), layout, -1)
            stream.smooth = True
            return []
        if any(v in members for v in node.inputs if v is not None):
            return []  # it passes on what is in the stream: `_leave` has looked at it
        if node.is_op("Mul") and source_axis(node) is not None:
            self._divide(stream, node, (1,), layout, -1)
            stream.smooth = True
            return []
        return [(v, layout) for v in passed(node, layout)]

    def _enter_layer(
        self, stream: Stream, node: Node, layout: Layout
    ) -> list[tuple[Value, Layout]]:
        if node.attrs.get("activation") not in HOMOGENEOUS:
            msg = f"'{node.attrs['activation']}' does not let a factor through"
            raise Refused(msg)
        if layout != Layout((source_axis(node) or 0,), (stream.channels,)):
            msg = f"the channels of '{label(node)}' lie elsewhere"
            raise Refused(msg)
        self._own_weight(node)
        weight = node.inputs[1]
        rank = 2 if weight is None or weight.const is None else len(weight.const.shape)
        if node.op == "conv_transpose" and node.attrs.get("group", 1) != 1:
            msg = f"'{label(node)}' has groups"
            raise Refused(msg)
        stream.divided.append(Site(node, 1, -rank if node.op == "conv" else 1 - rank))
        self._divide(stream, node, (2,), layout, -1)
        residual = node.input(3)
        return [] if residual is None else [(residual, layout)]

    def _leave(
        self, stream: Stream, value: Value, layout: Layout, members: dict[Value, Layout]
    ) -> list[tuple[Value, Layout]]:
        """Take up what reads a value, and return what comes into the stream by that."""
        if value in self._outputs:
            msg = "it is an output of the model"
            raise Refused(msg)
        found: list[tuple[Value, Layout]] = []
        for node in self._consumers.get(value, []):
            if node not in self._own or node.nested:
                msg = f"the body of '{label(node)}' reads it"
                raise Refused(msg)
            for index in [i for i, v in enumerate(node.inputs) if v is value]:
                if node.is_preset("conv", "conv_transpose", "linear"):
                    found += self._into_layer(stream, node, index, layout)
                else:
                    found += of_layer(node, index, layout, members)
                    self._constants(stream, node, layout)
                    stream.smooth |= node.is_op("MatMul")
        return found

    def _into_layer(
        self, stream: Stream, node: Node, index: int, layout: Layout
    ) -> list[tuple[Value, Layout]]:
        if index == 3:
            return [(node.output, layout)]
        self._own_weight(node)
        weight = node.inputs[1]
        dims = () if weight is None or weight.const is None else weight.const.shape
        group = int(node.attrs.get("group", 1))
        rank = len(dims)
        x = node.input(0)
        shape = None if x is None or node.op != "linear" else x.shape
        axis = 1 if shape is None else len(shape) - 1
        if index != 0 or layout.axes != (axis,) or (node.op != "linear" and layout.repeat != 1):
            msg = f"'{label(node)}' reads it along another axis than that of its channels"
            raise Refused(msg)
        if node.op == "linear":
            site = Site(node, 1, -2, layout.repeat)
        elif group == 1:
            site = Site(node, 1, 1 - rank if node.op == "conv" else -rank)
        elif node.op == "conv" and dims[1] == 1 and group == stream.channels:
            site = Site(node, 1, -rank, dims[0] // group)
        else:
            msg = f"'{label(node)}' reads it in groups"
            raise Refused(msg)
        stream.readers.append(site)
        return []

    def _constants(self, stream: Stream, node: Node, layout: Layout) -> None:
        """Divide what is added to the stream."""
        if not node.is_op("Add", "Sub"):
            return
        for index, value in enumerate(node.inputs):
            if value is not None and value.const is not None:
                rank = len(node.output.shape or ())
                if len(layout.axes) != 1 or not rank:
                    msg = f"what '{label(node)}' adds lies along several axes"
                    raise Refused(msg)
                if not any(s.node is node for s in stream.divided):
                    self._divide(stream, node, (index,), layout, layout.axes[0] - rank)

    def _divide(
        self, stream: Stream, node: Node, indices: tuple[int, ...], layout: Layout, axis: int
    ) -> None:
        for index in indices:
            value = node.input(index)
            if value is None:
                continue
            if not _is_float(value):
                msg = f"input {index} of '{label(node)}' is no constant in float32"
                raise Refused(msg)
            stream.divided.append(Site(node, index, axis, layout.repeat))

    def _own_weight(self, node: Node) -> None:
        """Refuse weights that are not floats, or that something else reads as they are."""
        weight = node.input(1)
        if not _is_float(weight) or weight is None:
            msg = f"the weights of '{label(node)}' are no constants in float32"
            raise Refused(msg)
        if self._read[id(weight.const)] > 1:
            msg = f"something else reads the weights of '{label(node)}' as well"
            raise Refused(msg)


def _channels_of(node: Node) -> int:
    weight = node.input(1)
    if weight is None or weight.const is None:
        return 0
    shape = weight.const.shape
    return int(shape[{"conv": 0, "conv_transpose": 1}.get(node.op, -1)])


def _is_float(value: Value | None) -> bool:
    return (
        value is not None
        and isinstance(value.const, np.ndarray)
        and value.const.dtype == np.float32
    )
