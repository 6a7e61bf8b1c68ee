"""Whether models give the same bits on another machine: written on one, checked on the other.

PYTHONPATH=. python tools/model_digests.py write FOLDER [--feeds N]
PYTHONPATH=. python tools/model_digests.py check FOLDER [--runs-only]

FOLDER has NAME.onnx with NAME.feeds and, if it is to be calibrated, NAME.calibration: folders of
.npz files, or one NAME.feeds.npz, as `pycompress compress --calibration` takes them. `write`
compresses each into FOLDER/int8, runs both files on every set of this machine, and puts the digests
of their outputs into FOLDER/int8/digests.json. `check` runs them on the set that this machine
chooses and compares; then it compresses each again, with the decisions that were taken before, and
compares the files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

import pycompress as pc
from pycompress.calibration.feeds import feeds as read_feeds
from pycompress.readers import read


def source(folder: Path, name: str, kind: str) -> Path | None:
    """Return where a model's feeds of a kind are, a folder or an .npz."""
    found = (folder / f"{name}.{kind}", folder / f"{name}.{kind}.npz")
    return next((path for path in found if path.exists()), None)


def samples(folder: Path, name: str, count: int) -> list[dict[str, np.ndarray]]:
    """Return the first feeds of a model."""
    found = source(folder, name, "feeds")
    if found is None:
        msg = f"{folder}: {name}.onnx has no {name}.feeds; wanted a folder of .npz files or an .npz"
        raise SystemExit(msg)
    return list(islice(read_feeds(found, read(folder / f"{name}.onnx").inputs), count))


def digests(model: Path, inputs: list[dict[str, np.ndarray]]) -> dict[str, str]:
    """Run a model over the feeds; SHA-256 of each output: its types, shapes and bytes."""
    session = pc.InferenceSession(model, num_threads=1)
    found = {output.name: hashlib.sha256() for output in session.get_outputs()}
    for feed in inputs:
        for total, array in zip(found.values(), session.run(None, feed), strict=True):
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return {name: total.hexdigest() for name, total in found.items()}


def of_file(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(folder: Path, count: int) -> int:
    """Compress and run each model; return 1 where sets of this machine disagree."""
    target = folder / "int8"
    target.mkdir(exist_ok=True)
    found: dict[str, dict[str, object]] = {}
    differ = 0
    for model in sorted(folder.glob("*.onnx")):
        name, inputs = model.stem, samples(folder, model.stem, count)
        small = target / model.name
        pc.compress(model, small, source(folder, name, "calibration"),
                    report=target / f"{name}.json", best_effort=True)  # fmt: skip
        found[name] = {"feeds": len(inputs), "file": of_file(small)}
        for kind, path in (("float", model), ("int8", small)):
            for isa in pc.available_isas():
                pc.use_isa(isa)
                same = digests(path, inputs)
                if found[name].setdefault(kind, same) != same:
                    sys.stdout.write(
                        f"{name} {kind}: {isa} differs from {pc.available_isas()[0]}\n"
                    )
                    differ = 1
            pc.use_isa(pc.available_isas()[0])
    (target / "digests.json").write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"{len(found)} models, {platform.machine()}, {pc.available_isas()}\n")
    return differ


def check(folder: Path, *, runs_only: bool) -> int:
    """Run and compress each model again; return 1 where anything differs."""
    wanted = json.loads((folder / "int8" / "digests.json").read_text())
    failed = 0
    sys.stdout.write(f"{platform.machine()}, {pc.isa()}\n")
    for name, of_model in wanted.items():
        inputs = samples(folder, name, of_model["feeds"])
        model, small = folder / f"{name}.onnx", folder / "int8" / f"{name}.onnx"
        verdict = {}
        for kind, path in (("float", model), ("int8", small)):
            found = digests(path, inputs)
            other = [key for key, value in of_model[kind].items() if found[key] != value]
            verdict[kind] = f"{', '.join(other)} differ" if other else "same bits"
        if not runs_only:
            with tempfile.TemporaryDirectory() as place:
                again = Path(place) / f"{name}.onnx"
                pc.compress(model, again, source(folder, name, "calibration"),
                            decisions=folder / "int8" / f"{name}.json")  # fmt: skip
                same = of_file(again) == of_model["file"]
            verdict["file"] = "same bytes" if same else "differs"
        failed |= any("differ" in outcome for outcome in verdict.values())
        sys.stdout.write(f"{name}: {'; '.join(f'{k} {v}' for k, v in verdict.items())}\n")
        sys.stdout.flush()
    return failed


def main() -> int:
    """Return 0 when all is the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--feeds", type=int, default=2, help="how many of each model's are run")
    parser.add_argument("--runs-only", action="store_true", help="do not compress again")
    options = parser.parse_args()
    if options.what == "write":
        return write(options.folder, options.feeds)
    return check(options.folder, runs_only=options.runs_only)


if __name__ == "__main__":
    sys.exit(main())
