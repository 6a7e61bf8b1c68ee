"""onnxruntime, the engine that ours is set beside where it is installed."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pycompress.calibration import Feed


def has_onnxruntime() -> bool:
    """Tell whether onnxruntime is installed, without importing it."""
    return find_spec("onnxruntime") is not None


def quantize_with_onnxruntime(kind: str, source: Path, target: Path, feeds: Sequence[Feed]) -> str:
    """Quantize a model with onnxruntime's own tools; return why it failed, or "".

    Parameters
    ----------
    kind : "dynamic" or "static"
        int8 weights per channel, either way; static: QDQ with int8 activations, ranges from
        `feeds`.
    """
    try:
        with _silent():
            _quantize(kind, source, target, feeds)
    except Exception as error:
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]
    return ""


def _quantize(kind: str, source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    from onnxruntime import quantization

    int8 = quantization.QuantType.QInt8
    if kind == "dynamic":
        quantization.quantize_dynamic(str(source), str(target), per_channel=True, weight_type=int8)
        return

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Any:  # noqa: ANN401
            return next(self.left, None)

    prepared = target.with_suffix(".prepared.onnx")
    try:
        # symbolic shapes fail on real models and the quantizer does without them
        quantization.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(target),
            Reader(),
            per_channel=True,
            weight_type=int8,
            activation_type=int8,
        )
    finally:
        prepared.unlink(missing_ok=True)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the tools' own warnings and prints out of the report."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
