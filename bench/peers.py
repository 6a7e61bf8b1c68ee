"""The engines that bench/models.py sets beside each other, each made of one model."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import openvino_peer
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

import pycompress

ORT_FLOAT = "onnxruntime float"


@dataclass
class Candidate:
    """A file, and the engine that opens it."""

    name: str
    path: Path
    load: Callable[[], Any]


class _Feeds(CalibrationDataReader):
    """Feeds as onnxruntime's quantizer wants to be given them."""

    def __init__(self, feeds) -> None:
        self.left = iter(feeds)

    def get_next(self):
        """Return the next feed, None after the last."""
        return next(self.left, None)


def candidates(model: Path, calibration, folder: Path, options, timed) -> list[Candidate]:
    """Make every engine of a model; a quantizer that fails is named on stderr and left out.

    Parameters
    ----------
    calibration : list of feeds, or None
        Without it nothing can be quantized statically.
    folder : Path
        Where the quantized files go.
    options : the command line's `threads` and `mode`
    timed : list of feeds
        OpenVINO is told the shapes that they have in common.
    """
    threads = options.threads
    ours = folder / f"{model.stem}.int8.onnx"
    pycompress.compress(model, ours, calibration=calibration, mode=options.mode)
    plan = ours.with_suffix(".plan")
    pycompress.InferenceSession(ours, num_threads=threads).save(plan)
    made = [_onnxruntime(ORT_FLOAT, model, threads)]
    for name, quantize in _quantizers(calibration):
        path = folder / f"{model.stem}.{name}.onnx"
        try:
            quantize(_prepared(model, folder), path)
            made.append(_onnxruntime(f"onnxruntime {name}", path, threads))
            made[-1].load()
        except Exception as error:
            print(
                f"{model.name}: onnxruntime {name}: {type(error).__name__}: {error}",
                file=sys.stderr,
            )
            made = [candidate for candidate in made if candidate.path != path]
    return [
        *made,
        *_openvino(model, openvino_peer.variants(model, calibration, folder), threads, timed),
        _pycompress("pycompress float", model, threads),
        _pycompress("pycompress int8", ours, threads),
        _pycompress("pycompress int8, plan", plan, threads),
        _onnxruntime("onnxruntime, our int8", ours, threads),
    ]


def _openvino(model: Path, variants, threads: int, timed) -> list[Candidate]:
    shapes = openvino_peer.shapes_of(timed)

    def made(name, make, settings):
        try:
            path = make()
            candidate = Candidate(
                name, path, lambda: openvino_peer.Compiled(path, threads, shapes, settings)
            )
            candidate.load()
        except Exception as error:
            _complain(model, name, error)
            return []
        return [candidate]

    return [candidate for variant in variants for candidate in made(*variant)]


def _quantizers(calibration):
    """onnxruntime's own, in the settings that are fastest on x86: uint8 by int8, per channel."""
    weights = {"per_channel": True, "weight_type": QuantType.QInt8}
    yield "dynamic", lambda source, path: quantize_dynamic(source, path, **weights)
    if calibration is not None:
        static = {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, **weights}
        yield (
            "static",
            lambda source, path: quantize_static(source, path, _Feeds(calibration), **static),
        )


def _prepared(model: Path, folder: Path) -> Path:
    """The model after onnxruntime's own preparation, or itself where that fails."""
    logging.disable(logging.WARNING)
    path = folder / f"{model.stem}.prepared.onnx"
    for skip in (False, True):
        if path.exists():
            break
        try:
            quant_pre_process(model, path, skip_symbolic_shape=skip)
        except Exception as error:
            _complain(model, "onnxruntime's preparation", error)
    return path if path.exists() else model


def _complain(model: Path, what: str, error: Exception) -> None:
    print(f"{model.name}: {what}: {type(error).__name__}: {error}", file=sys.stderr)


def _onnxruntime(name: str, path: Path, threads: int) -> Candidate:
    def load():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The pools of several sessions are alive at once: one that spins takes the others' cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    return Candidate(name, path, load)


def _pycompress(name: str, path: Path, threads: int) -> Candidate:
    return Candidate(name, path, lambda: pycompress.InferenceSession(path, num_threads=threads))
