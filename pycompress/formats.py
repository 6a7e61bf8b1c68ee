"""The preset formats, as data: what each means, what it is recognised from, what its kernel wants.

The rules that recognise them stand in ``graph/rules/``, the export that spells them in standard
ONNX in ``graph/expand.py``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One preset format.

    Attributes
    ----------
    name : str
        The operator's name in the graph, in the domain ``pycompress``.
    meaning : str
        What it computes.
    inputs : tuple of str
        Its inputs in order; those in brackets may be left out.
    recognised_from : str
        The ONNX operators that it stands for.
    refusals : tuple of str
        What keeps a node from taking it.
    weight : int or None
        Position of the constant that is converted to integers; None when there is none.
    channel_axis : int or None
        The axis of that constant which may have a scale for each channel.
    kernel : str
        What runs it in integers.
    spelled : str
        What the export writes in its place.
    """

    name: str
    meaning: str
    inputs: tuple[str, ...]
    recognised_from: str
    refusals: tuple[str, ...]
    weight: int | None
    channel_axis: int | None
    kernel: str
    spelled: str


_WEIGHT = (
    "its weight is computed at run time",
    "its weight is neither float32 nor int8 or uint8 with scales along the channel axis",
)

FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format(
            "linear",
            "act(x · w + bias + residual), w of shape (K, N)",
            ("x", "w", "[bias]", "[residual]"),
            "MatMul (+ Add), Gemm with any transA, transB, alpha, beta, Einsum with a matrix; "
            "DynamicQuantizeLinear + MatMulInteger, QLinearMatMul, QGemm",
            (*_WEIGHT, "its weight is not a matrix", "its constant stands on the left"),
            weight=1,
            channel_axis=1,
            kernel="gemm; gemv for one row",
            spelled="MatMul + Add or Gemm; with ranges found at run time "
            "DynamicQuantizeLinear, MatMulInteger, Cast, Mul, Add; in bfloat16 behind two Casts",
        ),
        Format(
            "conv",
            "act(conv(x, w) + bias + residual), w of shape (O, I / group, k...), 1 to 3 axes",
            ("x", "w", "[bias]", "[residual]"),
            "Pad + Conv + BatchNormalization, Mul, Add of one number per channel, + Add, "
            "+ activation; DynamicQuantizeLinear + ConvInteger, QLinearConv",
            (*_WEIGHT, "its bias is computed at run time"),
            weight=1,
            channel_axis=0,
            kernel="indirect gemm; depthwise kernels where each group has one channel",
            spelled="Conv; the wish for ranges at run time stands in the node's metadata; "
            "in bfloat16 behind two Casts",
        ),
        Format(
            "conv_transpose",
            "act(conv_transpose(x, w) + bias), w of shape (I, O / group, k...)",
            ("x", "w", "[bias]"),
            "ConvTranspose + BatchNormalization, Mul, Add of one number per channel, + activation",
            (
                *_WEIGHT,
                "its output_shape decides its padding",
                "its scales cover one of several groups, not all output channels",
            ),
            weight=1,
            channel_axis=1,
            kernel="gemm and scatter",
            spelled="ConvTranspose",
        ),
        Format(
            "embedding",
            "rows of a table, by index; an index below zero counts from the end",
            ("table", "indices"),
            "Gather along axis 0, DequantizeLinear of such a Gather, "
            "a one-hot encoding times a matrix",
            (
                "its table is computed at run time",
                "its table is not a matrix of float32, int8 or uint8",
                "it gathers columns, not rows",
            ),
            weight=0,
            channel_axis=0,
            kernel="integer rows times their scale",
            spelled="Gather",
        ),
        Format(
            "recurrent",
            "LSTM, GRU or RNN over a sequence, w and r of shape (directions, gates * hidden, ...)",
            ("x", "w", "r", "[bias]", "[lengths]", "[initial h]", "[initial c]"),
            "LSTM, GRU and RNN",
            (*_WEIGHT, "its bias is computed at run time", "it has peepholes"),
            weight=1,
            channel_axis=1,
            kernel="gemm, the rows of input and state quantized as they come; one call a sequence",
            spelled="LSTM, GRU or RNN; the wish for integers at run time is in the node's metadata",
        ),
        Format(
            "activation",
            "an element-wise function that exporters spell in several nodes",
            ("x",),
            "x * Sigmoid(x) and Gelu, by Erf or by Tanh, written out",
            ("it does not work on float32",),
            weight=None,
            channel_axis=None,
            kernel="a table of 256 entries",
            spelled="the operators that compute it",
        ),
    )
}
"""By name; every node in the domain ``pycompress`` is one of these."""
