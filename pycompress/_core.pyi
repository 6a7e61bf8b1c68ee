"""
Native kernels and engine of pycompress.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy

__all__: list[str] = [
    "Activation",
    "DataOp",
    "GraphReader",
    "GraphSurvey",
    "GraphWalks",
    "PackedBf16",
    "PackedBf16Convolution",
    "PackedConvolution",
    "PackedInt4",
    "PackedWeights",
    "Program",
    "add_q8",
    "available_isas",
    "bf16_isa",
    "bf16_tile",
    "binary",
    "checksum",
    "conv_bf16",
    "data_ops",
    "dequantize",
    "gemm_bf16",
    "gemm_int4",
    "gemm_tile",
    "get_num_threads",
    "int4_tile",
    "isa",
    "layer_norm",
    "limit_peaks",
    "limit_traffic",
    "linear",
    "max_q8",
    "pack",
    "pack_bf16",
    "pack_conv",
    "pack_conv_bf16",
    "pack_int4",
    "parse_onnx",
    "program_ops",
    "qconv",
    "qgemm",
    "qlinear",
    "qmatmul",
    "quantize",
    "quantize_weights",
    "range",
    "reduce",
    "reduce_rows",
    "scaled",
    "set_num_threads",
    "softmax",
    "sum_q8",
    "table",
    "time_peak",
    "time_traffic",
    "unary",
    "use_isa",
    "view_of",
]

class PackedBf16:
    """
    bfloat16 weights [K, N] in the panels of one kernel.
    """

    def __repr__(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...

class PackedBf16Convolution:
    """
    bfloat16 filters [O, I, k...] in the panels of one kernel.
    """

    def __repr__(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...

class DataOp:
    """
    An operator whose results' shapes follow from its inputs' values.
    """

    def __init__(
        self,
        op: str,
        name: str,
        inputs: typing.SupportsInt | typing.SupportsIndex,
        outputs: typing.SupportsInt | typing.SupportsIndex,
        attrs: dict[typing.Any, typing.Any],
    ) -> None: ...
    def run(self, inputs: collections.abc.Sequence[numpy.ndarray | None]) -> list[typing.Any]: ...

class PackedWeights:
    """
    Weights [K, N] in the panels of one instruction set.
    """

    def __repr__(self) -> str: ...
    @property
    def bias(self) -> typing.Any: ...
    @property
    def dtype(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def scale(self) -> typing.Any: ...
    @property
    def shape(self) -> tuple[int, int]: ...

class GraphWalks:
    """
    Walks over nodes and values, instances of these two classes.
    """

    def __init__(self, node: type, value: type) -> None: ...
    def in_order(self, nodes: list[typing.Any]) -> bool: ...
    def names(self, nodes: list[typing.Any], taken: set[typing.Any]) -> None: ...
    def order(self, nodes: list[typing.Any], roots: list[typing.Any]) -> list[typing.Any]: ...
    def readers(self, nodes: list[typing.Any], as_dicts: bool) -> dict[typing.Any, typing.Any]: ...
    def settle(
        self,
        node: typing.Any,
        shapes: dict[typing.Any, typing.Any],
        rules: dict[typing.Any, typing.Any],
        with_types: bool,
    ) -> bool: ...
    def surroundings(
        self,
        node: typing.Any,
        members: dict[typing.Any, typing.Any],
        others: tuple[typing.Any, ...],
    ) -> tuple[typing.Any, ...]: ...

class PackedInt4:
    """
    4-bit weights [K, N] in the panels of one instruction set.
    """

    def __repr__(self) -> str: ...
    @property
    def block(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...

class Activation:
    def __init__(
        self,
        name: str,
        alpha: typing.SupportsFloat | typing.SupportsIndex | None = None,
        beta: typing.SupportsFloat | typing.SupportsIndex | None = None,
    ) -> None: ...

class PackedConvolution:
    """
    Weights of a convolution, packed for one instruction set.
    """

    def __repr__(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def groups(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...

class GraphReader:
    """
    Makes nodes and values of the messages of a file.
    """

    def __init__(
        self,
        node: type,
        value: type,
        dtypes: dict[typing.Any, typing.Any],
        limits: dict[typing.Any, typing.Any],
    ) -> None: ...
    def take(
        self,
        tensors: typing.Any,
        file: numpy.ndarray,
        local: dict[typing.Any, typing.Any],
        taken: set[typing.Any],
        builder: typing.Any,
    ) -> None: ...
    def wire(
        self,
        messages: typing.Any,
        file: numpy.ndarray,
        types: dict[typing.Any, typing.Any],
        local: dict[typing.Any, typing.Any],
        outer: dict[typing.Any, typing.Any],
        taken: set[typing.Any],
        builder: typing.Any,
    ) -> list[typing.Any]: ...

class Program:
    """
    A model's operators, planned per signature of input shapes.
    """

    def __init__(self, threads: typing.SupportsInt | typing.SupportsIndex = 1) -> None: ...
    def add(
        self,
        op: str,
        name: str,
        inputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        outputs: typing.SupportsInt | typing.SupportsIndex,
        attrs: dict[typing.Any, typing.Any],
        weights: collections.abc.Sequence[
            tuple[
                collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
                collections.abc.Sequence[numpy.ndarray],
            ]
        ]
        | None = None,
    ) -> list[int]: ...
    def constant(self, array: numpy.ndarray) -> int: ...
    def constant_values(self, id: typing.SupportsInt | typing.SupportsIndex) -> typing.Any: ...
    def finish(
        self, outputs: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    ) -> None: ...
    def hollow_constant(
        self,
        dtype: typing.Any,
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...
    def input(self, name: str, dtype: typing.Any, by_value: bool = False) -> int: ...
    def packed_weights(
        self, added: typing.SupportsInt | typing.SupportsIndex
    ) -> list[typing.Any]: ...
    def profile(self) -> list[typing.Any]: ...
    def replay(self, calls: list[typing.Any], data: numpy.ndarray) -> list[list[int]]: ...
    def run(self, inputs: collections.abc.Sequence[numpy.ndarray]) -> list[typing.Any]: ...
    def run_rounds(
        self,
        title: str,
        taken: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        given: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        counts: bool,
        most: typing.SupportsInt | typing.SupportsIndex,
        states: collections.abc.Sequence[numpy.ndarray],
        sliced: collections.abc.Sequence[numpy.ndarray],
        captured: collections.abc.Sequence[numpy.ndarray],
    ) -> tuple[list[typing.Any], list[typing.Any]]: ...
    def set_poison(self, on: bool) -> None: ...
    def set_profiling(self, on: bool) -> None: ...
    def stats(self) -> dict[typing.Any, typing.Any]: ...

class GraphSurvey:
    """
    What nodes, instances of the first of these two classes, are and hold.
    """

    def __init__(self, node: type, value: type) -> None: ...
    def look(self, nodes: list[typing.Any], made_up: str) -> tuple[typing.Any, ...]: ...

def add_q8(
    a: numpy.ndarray,
    b: numpy.ndarray,
    a_scale: typing.SupportsFloat | typing.SupportsIndex,
    b_scale: typing.SupportsFloat | typing.SupportsIndex,
    a_zero: typing.SupportsInt | typing.SupportsIndex,
    b_zero: typing.SupportsInt | typing.SupportsIndex,
    y_zero: typing.SupportsInt | typing.SupportsIndex,
    lo: typing.SupportsFloat | typing.SupportsIndex,
    hi: typing.SupportsFloat | typing.SupportsIndex,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def available_isas() -> list[str]: ...
def bf16_isa() -> str:
    """
    The bf16 kernel of the instruction set in use.
    """

def bf16_tile(isa: str = "") -> tuple[int, int, int]:
    """
    Rows, columns and depth step of a bf16 kernel's tile.
    """

def binary(
    op: str, a: numpy.ndarray, b: numpy.ndarray, out: typing.Any = None
) -> numpy.ndarray: ...
def checksum(bytes: numpy.ndarray) -> int:
    """
    64 bits that change with any bit of `bytes` (uint8).
    """

def conv_bf16(
    x: numpy.ndarray, packed: PackedBf16Convolution, out: typing.Any
) -> numpy.ndarray: ...
def data_ops() -> list[str]:
    """
    Names of the operators that a DataOp can be.
    """

def dequantize(
    q: numpy.ndarray,
    scale: typing.Any,
    zero_point: typing.Any,
    axis: typing.SupportsInt | typing.SupportsIndex | None,
    out: typing.Any,
) -> numpy.ndarray: ...
def gemm_bf16(a: numpy.ndarray, packed: PackedBf16, out: typing.Any) -> numpy.ndarray: ...
def gemm_int4(a: numpy.ndarray, packed: PackedInt4, out: typing.Any) -> numpy.ndarray: ...
def gemm_tile(isa: str = "", is_float: bool = False) -> tuple[int, int, int]:
    """
    Most rows, most columns and the depth step of an instruction set's tiles.
    """

def get_num_threads() -> int: ...
def int4_tile(isa: str = "") -> tuple[int, int]:
    """
    Rows and columns of an instruction set's tile of 4-bit weights.
    """

def isa() -> str: ...
def layer_norm(
    x: numpy.ndarray,
    gamma: numpy.ndarray | None = None,
    beta: numpy.ndarray | None = None,
    eps: typing.SupportsFloat | typing.SupportsIndex = 9.999999747378752e-06,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def limit_peaks() -> list[tuple[str, str, str, int]]:
    """
    Instruction set, type, instruction and operations of a pass of each peak loop.
    """

def limit_traffic() -> list[tuple[str, str]]:
    """
    Instruction set and kind of each traffic loop.
    """

def linear(
    x: numpy.ndarray, packed: PackedWeights, activation: Activation | None, out: typing.Any
) -> numpy.ndarray: ...
def max_q8(x: numpy.ndarray, acc: numpy.ndarray) -> None: ...
def pack(
    w: numpy.ndarray,
    scale: typing.Any = None,
    bias: typing.Any = None,
    zero_point: typing.Any = None,
    isa: str = "",
) -> PackedWeights: ...
def pack_bf16(w: numpy.ndarray, bias: typing.Any = None, isa: str = "") -> PackedBf16: ...
def pack_conv(
    w: numpy.ndarray,
    scale: typing.Any,
    bias: typing.Any,
    zero_point: typing.Any,
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    pads: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    dilations: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    groups: typing.SupportsInt | typing.SupportsIndex,
    isa: str = "",
) -> PackedConvolution: ...
def pack_conv_bf16(
    w: numpy.ndarray,
    bias: typing.Any,
    strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    pads: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    dilations: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    isa: str = "",
) -> PackedBf16Convolution: ...
def pack_int4(
    data: numpy.ndarray,
    scale: numpy.ndarray,
    zero_point: typing.Any,
    k: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
    block: typing.SupportsInt | typing.SupportsIndex,
    bias: typing.Any = None,
    isa: str = "",
) -> PackedInt4: ...
def parse_onnx(bytes: numpy.ndarray, classes: dict[typing.Any, typing.Any]) -> typing.Any:
    """
    The messages of an ONNX file (uint8), each an instance of the NamedTuple of its name.
    """

def program_ops() -> list[str]:
    """
    Names of the operators that a Program can run.
    """

def qconv(
    x: numpy.ndarray,
    k: PackedConvolution,
    x_scale: typing.Any,
    x_zero_point: typing.Any,
    y_scale: typing.Any,
    y_zero_point: typing.Any,
    y_dtype: str,
    activation: Activation | None,
    out: typing.Any,
) -> numpy.ndarray: ...
def qgemm(
    a: numpy.ndarray, packed: PackedWeights, a_zero_point: typing.Any, out: typing.Any
) -> numpy.ndarray: ...
def qlinear(
    a: numpy.ndarray,
    packed: PackedWeights,
    a_scale: typing.Any,
    a_zero_point: typing.Any,
    y_scale: typing.Any,
    y_zero_point: typing.Any,
    y_dtype: str,
    activation: Activation | None,
    residual: typing.Any,
    residual_scale: typing.Any,
    residual_zero_point: typing.Any,
    out: typing.Any,
) -> numpy.ndarray: ...
def qmatmul(
    a: numpy.ndarray,
    b: numpy.ndarray,
    a_zero_point: typing.Any,
    b_zero_point: typing.Any,
    out: typing.Any,
) -> numpy.ndarray: ...
def quantize(
    x: numpy.ndarray,
    scale: typing.Any,
    zero_point: typing.Any,
    axis: typing.SupportsInt | typing.SupportsIndex | None,
    dtype: str,
    out: typing.Any,
) -> numpy.ndarray: ...
def quantize_weights(
    w: numpy.ndarray, axis: typing.SupportsInt | typing.SupportsIndex | None, out: typing.Any
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def range(x: numpy.ndarray) -> tuple[float, float]: ...
def reduce(op: str, x: numpy.ndarray) -> float: ...
def reduce_rows(op: str, x: numpy.ndarray, acc: numpy.ndarray) -> None: ...
def scaled(
    weight: numpy.ndarray, scale: numpy.ndarray, axis: typing.SupportsInt | typing.SupportsIndex
) -> tuple[typing.Any, ...]:
    """
    weight * scale along an axis, rounded once from float64; whether it is finite.
    """

def set_num_threads(threads: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def softmax(x: numpy.ndarray, out: typing.Any = None) -> numpy.ndarray: ...
def sum_q8(x: numpy.ndarray, acc: numpy.ndarray) -> None: ...
def table(x: numpy.ndarray, table: numpy.ndarray, out: typing.Any = None) -> numpy.ndarray: ...
def time_peak(
    isa: str,
    type: str,
    passes: typing.SupportsInt | typing.SupportsIndex,
    repeats: typing.SupportsInt | typing.SupportsIndex,
) -> list[float]:
    """
    Seconds of each repeat; every thread makes all passes.
    """

def time_traffic(
    isa: str,
    kind: str,
    bytes: typing.SupportsInt | typing.SupportsIndex,
    passes: typing.SupportsInt | typing.SupportsIndex,
    repeats: typing.SupportsInt | typing.SupportsIndex,
) -> list[float]:
    """
    Seconds of each repeat; every thread sweeps over memory of its own.
    """

def unary(
    op: str,
    x: numpy.ndarray,
    alpha: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    beta: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def use_isa(name: str) -> None: ...
def view_of(
    file: numpy.ndarray,
    begin: typing.SupportsInt | typing.SupportsIndex,
    end: typing.SupportsInt | typing.SupportsIndex,
    dtype: numpy.dtype[typing.Any],
    shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
) -> typing.Any:
    """
    Bytes of a file as an array; None when their number is not that of the shape.
    """
