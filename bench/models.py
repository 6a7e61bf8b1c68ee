"""Whole models, ours beside other engines, in turns in one process; prints a Markdown table.

python bench/models.py --model M.onnx [--feeds F.npz] [--calibration C.npz] [--model N.onnx …]
python bench/models.py --folder DIR    every NAME.onnx, with NAME.feeds and NAME.calibration

Feeds are what `pycompress compress --calibration` takes: an .npz of arrays by input name, stacked
on axis 0, or a folder of .npz files with one feed each (in a --folder: NAME.feeds.npz, or a folder
NAME.feeds). Without them inputs are drawn at random, which is good for times and says nothing about
agreement. The rows of a model are

  onnxruntime float, dynamic, static    the file itself, and what its own two quantizers make of it
  openvino float, default, nncf         where it is installed: in float32, as it comes, and what its
                                        quantizer makes of it
  pycompress float, int8, plan          the file itself, what `compress` makes of it, and what
                                        `save` makes of that
  onnxruntime, our int8                 the same int8 file, in onnxruntime

Run: the median over the rounds for each feed, then the mean over the feeds; a round runs every row
once, so that a slow moment of the machine falls on all of them. Load: the median of fresh sessions.
Agreement is with onnxruntime's float answers: the part of equal arg-max, and the mean cosine, of
output 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from peers import ORT_FLOAT, Candidate, candidates

from pycompress.calibration.feeds import feeds as read_feeds
from pycompress.readers import read


@dataclass
class Row:
    """What was measured of one candidate."""

    model: str
    name: str
    bytes: int
    load_ms: float
    run_ms: float
    speedup: float
    top1: float
    cosine: float


def measure(name, made: list[Candidate], samples, options) -> list[Row]:
    """Time the candidates in turns over the samples."""
    sessions = {c.name: c.load() for c in made}
    answers = {c.name: [sessions[c.name].run(None, s)[0] for s in samples] for c in made}
    loads = {c.name: [] for c in made}
    for _ in range(options.loads):
        for candidate in made:
            begun = time.perf_counter()
            candidate.load()
            loads[candidate.name].append(time.perf_counter() - begun)
    timed = samples[: options.timed]
    runs = {c.name: [[] for _ in timed] for c in made}
    begun, rounds = time.perf_counter(), 0
    while rounds < options.rounds or time.perf_counter() - begun < options.seconds:
        for index, sample in enumerate(timed):
            for candidate in made:
                session = sessions[candidate.name]
                start = time.perf_counter()
                session.run(None, sample)
                runs[candidate.name][index].append(time.perf_counter() - start)
        rounds += 1
    mean_run = {k: statistics.fmean(map(statistics.median, v)) for k, v in runs.items()}
    return [
        Row(
            name,
            c.name,
            c.path.stat().st_size,
            1e3 * statistics.median(loads[c.name]),
            1e3 * mean_run[c.name],
            mean_run[ORT_FLOAT] / mean_run[c.name],
            *agreement(answers[ORT_FLOAT], answers[c.name]),
        )
        for c in made
    ]


def agreement(wanted, found) -> tuple[float, float]:
    """Part of equal arg-max along the last axis, and mean cosine, over pairs of answers."""
    same = [np.mean(a.argmax(-1) == b.argmax(-1)) for a, b in zip(wanted, found, strict=True)]
    cosines = []
    for a, b in zip(wanted, found, strict=True):
        x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        length = np.linalg.norm(x) * np.linalg.norm(y)
        cosines.append(x @ y / length if length else float(np.array_equal(x, y)))
    return float(np.mean(same)), float(np.mean(cosines))


def random_feeds(inputs, count: int):
    """Feeds of the right types and shapes: unnamed sizes are 1, integers are 0 or 1."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        feed = {}
        for value in inputs:
            shape = [d if isinstance(d, int) else 1 for d in value.shape or ()]
            drawn = rng.normal(size=shape) if value.dtype.kind == "f" else rng.integers(0, 2, shape)
            feed[value.name] = np.asarray(drawn, value.dtype)
        yield feed


def jobs(options):
    """Model, feeds and calibration data that the command line names."""
    if options.folder is not None:
        for model in sorted(options.folder.glob("*.onnx")):
            yield model, _beside(model, "feeds"), _beside(model, "calibration")
    for index, model in enumerate(options.model):
        given = (options.feeds, options.calibration)
        yield model, *(paths[index] if index < len(paths) else None for paths in given)


def _beside(model: Path, what: str) -> Path | None:
    found = [model.with_suffix(f".{what}"), model.with_suffix(f".{what}.npz")]
    return next((path for path in found if path.exists()), None)


def command_line():
    """Parse the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", type=Path, default=[], help="may be repeated")
    parser.add_argument("--feeds", action="append", type=Path, default=[], help="one per model")
    parser.add_argument("--calibration", action="append", type=Path, default=[], help="likewise")
    parser.add_argument("--folder", type=Path, help="models and feeds, by name")
    parser.add_argument("--mode", default="auto", help="what compress is told (default: auto)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=200, help="feeds that agreement is taken of")
    parser.add_argument("--timed", type=int, default=5, help="feeds that are timed")
    parser.add_argument("--rounds", type=int, default=15, help="rounds at least")
    parser.add_argument("--seconds", type=float, default=3.0, help="of rounds, at least")
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--cpus", help="pin to these, as in 0,1")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    options = parser.parse_args()
    if not options.model and options.folder is None:
        parser.error("name a --model or a --folder")
    return options


def main() -> int:
    """Run the command line; return the exit code."""
    options = command_line()
    if options.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in options.cpus.split(",")})
    rows: list[Row] = []
    print("| model | engine | MB | load ms | run ms | × | top-1 | cosine |")
    print("|---|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for model, given, calibration in jobs(options):
        inputs = read(model).inputs
        source = read_feeds(given, inputs) if given else random_feeds(inputs, options.timed)
        samples = [feed for _, feed in zip(range(options.samples), source, strict=False)]
        learnt = list(read_feeds(calibration, inputs)) if calibration else None
        with tempfile.TemporaryDirectory() as folder:
            timed = samples[: options.timed]
            made = candidates(model, learnt, Path(folder), options, timed)
            measured = measure(model.stem, made, samples, options)
        for row in measured:
            print(
                f"| {row.model} | {row.name} | {row.bytes / 1e6:.2f} | {row.load_ms:.1f} | "
                f"{row.run_ms:.3f} | {row.speedup:.2f} | {row.top1:.3f} | {row.cosine:.5f} |",
                flush=True,
            )
        rows += measured
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
