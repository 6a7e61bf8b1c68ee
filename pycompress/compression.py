"""The whole way: a float model file in, a smaller and faster one out, and a report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pycompress.calibration import (
    METHODS,
    FeedSource,
    Histogram,
    RangeMethod,
    Split,
    check_feed,
    collect,
    feeds,
    random_feed,
    watched,
)
from pycompress.convert import (
    Agreement,
    Budget,
    Mode,
    Plan,
    PlanError,
    WeightCache,
    apply_plan,
    choose_ranges,
    make_plan,
    observed,
    separate_residuals,
    settle,
    wanted_moments,
)
from pycompress.graph import save, simplify, to_formats
from pycompress.graph.passes import SIMPLIFIED
from pycompress.readers import read
from pycompress.report.ledger import Ledger, make_ledger
from pycompress.report.peers import has_onnxruntime
from pycompress.report.report import Calibrated, Report
from pycompress.report.sizes import model_bytes
from pycompress.report.timing import Timing, onnxruntime_loader, race, session_loader
from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from pycompress.calibration import Feed, Moments, Run
    from pycompress.convert import Layer
    from pycompress.graph import Decision, Graph

MAX_DROP = 0.005
"""How far the mean cosine of the answers may fall below 1 when the caller names no bound."""

TIMED_FEEDS = 5

_HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "Gather", "LSTM", "GRU", "RNN")
"""Operators whose refusals the report shows."""

Tell: TypeAlias = Callable[[str], None]
"""Told each stage of a long work as it begins."""


@dataclass
class _Converted:
    """What conversion hands on to the report."""

    float_graph: Graph
    graph: Graph
    plan: Plan
    refused: tuple[tuple[str, str], ...]
    agreement: Agreement | None = None
    calibrated: Calibrated | None = None
    moved: int = 0
    held_back: list[Feed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compress(
    src: str | Path,
    dst: str | Path,
    calibration: FeedSource | None = None,
    *,
    mode: Mode = "auto",
    max_drop: float | None = None,
    exclude: Sequence[str] = (),
    progress: bool | Tell = False,
    ranges: RangeMethod | Literal["auto"] = "auto",
) -> Report:
    """Compress a model file to int8.

    Parameters
    ----------
    src : path
        An ONNX model. It is only read.
    dst : path
        Where the compressed model goes: standard ONNX, written beside and renamed, so that there is
        never half a file.
    calibration : dict, iterable of dict, callable, or path of an .npz file or of a folder of them
        Examples of real inputs; see `pycompress.calibration.feeds`. Every fourth (at most 32) is
        held back to judge the result on. None: nothing is calibrated and nothing can be judged.
    mode : "auto", "static", "dynamic" or "weights"
        "static": ranges of activations are fixed from calibration. "dynamic": they are found at
        run time. "weights": int8 in the file, float arithmetic. "auto": with calibration
        convolutions are static, layers on sequences dynamic; without it all are dynamic.
    max_drop : float, optional
        How far the mean cosine similarity of any output may fall below 1 on the held-back feeds
        (0.005 when None). The nodes that hurt most are moved to a safer precision until it holds.
    exclude : sequence of str
        Nodes that stay in float: names of nodes or of their outputs, or shell patterns of them.
    progress : bool or callable
        True: say each stage on stderr. A callable is told each stage.
    ranges : "auto", "mse", "percentile" or "minmax"
        How the ranges of activations are chosen from what calibration saw. "auto": the way that
        agrees best on the held-back feeds.

    Returns
    -------
    Report

    Raises
    ------
    ModelError
        `src` is not a model that can be read.
    FeedError
        `calibration` does not fit the model.
    PlanError
        `mode`, `max_drop` or `exclude` can't be met.
    OSError
        `src` can't be read or `dst` can't be written; the latter is found before the long work.
    """
    source, target = Path(src), Path(dst)
    tell = _teller(progress)
    _check_paths(source, target)
    if max_drop is not None and calibration is None:
        msg = "max_drop needs calibration data: agreement is measured on it"
        raise PlanError(msg)
    bound = MAX_DROP if max_drop is None else max_drop
    tell(f"reading {source}")
    rewrite = to_formats(simplify(read(source)))
    refused = tuple((d.node, d.reason) for d in rewrite.decisions if _worth_telling(d))
    if calibration is None:
        done = _convert_blind(rewrite.graph, refused, mode, exclude)
    else:
        stream = feeds(calibration, rewrite.graph.inputs)
        done = _convert_judged(
            rewrite.graph,
            refused,
            mode,
            exclude,
            stream,
            bound=bound,
            methods=tuple(METHODS) if ranges == "auto" else (ranges,),
            tell=tell,
        )
    tell(f"writing {target}")
    done.graph.metadata[SIMPLIFIED] = "1"
    save(done.graph, target)
    timings, timed_on = _time(source, target, done, tell)
    return Report(
        str(src),
        str(dst),
        mode,
        done.calibrated,
        tuple(done.plan),
        done.refused,
        _ledger(source, target, done),
        done.agreement,
        bound,
        done.moved,
        tuple(timings),
        timed_on,
        tuple(done.notes),
    )


def _convert_blind(
    graph: Graph, refused: tuple[tuple[str, str], ...], mode: Mode, exclude: Sequence[str]
) -> _Converted:
    """Convert without data."""
    weights = WeightCache()
    plan = settle(graph, make_plan(graph, mode, calibrated=False, exclude=exclude), {}, weights)
    done = _Converted(graph, apply_plan(graph, plan, {}, weights), plan, refused)
    done.notes.append("no calibration data: agreement with the float model was not checked")
    return done


def _convert_judged(
    graph: Graph,
    refused: tuple[tuple[str, str], ...],
    mode: Mode,
    exclude: Sequence[str],
    stream: Iterable[Feed],
    *,
    bound: float,
    methods: Sequence[RangeMethod],
    tell: Tell,
) -> _Converted:
    """Calibrate where the plan asks for it, convert, and hold the result to the bound."""
    if mode in {"auto", "static"}:
        graph = separate_residuals(graph)
    plan = make_plan(graph, mode, calibrated=True, exclude=exclude)
    split = Split(stream)
    tell("calibrating")
    moments = wanted_moments(graph, plan)
    histograms = _calibrate(graph, plan, split, moments, tell)
    weights = WeightCache([(layer.weight, layer.moments) for layer in moments])
    tell(f"converting and judging on {len(split.held_back)} feeds")
    budget = Budget(graph, {}, weights, split.held_back, _make_run)
    trials = [
        (name, settle(graph, plan, found, weights), found)
        for name in (methods if histograms else methods[:1])
        for found in [choose_ranges(histograms, name)]
    ]
    chosen, plan = budget.best_ranges(trials)
    held = budget.hold(plan, bound, tell)
    notes = []
    if len(trials) > 1:
        notes.append(f"ranges by '{chosen}', which agrees best on the held-back feeds")
    if split.shared:
        notes.append(
            "only one calibration feed: ranges were made from the feed that they are judged on"
        )
    if held.moved:
        notes.append(
            f"{held.moved} steps to a safer precision were needed to keep the drop within {bound:g}"
        )
    if held.spread:
        notes.append(
            f"{held.spread} dynamic layers run in float in other runtimes: one range for all rows, "
            "as the standard has it, would cost them too much"
        )
    calibrated = Calibrated(split.passed, len(split.held_back), split.shared)
    return _Converted(
        graph,
        held.graph,
        held.plan,
        refused,
        held.agreement,
        calibrated,
        held.moved,
        split.held_back,
        notes,
    )


def _calibrate(
    graph: Graph, plan: Plan, split: Split, moments: Sequence[Layer], tell: Tell
) -> dict[str, Histogram]:
    """Run the float graph over the feeds and return what the static nodes' values looked like.

    `moments` are filled in.
    """
    static = {node for node in graph.nodes if plan.precision(node) == "static"}
    readers: dict[str, list[Moments]] = {}
    for layer in moments:
        readers.setdefault(layer.source, []).append(layer.moments)
    names = observed(graph, static)
    run = _run_to(graph, watched(names, readers))

    def told() -> Iterable[Feed]:
        for index, feed in enumerate(split):
            tell(f"calibrating: feed {index + 1}")
            yield feed

    return collect(run, names, told(), readers)


def _run_to(graph: Graph, names: Sequence[str]) -> Run:
    """Return what computes the named values of a graph."""
    given = {v.name for v in graph.inputs}
    computed = [name for name in names if name not in given]
    if not computed:
        return lambda feed: [feed[name] for name in names]
    session = InferenceSession(graph, outputs=computed)

    def run(feed: Feed) -> list[np.ndarray]:
        found = dict(zip(computed, session.run(computed, dict(feed)), strict=True))
        return [found[name] if name in found else np.asarray(feed[name]) for name in names]

    return run


def _make_run(graph: Graph) -> Run:
    session = InferenceSession(graph)
    return lambda feed: session.run(None, dict(feed))


def _time(source: Path, target: Path, done: _Converted, tell: Tell) -> tuple[list[Timing], str]:
    """Time the float and the int8 file, in our session and in onnxruntime if installed."""
    timed: list[Feed]
    if done.held_back:
        timed, timed_on = done.held_back[:TIMED_FEEDS], "held-back feeds"
    else:
        try:
            feed, assumed = random_feed(done.float_graph.inputs)
            timed, timed_on = (
                [check_feed(feed, done.float_graph.inputs, "made-up inputs")],
                "made-up inputs",
            )
            done.notes.extend(assumed)
        except ValueError as error:
            done.notes.append(f"not timed: {error}")
            return [], "nothing"
    tell("timing")
    entrants = {
        ("pycompress", "float"): session_loader(str(source)),
        ("pycompress", "int8"): session_loader(str(target)),
    }
    if has_onnxruntime():
        entrants["onnxruntime", "float"] = onnxruntime_loader(str(source))
        entrants["onnxruntime", "int8"] = onnxruntime_loader(str(target))
    return race(entrants, timed), timed_on


def _ledger(source: Path, target: Path, done: _Converted) -> Ledger:
    names = {choice.key: (choice.node, choice.format) for choice in done.plan}
    return make_ledger(
        names, done.float_graph, done.graph, model_bytes(source), model_bytes(target)
    )


def _worth_telling(decision: Decision) -> bool:
    """Tell whether a reader would have expected this node to be in a preset format."""
    return decision.format is None and decision.op in _HEAVY


def _check_paths(source: Path, target: Path) -> None:
    """Refuse what would fail, or do harm, after the long work."""
    if not source.is_file():
        msg = f"'{source}' is not a file: wanted a model to compress"
        raise FileNotFoundError(msg)
    if target.exists() and target.samefile(source):
        msg = f"output '{target}' is the input: wanted another file, the input is never touched"
        raise PlanError(msg)
    if target.is_dir():
        msg = f"output '{target}' is a folder: wanted the path of a file"
        raise IsADirectoryError(msg)
    if not target.parent.is_dir():
        msg = f"output '{target}': there is no folder '{target.parent}'"
        raise FileNotFoundError(msg)
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        msg = f"output '{target}' can't be written: {error.strerror}"
        raise PermissionError(msg) from error


def _teller(progress: bool | Tell) -> Tell:
    if callable(progress):
        return progress
    if progress:
        from pycompress.report.progress import say

        return say
    return lambda _: None
