"""What is timed: shapes of real networks, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod

KINDS = ("gemm", "matmul", "linear", "conv", "quantize", "int4", "bf16", "float32")
"""gemm: integers; matmul: the same, both sides at run time; linear: float in and out, int8 inside;
int4, bf16: float by such weights."""

INT4_BLOCK = 32
"""Values that share a float32 scale."""


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    shape : tuple of int
        gemm, linear, int4, bf16, float32: M, N, K. matmul: how many, M, N, K. conv: height and
        width, channels, filters, kernel, stride, groups. quantize: the tensor's.
    axis : int or None
        quantize: the axis that has a scale for each index.
    """

    kind: str
    shape: tuple[int, ...]
    axis: int | None = None

    @property
    def name(self) -> str:
        """What a person calls it, unique within its kind."""
        if self.kind != "conv":
            sizes = "x".join(map(str, self.shape))
            return sizes if self.axis is None else f"{sizes} axis {self.axis}"
        size, channels, filters, kernel, stride, groups = self.shape
        depthwise = groups == channels == filters and groups > 1
        grouped = "" if groups == 1 else " depthwise" if depthwise else f" {groups} groups"
        stepped = f" / {stride}" if stride > 1 else ""
        wide = str(channels) if depthwise else f"{channels}->{filters}"
        return f"{kernel}x{kernel}{grouped} {size}x{size}x{wide}{stepped}"

    @property
    def operations(self) -> int:
        """Products and additions; 0 for quantize, which is bound by memory alone."""
        if self.kind == "quantize":
            return 0
        if self.kind != "conv":
            return 2 * prod(self.shape)
        _, channels, filters, kernel, _, groups = self.shape
        return 2 * self.out_size**2 * filters * (channels // groups) * kernel**2

    @property
    def bytes(self) -> int:
        """Of operands and result, each counted once."""
        if self.kind == "quantize":
            return 5 * prod(self.shape)
        if self.kind == "conv":
            size, channels, filters, kernel, _, groups = self.shape
            weights = filters * (channels // groups) * kernel**2
            return size**2 * channels + self.out_size**2 * filters + weights
        *many, m, n, k = self.shape
        if self.kind == "matmul":
            return prod(many) * (m * k + k * n + 4 * m * n)
        weights = n * k
        if self.kind == "int4":
            weights = n * (k // 2 + 4 * -(-k // INT4_BLOCK))
        weights *= {"bf16": 2, "float32": 4}.get(self.kind, 1)
        return (1 if self.kind == "gemm" else 4) * m * k + weights + 4 * m * n

    @property
    def types(self) -> tuple[str, ...]:
        """Types of products that bound it: the first that this CPU has an instruction for."""
        return _TYPES[self.kind]

    @property
    def out_size(self) -> int:
        """Height and width of a convolution's result; the padding is half the kernel."""
        size, _, _, kernel, stride, _ = self.shape
        return (size + 2 * (kernel // 2) - kernel) // stride + 1


_TYPES = {
    "gemm": ("int8",),
    "matmul": ("int8",),
    "linear": ("int8",),
    "conv": ("int8",),
    "int4": ("int8",),
    "bf16": ("bf16", "float32"),
    "float32": ("float32",),
    "quantize": (),
}


def _products(kind: str, rows: tuple[int, ...], *weights: tuple[int, int]) -> list[Case]:
    return [Case(kind, (m, *nk)) for nk, m in product(weights, rows)]


def _convolutions(*layers: tuple[int, int, int, int, int, int]) -> list[Case]:
    return [Case("conv", layer) for layer in layers]


def _squares(kind: str) -> list[Case]:
    return [Case(kind, (n, n, n)) for n in (64, 128, 256, 512, 1024)]


_BERT = ((768, 768), (3072, 768), (768, 3072), (4096, 4096))
_ATTENTION = ((12, 128, 128, 64), (12, 128, 64, 128), (12, 384, 384, 64), (12, 384, 64, 384))
_IM2COL = ((3136, 64, 576), (784, 128, 1152), (196, 256, 2304), (49, 512, 4608), (3136, 256, 64))
_POINTWISE = ((12544, 32, 27), (3136, 96, 16), (784, 144, 24), (196, 384, 64), (49, 960, 160))

SETS: dict[str, tuple[Case, ...]] = {
    "transformer": (
        *_products("gemm", (1, 4, 16, 128, 512), *_BERT),
        *(Case("matmul", shape) for shape in _ATTENTION),
        *_products("linear", (1, 16, 128), *_BERT),
        *_products("int4", (1, 4, 16), *_BERT),
        *_products("bf16", (1, 16, 128), *_BERT),
        *_products("float32", (1, 16, 128), *_BERT),
        Case("quantize", (128, 768)),
        Case("quantize", (128, 3072)),
        Case("quantize", (3072, 768), 0),
        Case("quantize", (3072, 768), 1),
        Case("quantize", (4096, 4096)),
    ),
    "resnet50": (
        *(Case("gemm", shape) for shape in _IM2COL),
        *(Case("linear", shape) for shape in ((1, 1000, 2048), (16, 1000, 2048))),
        *_convolutions(
            (224, 3, 64, 7, 2, 1),
            (56, 64, 64, 1, 1, 1),
            (56, 64, 64, 3, 1, 1),
            (56, 64, 256, 1, 1, 1),
            (28, 128, 128, 3, 1, 1),
            (28, 256, 512, 1, 2, 1),
            (14, 256, 256, 3, 1, 1),
            (14, 256, 1024, 1, 1, 1),
            (7, 512, 512, 3, 1, 1),
        ),
        Case("quantize", (1, 56, 56, 256)),
        Case("quantize", (512, 512, 3, 3), 0),
        Case("quantize", (512, 512, 3, 3), 1),
    ),
    "mobilenet": (
        *(Case("gemm", shape) for shape in _POINTWISE),
        *(Case("linear", shape) for shape in ((1, 1000, 1280), (16, 1000, 1280))),
        *_convolutions(
            (224, 3, 32, 3, 2, 1),
            (112, 32, 32, 3, 1, 32),
            (112, 96, 96, 3, 2, 96),
            (56, 144, 144, 3, 1, 144),
            (28, 192, 192, 5, 2, 192),
            (14, 512, 512, 3, 1, 512),
            (28, 32, 192, 1, 1, 1),
            (14, 384, 64, 1, 1, 1),
            (7, 160, 960, 1, 1, 1),
        ),
        Case("quantize", (1, 112, 112, 32)),
        Case("quantize", (1, 7, 7, 1280)),
    ),
    "square": (
        *_squares("gemm"),
        *_squares("linear"),
        *_squares("bf16"),
        *_squares("float32"),
        *(Case("quantize", (n, n)) for n in (64, 256, 1024, 4096)),
    ),
}

DEFAULT_SET = {
    "gemm": "transformer",
    "matmul": "transformer",
    "linear": "transformer",
    "conv": "resnet50",
    "quantize": "transformer",
    "int4": "transformer",
    "bf16": "transformer",
    "float32": "transformer",
}


def choose(kinds: tuple[str, ...], chosen: str | None, shapes: tuple[str, ...]) -> list[Case]:
    """Return the cases that a command line names.

    Parameters
    ----------
    kinds
        Some of `KINDS`.
    chosen
        One of `SETS`; None: each kind's own.
    shapes
        Instead of a set: numbers between commas, read as the one kind says.

    Raises
    ------
    ValueError
        A set or a shape does not fit the kind; the message says what would.
    """
    if shapes:
        if len(kinds) != 1 or chosen is not None:
            msg = f"--shape needs one kind of work ({', '.join(KINDS)}) and no --set"
            raise ValueError(msg)
        return [_READ_SHAPE[kinds[0]](kinds[0], text) for text in shapes]
    if chosen is not None and chosen not in SETS:
        msg = f"--set: found '{chosen}', wanted one of {', '.join(SETS)}"
        raise ValueError(msg)
    found = [
        case for kind in kinds for case in SETS[chosen or DEFAULT_SET[kind]] if case.kind == kind
    ]
    if not found:
        having = [name for name, cases in SETS.items() if any(c.kind in kinds for c in cases)]
        msg = f"--set: '{chosen}' has no {kinds[0]} in it; those that have: {', '.join(having)}"
        raise ValueError(msg)
    return found


def _numbers(kind: str, text: str, wanted: str, least: int, most: int) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not least <= len(numbers) <= most or any(n < 1 for n in numbers):
        msg = f"--shape of {kind}: found '{text}', wanted {wanted}"
        raise ValueError(msg)
    return numbers


def _read_product(kind: str, text: str) -> Case:
    return Case(kind, _numbers(kind, text, "M,N,K", 3, 3))


def _read_products(kind: str, text: str) -> Case:
    return Case(kind, _numbers(kind, text, "COUNT,M,N,K", 4, 4))


def _read_tensor(kind: str, text: str) -> Case:
    shape, _, axis = text.partition("@")
    numbers = _numbers(kind, shape, "sizes between commas, @axis after them", 1, 8)
    if axis and (not axis.isdigit() or int(axis) >= len(numbers)):
        msg = f"--shape of {kind}: found axis '{axis}', wanted 0 to {len(numbers) - 1}"
        raise ValueError(msg)
    return Case(kind, numbers, int(axis) if axis else None)


def _read_layer(kind: str, text: str) -> Case:
    wanted = "SIZE,CHANNELS,FILTERS,KERNEL[,STRIDE[,GROUPS]]"
    numbers = _numbers(kind, text, wanted, 4, 6)
    size, channels, filters, kernel, stride, groups = (*numbers, 1, 1)[:6]
    if channels % groups or filters % groups or kernel > size + 2 * (kernel // 2):
        msg = f"--shape of {kind}: '{text}' is no convolution ({wanted})"
        raise ValueError(msg)
    return Case(kind, (size, channels, filters, kernel, stride, groups))


_READ_SHAPE: dict[str, Callable[[str, str], Case]] = {
    "gemm": _read_product,
    "matmul": _read_products,
    "linear": _read_product,
    "int4": _read_product,
    "bf16": _read_product,
    "float32": _read_product,
    "conv": _read_layer,
    "quantize": _read_tensor,
}
