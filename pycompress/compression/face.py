"""The whole way: a float model file in, a smaller and faster one out, and a report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pycompress.calibration import (
    METHODS,
    FeedSource,
    RangeMethod,
    feeds,
    one_blas_thread,
)
from pycompress.compression.judged import convert_judged
from pycompress.compression.made_up import made_up
from pycompress.compression.replay import convert_decided
from pycompress.compression.search import Converted, convert_blind
from pycompress.compression.wishes import Switch, Tell, Wishes, check_switches
from pycompress.convert import Bounds, Decisions, Metric, Mode, PlanError, fingerprint
from pycompress.convert.rounding import MEMORY
from pycompress.graph import save, simplify, to_formats, with_brief_names
from pycompress.graph.names import tell_apart
from pycompress.graph.passes import SIMPLIFIED
from pycompress.readers import read
from pycompress.report.ledger import Ledger, make_ledger
from pycompress.report.page import check_report_path, write_report
from pycompress.report.peers import has_onnxruntime
from pycompress.report.report import Report, kind_of
from pycompress.report.sizes import model_bytes
from pycompress.report.timing import Timing, onnxruntime_loader, race, session_loader

if TYPE_CHECKING:
    from pycompress.convert import Agreement
    from pycompress.graph import Decision

TIMED_FEEDS = 5

_HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "Gather", "LSTM", "GRU", "RNN")
"""Operators whose refusals the report shows."""


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
    report: str | Path | Sequence[str | Path] = (),
    metric: Metric | None = None,
    never_slower: bool = True,
    best_effort: bool = False,
    decisions: str | Path | None = None,
    memory: int = MEMORY,
    equalize: Switch = "auto",
    smooth: Switch = "auto",
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
    mode : "auto", "static", "dynamic", "weights", "int4" or "bf16"
        "static": ranges of activations are fixed from calibration. "dynamic": they are found at
        run time. "weights": int8 in the file, float arithmetic. "auto": with calibration
        convolutions are static, layers on sequences dynamic; without it all are dynamic, but for
        depthwise convolutions and what a logarithm is taken of, whose ranges are too wide for it.
        "int4": as "auto", and the weights of linear layers in 4 bits with a scale for each 32, in
        nodes of onnxruntime's MatMulNBits, which not every runtime has. "bf16": weights in
        bfloat16, and products by way of it where there is a kernel: half of the bytes, and next to
        no loss.
    max_drop : float, optional
        How far the mean cosine similarity of any output may fall below 1 on the held-back feeds,
        and which share of the first places of class scores may move; by default 0.005 and 0.02.
        Scores for each step of a sequence get 0.15 and half of that: one step spoils the answer.
        With `metric`: how far it may fall, by default 0.005. Nodes are moved to a safer precision
        until that is kept, in the cheapest way that is found.
    exclude : sequence of str
        Nodes that stay in float: names of nodes or of their outputs, or shell patterns of them.
    progress : bool or callable
        True: say each stage on stderr. A callable is told each stage.
    ranges : "auto", "mse", "percentile", "entropy" or "minmax"
        How the ranges of activations are chosen from what calibration saw. "auto": the way that
        agrees best on the held-back feeds.
    report : path or sequence of paths
        Where the report is written as well: one HTML page (.html, needs the extra ``plot``) or
        JSON (.json).
    metric : callable, optional
        Your own measure instead of agreement: takes what runs a model (a function from a feed to
        the list of outputs) and returns a number, more is better. It needs calibration data all the
        same, for ranges and for the sensitivity of nodes.
    never_slower : bool
        Leave nodes in float that integers neither speed up nor shrink noticeably.
    best_effort : bool
        Write the best that was found when the bounds can't be kept, instead of raising.
    decisions : path, optional
        A report in JSON of the same model, or the decisions out of one: they are carried out
        again, whatever `mode`, `exclude`, `ranges` and `never_slower` say, and nothing is tried or
        timed to take others. With the same calibration data the same file is written.
    memory : int
        Bytes that calibration may keep beside one run of the model (256 MiB): the second moments of
        layers' inputs, by which weights are rounded; layers whose moments do not fit are rounded to
        nearest. However many feeds there are, no more is kept, but for the held-back ones and, as
        long as `equalize` and `smooth` are weighed, up to 32 of the others.
    equalize : "auto", "on" or "off"
        Even the channels of activations out: what one layer computes is divided by factors, by
        channel, and the layers that read it multiply by them. Factors are powers of two, so the
        float answers keep their bits. "auto": with calibration, where the answers in integers come
        out clearly nearer for that, on the examples held back as well. "on": wherever it can be
        done and the layers themselves err less.
    smooth : "auto", "on" or "off"
        The same behind normalisations and through attention, as in transformers: scales move
        from the activations to the weights.

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
        `mode`, `max_drop`, `metric`, `exclude`, `equalize` or `smooth` can't be met.
    BudgetError
        The bounds can't be kept; nothing is written.
    ConversionError
        The converted model does not stand for the float one, which is a bug; the node is named and
        nothing is written.
    ValueError
        `report` ends in neither .html nor .json.
    ModuleNotFoundError
        An HTML report needs matplotlib.
    OSError
        `src` can't be read or `dst` can't be written; the latter is found before the long work.
    """
    source, target = Path(src), Path(dst)
    tell = _teller(progress)
    _check_paths(source, target)
    pages = [report] if isinstance(report, str | Path) else list(report)
    for page in pages:
        check_report_path(page)
    for name, given in (("max_drop", max_drop), ("metric", metric)):
        if given is not None and calibration is None:
            msg = f"{name} needs calibration data: nodes are measured on it"
            raise PlanError(msg)
    wishes = Wishes(
        mode,
        exclude,
        tuple(METHODS) if ranges == "auto" else (ranges,),
        Bounds.within(max_drop),
        metric,
        never_slower,
        best_effort,
        memory,
        equalize,
        smooth,
    )
    check_switches(wishes, calibrated=calibration is not None)
    decided = None if decisions is None else Decisions.read(decisions)
    tell(f"reading {source}")
    rewrite = to_formats(simplify(read(source)))
    tell_apart(rewrite.graph)
    refused = tuple((d.node, d.reason) for d in rewrite.decisions if _worth_telling(d))
    stream = None if calibration is None else feeds(calibration, rewrite.graph.inputs)
    with one_blas_thread():
        if decided is not None:
            mode, exclude = decided.mode, decided.exclude
            done = convert_decided(
                source,
                rewrite.graph,
                decided,
                refused=refused,
                wishes=wishes,
                stream=stream,
                tell=tell,
            )
        elif stream is None:
            done = convert_blind(rewrite.graph, refused, wishes)
        else:
            done = convert_judged(rewrite.graph, refused, wishes, stream, tell)
    tell(f"writing {target}")
    done.graph.metadata[SIMPLIFIED] = "1"
    save(with_brief_names(done.graph), target)
    noise = _on_noise(done) if stream is None else None
    timings, timed_on = _time(source, target, done, tell)
    verdict = done.verdict
    made = Report(
        str(src),
        str(dst),
        mode,
        done.calibrated,
        tuple(done.plan),
        done.refused,
        _ledger(source, target, done),
        None if verdict is None else verdict.agreement,
        wishes.bounds,
        None if verdict is None else verdict.share,
        _metric(done),
        done.moved,
        tuple(timings),
        timed_on,
        tuple(done.notes),
        done.errors,
        done.ranges,
        done.alternatives,
        noise,
        _decisions(source, mode, exclude, decided, done),
        done.evened,
    )
    for page in pages:
        write_report(made, page)
    return made


def _on_noise(done: Converted) -> Agreement | None:
    """Return the agreement on made-up inputs, which are kept for the timing as well."""
    try:
        done.made_up, assumed, found = made_up(done.float_graph, done.graph)
    except (ValueError, TypeError) as error:
        done.notes.append(f"made-up inputs: {error}")
        return None
    done.notes.extend(assumed)
    return found


def _decisions(
    source: Path,
    mode: Mode,
    exclude: Sequence[str],
    decided: Decisions | None,
    done: Converted,
) -> Decisions:
    """Return what was decided, for a replay."""
    calibrated = done.calibrated is not None if decided is None else decided.calibrated
    return Decisions(
        fingerprint(source),
        mode,
        tuple(exclude),
        calibrated,
        tuple(done.plan),
        done.bounds_of,
        done.evened,
    )


def _metric(done: Converted) -> tuple[float, float] | None:
    if done.metric_before is None or done.verdict is None or done.verdict.metric is None:
        return None
    return done.metric_before, done.verdict.metric


def _time(source: Path, target: Path, done: Converted, tell: Tell) -> tuple[list[Timing], str]:
    """Time the float and the compressed file, in our session and in onnxruntime if installed."""
    if done.held_back:
        timed, timed_on = done.held_back[:TIMED_FEEDS], "held-back feeds"
    elif done.made_up:
        timed, timed_on = done.made_up[:1], "made-up inputs"
    else:
        return [], "nothing"
    tell("timing")
    made = kind_of(done.plan)
    entrants = {
        ("pycompress", "float"): session_loader(str(source)),
        ("pycompress", made): session_loader(str(target)),
    }
    if has_onnxruntime():
        entrants["onnxruntime", "float"] = onnxruntime_loader(str(source))
        entrants["onnxruntime", made] = onnxruntime_loader(str(target))
    return race(entrants, timed), timed_on


def _ledger(source: Path, target: Path, done: Converted) -> Ledger:
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
