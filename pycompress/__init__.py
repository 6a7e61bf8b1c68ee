"""Compress deep-learning models to integers and run them fast on CPUs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what _HOME says, for type checkers and editors
    from pycompress.compression import compress as compress
    from pycompress.kernels.bf16 import (
        PackedBf16 as PackedBf16,
        PackedBf16Convolution as PackedBf16Convolution,
        bf16_isa as bf16_isa,
        conv_bf16 as conv_bf16,
        gemm_bf16 as gemm_bf16,
        pack_bf16 as pack_bf16,
        pack_conv_bf16 as pack_conv_bf16,
    )
    from pycompress.kernels.conv import (
        PackedConvolution as PackedConvolution,
        pack_conv as pack_conv,
        qconv as qconv,
    )
    from pycompress.kernels.cpu import (
        available_isas as available_isas,
        get_num_threads as get_num_threads,
        isa as isa,
        set_num_threads as set_num_threads,
        use_isa as use_isa,
    )
    from pycompress.kernels.gemm import (
        Linear as Linear,
        PackedWeights as PackedWeights,
        linear as linear,
        pack as pack,
        qgemm as qgemm,
        qlinear as qlinear,
        qmatmul as qmatmul,
    )
    from pycompress.kernels.int4 import (
        Int4Weights as Int4Weights,
        PackedInt4 as PackedInt4,
        gemm_int4 as gemm_int4,
        pack_int4 as pack_int4,
        quantize_int4 as quantize_int4,
    )
    from pycompress.kernels.quantize import (
        QuantizedWeights as QuantizedWeights,
        dequantize as dequantize,
        quantize as quantize,
        quantize_weights as quantize_weights,
    )
    from pycompress.report.compare import compare as compare
    from pycompress.report.info import info as info
    from pycompress.report.inspect import inspect as inspect
    from pycompress.runtime import (
        FallbackWarning as FallbackWarning,
        InferenceSession as InferenceSession,
    )

__version__ = "0.1.0"

# Where each public name lives. It is imported at its first use, so that `import pycompress` costs
# next to nothing. The import of a submodule binds the submodule's own name here, so that no public
# name may be one: `compress`, the function, lives in compression.py.
_HOME: dict[str, str] = {
    "FallbackWarning": "runtime",
    "InferenceSession": "runtime",
    "Int4Weights": "kernels.int4",
    "Linear": "kernels.gemm",
    "PackedBf16": "kernels.bf16",
    "PackedBf16Convolution": "kernels.bf16",
    "PackedConvolution": "kernels.conv",
    "PackedInt4": "kernels.int4",
    "PackedWeights": "kernels.gemm",
    "QuantizedWeights": "kernels.quantize",
    "available_isas": "kernels.cpu",
    "bf16_isa": "kernels.bf16",
    "compare": "report.compare",
    "compress": "compression",
    "conv_bf16": "kernels.bf16",
    "dequantize": "kernels.quantize",
    "gemm_bf16": "kernels.bf16",
    "gemm_int4": "kernels.int4",
    "get_num_threads": "kernels.cpu",
    "info": "report.info",
    "inspect": "report.inspect",
    "isa": "kernels.cpu",
    "linear": "kernels.gemm",
    "pack": "kernels.gemm",
    "pack_bf16": "kernels.bf16",
    "pack_conv": "kernels.conv",
    "pack_conv_bf16": "kernels.bf16",
    "pack_int4": "kernels.int4",
    "qconv": "kernels.conv",
    "qgemm": "kernels.gemm",
    "qlinear": "kernels.gemm",
    "qmatmul": "kernels.gemm",
    "quantize": "kernels.quantize",
    "quantize_int4": "kernels.int4",
    "quantize_weights": "kernels.quantize",
    "set_num_threads": "kernels.cpu",
    "use_isa": "kernels.cpu",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 (the table holds strings)


def __getattr__(name: str) -> Any:  # noqa: ANN401 (the type of whatever the name stands for)
    """Import a public name's module and return what the name stands for there."""
    if name not in _HOME:
        msg = f"module 'pycompress' has no attribute '{name}'"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"pycompress.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
