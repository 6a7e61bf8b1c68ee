"""OpenVINO beside the others of bench/models.py, where it is installed.

float    as it is read, computed in float32
default  what it makes of the file without being asked: bfloat16 where the CPU multiplies it
nncf     quantized by its own quantizer on the calibration data, where nncf is installed too; for a
         model with attention once more as a transformer, which some need to keep their answers and
         others lose them by
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pycompress.readers import read

Shapes = Mapping[str, tuple[int, ...]]

FLOAT = {"INFERENCE_PRECISION_HINT": "f32"}


class Compiled:
    """A compiled model with the `run` of onnxruntime's sessions."""

    def __init__(self, path: Path, threads: int, shapes: Shapes, settings: Mapping[str, str]):
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        free = [i for i in model.inputs if i.partial_shape.is_dynamic]
        # A model whose shapes are known runs faster.
        if free and all(i.any_name in shapes for i in free):
            model.reshape({i: list(shapes[i.any_name]) for i in free})
        latency = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        latency["INFERENCE_NUM_THREADS"] = threads
        self._model = core.compile_model(model, "CPU", {**latency, **settings})
        self._request = self._model.create_infer_request()

    def run(self, _names: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return every output."""
        found = self._request.infer(dict(feed), share_inputs=True)
        return [found[output] for output in self._model.outputs]


def shapes_of(feeds: list[dict[str, np.ndarray]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs that have the same one in all feeds."""
    found = {name: {feed[name].shape for feed in feeds} for name in feeds[0]}
    return {name: shapes.pop() for name, shapes in found.items() if len(shapes) == 1}


def variants(
    model: Path, calibration: list[dict[str, np.ndarray]] | None, folder: Path
) -> Iterator[tuple[str, Callable[[], Path], dict[str, str]]]:
    """Name what is to be compiled, how its file is made, and its settings."""
    if find_spec("openvino") is None:
        return
    yield "openvino float", lambda: model, FLOAT
    yield "openvino default", lambda: model, {}
    if calibration is None or find_spec("nncf") is None:
        return
    yield "openvino nncf", lambda: _quantized(model, calibration, folder, None), FLOAT
    if _has_attention(model):
        kind = "TRANSFORMER"
        yield (
            "openvino nncf, transformer",
            lambda: _quantized(model, calibration, folder, kind),
            FLOAT,
        )


def _quantized(model: Path, calibration: list[Any], folder: Path, kind: str | None) -> Path:
    import nncf
    import openvino

    path = folder / f"{model.stem}.nncf.{kind}.xml"
    source = openvino.Core().read_model(model)
    model_type = None if kind is None else nncf.ModelType[kind]
    data = nncf.Dataset(calibration)
    made = nncf.quantize(source, data, subset_size=len(calibration), model_type=model_type)
    openvino.save_model(made, path, compress_to_fp16=False)
    return path


def _has_attention(model: Path) -> bool:
    return any(
        node.op == "MatMul" and all(v is not None and v.const is None for v in node.inputs)
        for node in read(model).nodes
    )
