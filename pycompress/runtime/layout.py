"""Layout: convolutions, pools and resizes run channels last; transposes remain at the borders.

A value may be known as a *permuted form*: another value, and the permutation that leads from it to
this one. A layout-bound operator reads and leaves such forms; operators that do not care
(element-wise, Concat, Softmax, Reduce, Pad ...) are rewritten to work on the form; whatever cares
gets a Transpose, made once for each value. A Transpose of the model is a permuted form too, so that
it meets the borders' own and cancels against them. Where only axes of length 1 move, the engine
makes the Transpose a view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pycompress.graph.ir import PRESET, Graph, Node, Value, captures
from pycompress.runtime import permute
from pycompress.runtime.follow import LOOKS_THROUGH, RULES
from pycompress.runtime.moves import NATIVE
from pycompress.runtime.permute import Perm, channels_last, compose, inverse, is_identity
from pycompress.runtime.ranks import rank_of_result

if TYPE_CHECKING:
    from collections.abc import Callable

BOUND = frozenset(
    (
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"),
        *("Resize", "Conv", "ConvInteger"),
    )
)
"""Standard operators whose native kernels want channels last."""

_BOUND_PRESETS = frozenset(("conv", "conv_transpose"))
_BOUND_NATIVE = frozenset(("conv", "conv_transpose", "q_global_average_pool", "group_norm"))
_BY_DOMAIN = {"": BOUND, PRESET: _BOUND_PRESETS, NATIVE: _BOUND_NATIVE}
_WEIGHTED = _BOUND_PRESETS | {"Conv", "ConvInteger"}


class Form(NamedTuple):
    """``value = Transpose(of, perm)``; `sticky`: made channels last, so readers should follow."""

    of: Value
    perm: Perm
    sticky: bool


def to_channels_last(graph: Graph, refusal: Callable[[Node], str | None]) -> Graph:
    """Return `graph`, changed: its layout-bound nodes are channels last, in the native domain.

    Parameters
    ----------
    graph : Graph
        After absorption.
    refusal : tells why the engine cannot run a node, or None; what it refuses stays as it is.
    """
    return Layout(graph, refusal).run()


class Layout:
    """The pass at work: the rules of `follow` call it."""

    def __init__(self, graph: Graph, refusal: Callable[[Node], str | None]) -> None:
        self.graph = graph
        self.refusal = refusal
        self.forms: dict[Value, Form] = {}
        self.made: dict[tuple[Value, Perm], Value] = {}
        self.ranks: dict[Value, int] = {}
        self.nodes: list[Node] = []
        self.readers = graph.consumers()

    def run(self) -> Graph:
        """Return the graph, rewritten."""
        for node in self.graph.nodes:
            if node.op in _BY_DOMAIN.get(node.domain, ()) and self._is_bound(node):
                self._bound(node)
            elif node.op == "Transpose" and not node.domain:
                self._transpose(node)
            elif not (self._moved(node) and self._follow(node)):
                self._plain(node)
        for out in dict.fromkeys(self.graph.outputs):
            if out in self.forms:
                self.emit(Node("Identity", [self.plain(out)], [out], name=f"{out.name}_layout"))
        self.graph.nodes = self.nodes
        self.graph.prune()
        return self.graph

    # ---- values ------------------------------------------------------------------------------

    def rank(self, value: Value) -> int | None:
        """Return the number of dimensions where it is known."""
        if value in self.forms:
            return len(self.forms[value].perm)
        if value.const is not None:
            return len(value.const.shape)
        if value.shape is not None:
            return len(value.shape)
        return self.ranks.get(value)

    def plain(self, value: Value) -> Value:
        """Return `value` itself, computed by a Transpose if it only exists in permuted form."""
        form = self.forms.get(value)
        return value if form is None else self.permuted(form.of, form.perm, value)

    def permuted(self, value: Value, perm: Perm, like: Value | None = None) -> Value:
        """Return ``Transpose(value, perm)``, made once."""
        if is_identity(perm):
            return value
        if value.const is not None:
            return permute.constant(value, perm)
        key = value, perm
        if key not in self.made:
            name = (value if like is None else like).name + permute.suffix(perm)
            out = Value(name, value.dtype, permute.shape(value.shape, perm))
            self.made[key] = self.emit(
                Node("Transpose", [value], [out], {"perm": list(perm)}, name=name)
            )
            self.ranks[out] = len(perm)
        return self.made[key]

    def seen_through(self, value: Value, perm: Perm) -> Value:
        """Return the value `x` for which ``value = Transpose(x, perm)``."""
        back = inverse(perm)
        form = self.forms.get(value)
        return (
            self.permuted(value, back)
            if form is None
            else self.permuted(form.of, compose(form.perm, back))
        )

    def operand(self, value: Value, perm: Perm) -> Value | None:
        """Return `value` for a broadcasting operator seen through `perm`; None: rank unknown."""
        rank, wanted = self.rank(value), len(perm)
        if rank is None or rank > wanted:
            return None
        if isinstance(value.const, np.ndarray) and value.const.size == 1:
            return value
        if rank < wanted and value.const is not None:
            value = permute.widened(value, wanted)
        elif rank == 0:
            return self.plain(value)
        elif rank < wanted:
            value = self._unsqueezed(self.plain(value), wanted - rank)
        return self.seen_through(value, perm)

    def _unsqueezed(self, value: Value, count: int) -> Value:
        axes = permute.integers(range(count), f"{value.name}_axes")
        shape = None if value.shape is None else (1,) * count + value.shape
        out = Value(f"{value.name}_wide", value.dtype, shape)
        rank = self.rank(value)
        self.ranks[out] = count + (0 if rank is None else rank)
        return self.emit(Node("Unsqueeze", [value, axes], [out], name=out.name))

    def _repeated(self, value: Value, times: int, of: tuple[int, int]) -> Value:
        """Return `value`, of this rank and last size, each element of its last axis so often."""
        rank, size = of
        stem = f"{value.name}_times{times}"
        column = Value(f"{stem}_column", value.dtype)
        wide = Value(f"{stem}_wide", value.dtype)
        out = Value(stem, value.dtype)
        self.ranks[out] = rank
        axis, shape, target = (
            permute.integers(numbers, f"{stem}_{name}")
            for name, numbers in (
                ("axis", [-1]),
                ("shape", [*[1] * rank, times]),
                ("target", [*[0] * (rank - 1), size * times]),
            )
        )
        self.emit(Node("Unsqueeze", [value, axis], [column], name=column.name))
        self.emit(Node("Expand", [column, shape], [wide], name=wide.name))
        return self.emit(Node("Reshape", [wide, target], [out], name=stem))

    def emit(self, node: Node) -> Value:
        """Append a node; return its first output."""
        self.nodes.append(node)
        return node.output

    def define(
        self,
        node: Node,
        inputs: list[Value | None],
        attrs: dict[str, Any],
        perm: Perm,
        *,
        sticky: bool,
    ) -> None:
        """Emit the node that computes the outputs of `node` as seen through `perm`."""
        suffix, back = permute.suffix(perm), inverse(perm)
        values = [
            Value(out.name + suffix, out.dtype, permute.shape(out.shape, back))
            for out in node.outputs
        ]
        domain = NATIVE if node.op in BOUND or node.op in _BOUND_PRESETS else node.domain
        self.nodes.append(Node(node.op, inputs, values, attrs, domain, node.name, node.metadata))
        for out, value in zip(node.outputs, values, strict=True):
            self.forms[out] = Form(value, perm, sticky)
            self.ranks[value] = len(perm)

    # ---- nodes -------------------------------------------------------------------------------

    def _is_bound(self, node: Node) -> bool:
        if len(node.outputs) != 1:
            return False
        x = node.inputs[0]
        known = node.domain != "" or (x is not None and self.rank(x) is not None)
        return known and self.refusal(node) is None

    def _bound(self, node: Node) -> None:
        x = node.inputs[0]
        if x is None:
            msg = f"node '{node.name}' ({node.op}) has no first input"
            raise ValueError(msg)
        weight = node.input(1) if node.op in _WEIGHTED else None
        rank = (
            len(weight.const.shape)
            if weight is not None and weight.const is not None
            else self.rank(x)
        )
        if rank is None:
            msg = f"node '{node.name}' ({node.op}): the rank of '{x.name}' is not known"
            raise ValueError(msg)
        perm = channels_last(rank)
        others = node.inputs[1:]
        if not node.domain:  # presets have constants there, and a residual
            others = [None if v is None else self.plain(v) for v in others]
        attrs = dict(node.attrs)
        moved, times = self.seen_through(x, perm), _filters_to_a_channel(node, weight)
        if times > 1:
            moved = self._repeated(moved, times, (rank, attrs["group"]))
            attrs["group"] *= times
        inputs: list[Value | None] = [moved, *others]
        if node.op == "Resize":
            attrs["axes"] = permute.axes_through(attrs.get("axes"), perm)
        elif node.op == "conv" and len(inputs) > 3 and inputs[3] is not None:
            inputs[3] = self.seen_through(inputs[3], perm)
        self.define(node, inputs, attrs, perm, sticky=True)

    def _transpose(self, node: Node) -> None:
        x = node.inputs[0]
        perm = node.attrs.get("perm")
        rank = None if x is None else self.rank(x)
        known = None if perm is None else len(perm)
        if x is None or (perm is None and rank is None) or known not in {None, rank, rank or known}:
            self._plain(node)
            return
        perm = (
            tuple(int(p) for p in perm) if perm is not None else tuple(reversed(range(rank or 0)))
        )
        form = self.forms.get(x, Form(x, tuple(range(len(perm))), sticky=False))
        whole = compose(form.perm, perm)
        self.forms[node.output] = Form(form.of, whole, form.sticky)

    def _follow(self, node: Node) -> bool:
        """Rewrite the node to work on its inputs' permuted form, if it can and should."""
        rewrite = RULES.get((node.domain, node.op))
        if rewrite is None:
            return False
        lead = self._lead(node)
        return lead is not None and rewrite(self, node, lead)

    def _lead(self, node: Node) -> Form | None:
        """Return the form to follow: a sticky one, else that of the only tensor, if read once."""
        known = self.forms
        forms = [known[v] for v in node.inputs if v in known]
        forms = [f for f in forms if not is_identity(f.perm)]
        if not forms:
            return None
        sticky = max((f for f in forms if f.sticky), key=lambda f: len(f.perm), default=None)
        if sticky is not None or node.op in LOOKS_THROUGH:
            return sticky or forms[0]
        tensors = [
            v
            for v in node.inputs
            if v is not None and not (v.const is not None and v.array().size == 1)
        ]
        alone = len(tensors) == 1 and self.readers.get(tensors[0]) == [node]
        return forms[0] if alone and not any(v is tensors[0] for v in self.graph.outputs) else None

    def _moved(self, node: Node) -> bool:
        """Tell whether an input only exists in permuted form."""
        return any(v is not None and v in self.forms for v in node.inputs)

    def _plain(self, node: Node) -> None:
        if self._moved(node):
            node.inputs = [None if v is None else self.plain(v) for v in node.inputs]
        for sub in node.subgraphs() if node.nested else ():
            for value in [v for v in captures(sub) if v in self.forms]:
                sub.replace(value, self.plain(value))
        self.nodes.append(node)
        for out in node.outputs:
            if out.shape is not None:
                continue  # which tells the rank
            rank = rank_of_result(node, [None if v is None else self.rank(v) for v in node.inputs])
            if rank is not None:
                self.ranks[out] = rank


def _filters_to_a_channel(node: Node, weight: Value | None) -> int:
    """Return how many filters each channel has, in a convolution that mixes no channels.

    With more than one (MobileNet's depth multiplier) it is a depthwise convolution of channels that
    are repeated.
    """
    groups = node.attrs.get("group", 1)
    if node.op != "conv" or weight is None or weight.const is None or groups == 1:
        return 1
    filters, channels = weight.const.shape[:2]
    return int(filters // groups) if channels == 1 else 1
