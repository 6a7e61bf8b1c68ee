"""What each operator does to shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from pycompress.graph.dims import (
    broadcast,
    ceil_divided,
    floor_divided,
    plus,
    product,
    quotient,
    times,
)
from pycompress.graph.shape_rules_several import SEVERAL

if TYPE_CHECKING:
    from pycompress.graph.ir import Dim, Node, Shape
    from pycompress.graph.shapes import Shapes

_NO_END = 10**9  # exporters write a number like this for "to the end"

Rule: TypeAlias = Callable[["Shapes", "Node"], "Shape | None"]


def outputs(shapes: Shapes, node: Node) -> list[Shape | None]:
    """Return the shapes of a node's outputs; none, or None, where nothing is known."""
    name = node.op if node.domain == "" else f"{node.domain}.{node.op}"
    rule, several = _RULES.get(name), SEVERAL.get(name)
    try:
        if rule is not None:
            return [rule(shapes, node)]
        return [] if several is None else several(shapes, node)
    except ZeroDivisionError:  # an axis of a number: whoever runs it says that there is none
        return []


def _same(shapes: Shapes, node: Node) -> Shape | None:
    return shapes.shape(node.input(0))


def _broadcast(shapes: Shapes, node: Node) -> Shape | None:
    return broadcast(*(shapes.shape(v) for v in node.inputs))


def _conv(shapes: Shapes, node: Node) -> Shape | None:
    x, w = shapes.shape(node.input(0)), shapes.shape(node.input(1))
    if x is None or w is None or len(x) != len(w):
        return None
    kernel = [d for d in w[2:] if isinstance(d, int)]
    sizes = _window(node, x[2:], kernel)
    return None if sizes is None else (x[0], w[0], *sizes)


def _pool(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    if x is None:
        return None
    ceil = node.attrs.get("ceil_mode")
    sizes = None if ceil else _window(node, x[2:], node.attrs["kernel_shape"])
    return (*x[:2], *(sizes or [None] * len(x[2:])))


def _window(node: Node, sizes: Shape, kernel: list[int]) -> Shape | None:
    """Return the spatial sizes behind a sliding window."""
    axes = len(sizes)
    strides = node.attrs.get("strides") or [1] * axes
    if len(kernel) != axes or min(strides, default=1) < 1:
        return None
    dilations = node.attrs.get("dilations") or [1] * axes
    if node.attrs.get("auto_pad", "NOTSET") in {"SAME_UPPER", "SAME_LOWER"}:
        return tuple(ceil_divided(d, s) for d, s in zip(sizes, strides, strict=True))
    pads = node.attrs.get("pads") or [0] * 2 * axes
    out: list[Dim] = []
    for i, size in enumerate(sizes):
        reach = dilations[i] * (kernel[i] - 1) + 1
        room = plus(size, pads[i] + pads[i + axes] - reach)
        out.append(plus(floor_divided(room, strides[i]), 1))
    return tuple(out)


def _conv_transpose(shapes: Shapes, node: Node) -> Shape | None:
    x, w = shapes.shape(node.input(0)), shapes.shape(node.input(1))
    plain = node.attrs.get("auto_pad", "NOTSET") == "NOTSET" and "output_shape" not in node.attrs
    if x is None or w is None or len(x) != len(w) or not plain:
        return None
    axes = len(x) - 2
    attrs = node.attrs
    strides, dilations = attrs.get("strides") or [1] * axes, attrs.get("dilations") or [1] * axes
    pads, extra = attrs.get("pads") or [0] * 2 * axes, attrs.get("output_padding") or [0] * axes
    sizes: list[Dim] = []
    for i in range(axes):
        size, kernel = x[2 + i], w[2 + i]
        if not isinstance(kernel, int):
            return None
        rest = dilations[i] * (kernel - 1) + 1 + extra[i] - pads[i] - pads[i + axes]
        sizes.append(plus(times(plus(size, -1), strides[i]), rest))
    return (x[0], times(w[1], int(attrs.get("group", 1))), *sizes)


def _global_pool(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    return None if x is None else (*x[:2], *[1] * (len(x) - 2))


def _matmul(shapes: Shapes, node: Node) -> Shape | None:
    a, b = shapes.shape(node.input(0)), shapes.shape(node.input(1))
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    outer = broadcast(a[:-2], b[:-2])
    return None if outer is None else (*outer, a[-2], b[-1])


def _linear(shapes: Shapes, node: Node) -> Shape | None:
    a, b = shapes.shape(node.input(0)), shapes.shape(node.input(1))
    return None if a is None or b is None else (*a[:-1], b[1])


def _gemm(shapes: Shapes, node: Node) -> Shape | None:
    a, b = shapes.shape(node.input(0)), shapes.shape(node.input(1))
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return None
    return a[1 if node.attrs.get("transA") else 0], b[0 if node.attrs.get("transB") else 1]


def _flatten(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    if x is None:
        return None
    axis = node.attrs.get("axis", 1)
    axis += len(x) if axis < 0 else 0
    return product(x[:axis]), product(x[axis:])


def _transpose(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    if x is None:
        return None
    perm = node.attrs.get("perm", range(len(x))[::-1])
    return tuple([x[i] for i in perm]) if len(perm) == len(x) else None


def _reshape(shapes: Shapes, node: Node) -> Shape | None:
    x, target = shapes.shape(node.input(0)), shapes.content(node.input(1))
    if target is None:
        return None
    dims: list[Dim] = list(target)
    if not node.attrs.get("allowzero"):
        for i, dim in enumerate(dims):
            if dim == 0:
                dims[i] = x[i] if x is not None and i < len(x) else None
    if -1 in dims:
        free = dims.index(-1)
        others = [d for d in dims if d != -1]
        dims[free] = None if x is None else quotient(x, others)
    return tuple(dims)


def _concat(shapes: Shapes, node: Node) -> Shape | None:
    parts = [shapes.shape(v) for v in node.inputs]
    known = [p for p in parts if p is not None]
    if len(known) < len(parts) or len({len(p) for p in known}) != 1:
        return None
    axis = node.attrs["axis"] % len(known[0])
    joined = list(known[0])
    for i, size in enumerate(known[0]):
        if i != axis and isinstance(size, int):
            continue
        column = [p[i] for p in known]
        if i == axis:
            sizes = [d for d in column if isinstance(d, int)]
            joined[i] = sum(sizes) if len(sizes) == len(column) else None
        else:
            joined[i] = next((d for d in column if isinstance(d, int)), column[0])
    return tuple(joined)


def _gather(shapes: Shapes, node: Node) -> Shape | None:
    x, indices = shapes.shape(node.input(0)), shapes.shape(node.input(1))
    if x is None or indices is None or not x:
        return None
    axis = node.attrs.get("axis", 0) % len(x)
    return (*x[:axis], *indices, *x[axis + 1 :])


def _unsqueeze(shapes: Shapes, node: Node) -> Shape | None:
    x, axes = shapes.shape(node.input(0)), shapes.content(node.input(1))
    if x is None or axes is None:
        return None
    rank = len(x) + len(axes)
    at = {a % rank for a in axes if isinstance(a, int)}
    rest = iter(x)
    return tuple([1 if i in at else next(rest) for i in range(rank)])


def _squeeze(shapes: Shapes, node: Node) -> Shape | None:
    x, axes = shapes.shape(node.input(0)), shapes.content(node.input(1))
    if x is None or axes is None:
        return None
    at = {a % len(x) for a in axes if isinstance(a, int)}
    return tuple([d for i, d in enumerate(x) if i not in at])


def _expand(shapes: Shapes, node: Node) -> Shape | None:
    return broadcast(shapes.shape(node.input(0)), shapes.content(node.input(1)))


def _reduce(shapes: Shapes, node: Node) -> Shape | None:
    x, axes = shapes.shape(node.input(0)), shapes.content(node.input(1))
    if x is None or (axes is None and node.input(1) is not None):
        return None
    if not axes and node.attrs.get("noop_with_empty_axes"):
        return x
    at = {a % len(x) for a in axes or range(len(x)) if isinstance(a, int)} if x else set()
    kept = node.attrs.get("keepdims", 1)
    return tuple([1 if i in at else d for i, d in enumerate(x) if kept or i not in at])


def _slice(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    starts, ends, axes, steps = [shapes.content(node.input(i)) for i in range(1, 5)]
    if x is None or (axes is None and (starts is None or node.input(3) is not None)):
        return None if x is None else (None,) * len(x)
    out: list[Dim] = list(x)
    for i, axis in enumerate(range(len(starts or ())) if axes is None else axes):
        at = axis % len(x) if isinstance(axis, int) else 0
        start, end = (None if bounds is None else bounds[i] for bounds in (starts, ends))
        step = 1 if node.input(4) is None else None if steps is None else steps[i]
        out[at] = _sliced(x[at], start, end, step)
    return tuple(out)


def _sliced(size: Dim, start: Dim, end: Dim, step: Dim) -> Dim:
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(step, int)):
        return None
    if (start, step) == (0, 1) and end >= _NO_END:
        return size
    return len(range(size)[start:end:step]) if isinstance(size, int) else None


def _pad(shapes: Shapes, node: Node) -> Shape | None:
    x, pads = shapes.shape(node.input(0)), shapes.content(node.input(1))
    if x is None:
        return None
    axes = shapes.content(node.input(3)) if node.input(3) is not None else tuple(range(len(x)))
    if pads is None or axes is None:
        return tuple(None for _ in x)
    out = list(x)
    for i, axis in enumerate(axes):
        before, behind = pads[i], pads[i + len(axes)]
        if isinstance(axis, int) and isinstance(before, int) and isinstance(behind, int):
            out[axis % len(x)] = plus(x[axis % len(x)], before + behind)
    return tuple(out)


def _resize(shapes: Shapes, node: Node) -> Shape | None:
    x, scales = shapes.shape(node.input(0)), node.input(2)
    if x is None or scales is None or scales.const is None or "axes" in node.attrs:
        return None
    factors = scales.array().ravel().tolist()
    if len(factors) != len(x):
        return None
    whole = [int(f) if f >= 1 and f == int(f) else None for f in factors]
    return tuple(None if f is None else times(d, f) for d, f in zip(x, whole, strict=True))


def _blocks(shapes: Shapes, node: Node) -> Shape | None:
    """Return the shape behind DepthToSpace or SpaceToDepth."""
    x, size = shapes.shape(node.input(0)), int(node.attrs.get("blocksize", 0))
    if x is None or len(x) != 4 or size < 1:
        return None
    if node.op == "SpaceToDepth":
        return x[0], times(x[1], size * size), *(floor_divided(d, size) for d in x[2:])
    return x[0], floor_divided(x[1], size * size), *(times(d, size) for d in x[2:])


def _constant_of_shape(shapes: Shapes, node: Node) -> Shape | None:
    content, sizes = shapes.content(node.input(0)), shapes.shape(node.input(0))
    if content is None and sizes and isinstance(sizes[0], int):
        return (None,) * sizes[0]
    return content


def _shape(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    if x is None:
        return (None,)
    return (len(x[node.attrs.get("start", 0) : node.attrs.get("end")]),)


def _arg(shapes: Shapes, node: Node) -> Shape | None:
    x = shapes.shape(node.input(0))
    if x is None:
        return None
    axis = node.attrs.get("axis", 0) % len(x)
    return (*x[:axis], *[1] * bool(node.attrs.get("keepdims", 1)), *x[axis + 1 :])


def _range(shapes: Shapes, node: Node) -> Shape | None:
    start, limit, delta = (shapes.content(v) for v in node.inputs)
    return limit if start == (0,) and delta == (1,) and limit is not None else (None,)


SAME = [
    *("Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Selu", "Celu"),
    *("Softplus", "Softsign", "Gelu", "Mish", "Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Neg"),
    *("Abs", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Clip", "Cast", "Identity"),
    *("Dropout", "Softmax", "LogSoftmax", "Hardmax", "BatchNormalization", "LayerNormalization"),
    *("InstanceNormalization", "GroupNormalization", "LpNormalization", "Not", "CumSum", "Trilu"),
    *("QuantizeLinear", "DequantizeLinear", "pycompress.activation"),
]
BROADCAST = [
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Where", "And"),
    *("Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "PRelu"),
    *("BitShift",),
]
_REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]

MAY_DIFFER = frozenset((*BROADCAST, "If", "Concat"))
"""Operators of two known shapes that may give one that is not: sizes of different names meet."""

_RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, _same),
    **dict.fromkeys(BROADCAST, _broadcast),
    **{f"Reduce{name}": _reduce for name in _REDUCTIONS},
    **dict.fromkeys(("Conv", "pycompress.conv", "ConvInteger"), _conv),
    **dict.fromkeys(("ConvTranspose", "pycompress.conv_transpose"), _conv_transpose),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _blocks),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("MatMul", "MatMulInteger"), _matmul),
    "pycompress.linear": _linear,
    "pycompress.embedding": _gather,
    "Gemm": _gemm,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Concat": _concat,
    "Gather": _gather,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Expand": _expand,
    "Slice": _slice,
    "Pad": _pad,
    "Resize": _resize,
    "ConstantOfShape": _constant_of_shape,
    "Shape": _shape,
    "Size": lambda *_: (),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    "Range": _range,
}
