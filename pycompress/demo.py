"""The demonstration: a real model, compressed, and every engine side by side on real files.

The model is the one inside the `magika` package, a classifier that tells the type of a file from
its first and last bytes. Its inputs are files that are on every disk with a Python: the standard
library and the installed packages.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.compression import compress
from pycompress.report.peers import has_onnxruntime, quantize_with_onnxruntime
from pycompress.report.report import Report, plain
from pycompress.report.sizes import model_bytes
from pycompress.report.timing import Timing, onnxruntime_loader, race, session_loader

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pycompress.calibration import Feed, Run

BLOCK, ENDS, PADDING = 4096, 1024, 256
"""The model reads 1024 bytes of the first and of the last 4096; 256 stands for none."""

LABELS = {
    ".py": "python",
    ".pyc": "pythonbytecode",
    ".c": "c",
    ".h": "c",
    ".hpp": "cpp",
    ".so": "elf",
    ".json": "json",
    ".js": "javascript",
    ".ts": "typescript",
    ".html": "html",
    ".css": "css",
    ".svg": "svg",
    ".png": "png",
    ".jpg": "jpeg",
    ".pdf": "pdf",
    ".ttf": "ttf",
    ".xml": "xml",
    ".csv": "csv",
    ".md": "markdown",
    ".rst": "rst",
    ".toml": "toml",
    ".yaml": "yaml",
    ".npy": "npy",
    ".npz": "npz",
    ".gz": "gzip",
    ".whl": "zip",
    ".sh": "shell",
    ".onnx": "onnx",
}
"""File name endings whose content is what they say, and the model's name for it."""

ALIKE = ({"c", "cpp"},)
"""Labels that a file name can't tell apart: a header of either language ends in .h."""

CALIBRATION_EACH, TEST_EACH, MOST_SEEN, SMALLEST = 4, 8, 300, 300
TIMED = 5

Item = tuple[dict[str, np.ndarray], str]


@dataclass(frozen=True)
class DemoRow:
    """One engine running one form of the model.

    Attributes
    ----------
    engine, model : str
    file_bytes : int
    load_ms, run_ms : float
        Medians on one core.
    agreement : float
        Share of the test files that get the float model's first answer.
    accuracy : float
        Share whose first answer is what the file's name says.
    by_label : dict
        Accuracy for each label.
    error : str
        Why there are no figures; empty when there are.
    """

    engine: str
    model: str
    file_bytes: int
    load_ms: float
    run_ms: float
    agreement: float
    accuracy: float
    by_label: dict[str, float]
    error: str = ""


@dataclass(frozen=True)
class Demo:
    """The outcome of `pycompress demo`."""

    model: str
    tested: int
    calibrated: int
    labels: dict[str, int]
    rows: tuple[DemoRow, ...]
    report: Report

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as plain dicts, lists, numbers and strings."""
        result: dict[str, Any] = plain(self)
        result["report"] = self.report.to_dict()
        return result


def run_demo(folder: Path | None = None, tell: Callable[[str], None] = lambda _: None) -> Demo:
    """Compress the model and run it in every engine that is there.

    Parameters
    ----------
    folder : path, optional
        Where the compressed models stay; a temporary folder, removed at the end, when None.
    tell : callable
        Told each stage.

    Raises
    ------
    ModuleNotFoundError
        The `magika` package is not installed.
    """
    model, known = find_model()
    with (
        tempfile.TemporaryDirectory() if folder is None else nullcontext(str(folder)) as kept,
        one_core(),
    ):
        place = Path(kept)
        place.mkdir(parents=True, exist_ok=True)
        original = place / "float.onnx"
        shutil.copyfile(model, original)
        tell("looking for files of known types")
        calibration, test = split_items(find_items(known))
        feeds = [feed for feed, _ in calibration]
        target = place / "int8.onnx"
        report = compress(original, target, feeds, progress=tell)
        files = {("pycompress", "float"): original, ("pycompress", "int8"): target}
        failed: dict[tuple[str, str], str] = {}
        if has_onnxruntime():
            files["onnxruntime", "float"] = original
            tell("quantizing with onnxruntime")
            for kind in ("dynamic", "static"):
                made = place / f"onnxruntime_{kind}.onnx"
                error = quantize_with_onnxruntime(kind, original, made, feeds)
                if error:
                    failed["onnxruntime", f"int8 {kind}"] = error
                else:
                    files["onnxruntime", f"int8 {kind}"] = made
        tell("running all side by side")
        rows = _rows(files, test, known)
    rows += [DemoRow(*key, 0, *(float("nan"),) * 4, {}, error) for key, error in failed.items()]
    counts = {
        label: sum(1 for _, found in test if found == label)
        for label in sorted({lab for _, lab in test})
    }
    return Demo(str(model), len(test), len(calibration), counts, tuple(rows), report)


def find_model() -> tuple[Path, list[str]]:
    """Return the model inside the installed `magika` package and the names of its answers."""
    spec = find_spec("magika")
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    for root in roots:
        for model in sorted(Path(root).glob("models/*/model.onnx")):
            config = json.loads(model.with_name("config.min.json").read_text(encoding="utf-8"))
            return model, list(config["target_labels_space"])
    msg = (
        "the demo takes its model out of the 'magika' package, which is not installed:"
        " pip install 'pycompress[demo]'"
    )
    raise ModuleNotFoundError(msg)


def features(content: bytes) -> np.ndarray:
    """Return what the model reads of a file, int32 [1, 2048]."""
    start = content[:BLOCK].lstrip()[:ENDS]
    end = content[-BLOCK:].rstrip()[-ENDS:]
    tokens = np.full((1, 2 * ENDS), PADDING, np.int32)
    tokens[0, : len(start)] = np.frombuffer(start, np.uint8)
    tokens[0, 2 * ENDS - len(end) :] = np.frombuffer(end, np.uint8)
    return tokens


def find_items(known: list[str]) -> dict[str, list[Path]]:
    """Return files of this Python by the label that their names imply, in a fixed order."""
    found: dict[str, list[Path]] = {}
    paths = sysconfig.get_paths()
    for path in itertools.chain.from_iterable(_walk(paths[key]) for key in ("purelib", "stdlib")):
        label = LABELS.get(path.suffix)
        if label in known and label is not None and len(found.setdefault(label, [])) < MOST_SEEN:
            found[label].append(path)
    return {label: paths for label, paths in found.items() if paths}


def _walk(root: str) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in {"site-packages", "dist-packages"})
        yield from (Path(folder, name) for name in sorted(names))


def split_items(found: dict[str, list[Path]]) -> tuple[list[Item], list[Item]]:
    """Return calibration and test items, no file in both, chosen by a fixed seed."""
    calibration: list[Item] = []
    test: list[Item] = []
    for label, paths in sorted(found.items()):
        order = np.random.default_rng(0).permutation(len(paths))
        items: list[Item] = []
        for index in order:
            content = _content(paths[index])
            if content is not None:
                items.append(({"bytes": features(content)}, label))
            if len(items) == CALIBRATION_EACH + TEST_EACH:
                break
        # test first: a label with few files is tested on, and calibration does without it
        test.extend(items[:TEST_EACH])
        calibration.extend(items[TEST_EACH:])
    return calibration, test


def _content(path: Path) -> bytes | None:
    """Return a file's bytes; None when it is a link, can't be read or is too small to tell."""
    try:
        if path.is_symlink() or path.stat().st_size < SMALLEST:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _rows(files: dict[tuple[str, str], Path], test: list[Item], known: list[str]) -> list[DemoRow]:
    entrants = {
        key: (session_loader if key[0] == "pycompress" else onnxruntime_loader)(str(path))
        for key, path in files.items()
    }
    timings = race(entrants, [feed for feed, _ in test[:: max(1, len(test) // TIMED)][:TIMED]])
    alive = [
        (timing, entrants[timing.engine, timing.model]) for timing in timings if not timing.error
    ]
    answers = {
        (t.engine, t.model): _answers(load(), [f for f, _ in test], known) for t, load in alive
    }
    wanted = answers.get(("onnxruntime", "float"), answers.get(("pycompress", "float"), []))
    return [
        _row(
            timing,
            files[timing.engine, timing.model],
            answers.get((timing.engine, timing.model)),
            wanted,
            test,
        )
        for timing in timings
    ]


def _answers(run: Run, feeds: list[Feed], known: list[str]) -> list[str]:
    return [known[int(run(feed)[0][0].argmax())] for feed in feeds]


def _row(
    timing: Timing, path: Path, answers: list[str] | None, wanted: list[str], test: list[Item]
) -> DemoRow:
    if answers is None:
        nothing = float("nan")
        return DemoRow(
            timing.engine,
            timing.model,
            model_bytes(path),
            nothing,
            nothing,
            nothing,
            nothing,
            {},
            timing.error,
        )
    right: dict[str, list[bool]] = {}
    for answer, (_, label) in zip(answers, test, strict=True):
        right.setdefault(label, []).append(
            answer == label or any({answer, label} == pair for pair in ALIKE)
        )
    return DemoRow(
        timing.engine,
        timing.model,
        model_bytes(path),
        timing.load_ms,
        timing.run_ms,
        float(np.mean([a == b for a, b in zip(answers, wanted, strict=True)])),
        float(np.mean([hit for hits in right.values() for hit in hits])),
        {label: float(np.mean(hits)) for label, hits in right.items()},
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, where the system has that: engines are compared alike."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def demo_view(demo: Demo) -> RenderableType:
    """Return what to print."""
    from rich.console import Group
    from rich.markup import escape

    from pycompress.report.text import megabytes, milliseconds, table

    title = f"The model of magika on {demo.tested} files of this disk; one core, one thread"
    view = table(
        "engine",
        "model",
        "file MB",
        "load ms",
        "run ms",
        "agrees with float",
        "accuracy",
        "",
        title=title,
    )
    for row in demo.rows:
        if row.error:
            view.add_row(row.engine, row.model, "—", "—", "—", "—", "—", escape(row.error))
            continue
        figures = (megabytes(row.file_bytes), milliseconds(row.load_ms), milliseconds(row.run_ms))
        view.add_row(
            row.engine, row.model, *figures, f"{row.agreement:.4f}", f"{row.accuracy:.4f}", ""
        )
    whole = [row for row in demo.rows if not row.error]
    by_label = table(
        "type",
        "files",
        *(f"{row.engine} {row.model}" for row in whole),
        title="Accuracy by type of file",
    )
    for label, count in demo.labels.items():
        by_label.add_row(label, str(count), *(f"{row.by_label[label]:.2f}" for row in whole))
    return Group(view, by_label)
