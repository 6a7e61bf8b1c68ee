"""A model, node by node: ours, and onnxruntime's where it is installed, in turns."""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.markup import escape

from pycompress.bench.machine import Machine, this_machine
from pycompress.bench.noise import Probe
from pycompress.bench.tables import noise_text, table, threads_text, time_text
from pycompress.bench.timing import Times, Turn, in_turns
from pycompress.calibration.feeds import feeds
from pycompress.calibration.synthetic import random_feed
from pycompress.readers import read
from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType
    from rich.table import Table

OURS, THEIRS = "pycompress", "onnxruntime"
ROUNDS, RUNS = 7, 2
"""Rounds of profiled runs, and how many each engine makes in a round."""

MOST_ROWS = 15
"""Nodes that are printed; the rest is summed up in one row."""


@dataclass(frozen=True)
class Engine:
    """One engine on so many threads: seconds of a run of the model."""

    engine: str
    threads: int
    times: Times


@dataclass(frozen=True)
class Node:
    """One node of the model as an engine runs it.

    Attributes
    ----------
    name, op : str
        As the engine calls them; a node that was fused into another one has no row.
    seconds : dict
        By engine; an engine that has no node of this name is missing.
    """

    name: str
    op: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class ModelRun:
    """The outcome of `pycompress bench model`.

    Attributes
    ----------
    assumed : tuple of str
        What was made up for the input.
    """

    model: str
    machine: Machine
    isa: str
    assumed: tuple[str, ...]
    engines: tuple[Engine, ...]
    nodes: tuple[Node, ...]
    noise: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and strings."""
        return asdict(self)


def run_model(
    model: Path,
    data: Path | None,
    threads: tuple[int, ...],
    seconds: float,
    tell: Callable[[str, int, int], None],
) -> ModelRun:
    """Time a model and its nodes.

    Parameters
    ----------
    model : Path
        Float or int8.
    data : Path or None
        Inputs, as for `pycompress compress --calibration`; the first is taken. None: made up.
    threads : tuple of int
        The nodes are timed on the first count.
    seconds : float
        For each engine and thread count.
    tell : callable
        Called with what is being done, steps that are done, and all steps.

    Raises
    ------
    ValueError
        The model cannot be read, or the data does not fit it.
    """
    import pycompress

    tell(f"loading {model}", 0, 3)
    inputs = read(model).inputs
    if data is None:
        feed, assumed = random_feed(inputs)
    else:
        feed, assumed = next(islice(feeds(data, inputs), 1)), []
    has_peer = find_spec(THEIRS) is not None
    probe = Probe()
    names, turns = [], []
    for count in threads:
        session = InferenceSession(model, num_threads=count)
        names.append((OURS, count))
        turns.append(_turn(session, feed))
        if has_peer:
            names.append((THEIRS, count))
            turns.append(_turn(_peer(model, count), feed))
    tell(f"running {model}", 1, 3)
    samples = in_turns(turns, seconds, probe)
    tell(f"profiling {model}", 2, 3)
    return ModelRun(
        str(model),
        this_machine(),
        pycompress.isa(),
        tuple(assumed),
        tuple(Engine(*name, Times.of(found)) for name, found in zip(names, samples, strict=True)),
        _nodes(model, feed, threads[0], has_peer=has_peer),
        probe.noise(),
    )


def _turn(session: Any, feed: Mapping[str, np.ndarray]) -> Turn:  # noqa: ANN401 (ours or theirs)
    return Turn(lambda: None, lambda: session.run(None, feed))


def _peer(model: Path, threads: int, profile: Path | None = None) -> Any:  # noqa: ANN401 (the peer has no types)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Sessions of several thread counts are alive at once: one that spins takes the others' cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _nodes(
    model: Path, feed: Mapping[str, np.ndarray], threads: int, *, has_peer: bool
) -> tuple[Node, ...]:
    """Profile both engines in turns: the median over the rounds of each node's time in a run."""
    ours = InferenceSession(model, num_threads=threads)
    rounds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        peer: Any = _peer(model, threads, Path(folder) / "profile") if has_peer else None
        for _ in range(ROUNDS):
            for row in ours.profile(feed, RUNS):
                rounds.setdefault((row.name, row.op), []).append(row.ms / 1e3 / RUNS)
            for _ in range(RUNS if peer else 0):
                peer.run(None, feed)
        events = json.loads(Path(peer.end_profiling()).read_text()) if peer else []
    nodes = {
        name: Node(name, op, {OURS: statistics.median(found)})
        for (name, op), found in rounds.items()
    }
    for (name, op), seconds in _kernel_times(events, ROUNDS * RUNS).items():
        node = nodes.setdefault(name, Node(name, op, {}))
        node.seconds[THEIRS] = node.seconds.get(THEIRS, 0.0) + seconds
    return tuple(sorted(nodes.values(), key=lambda node: -max(node.seconds.values())))


def _kernel_times(events: list[dict[str, Any]], runs: int) -> dict[tuple[str, str], float]:
    """Read onnxruntime's profile: the median of a kernel's calls, times its calls in a run."""
    ending = "_kernel_time"
    calls: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(ending):
            key = event["name"].removesuffix(ending), event["args"]["op_name"]
            calls.setdefault(key, []).append(event["dur"] / 1e6)
    return {key: statistics.median(found) * len(found) / runs for key, found in calls.items()}


def model_view(run: ModelRun) -> RenderableType:
    """Return what to print for a model."""
    engines = table("engine", "threads", "a run", "±", "samples", title=escape(run.model))
    for row in run.engines:
        times = row.times
        spread = f"{times.spread:.1%}"
        figures = (time_text(times.median), spread, str(times.samples))
        engines.add_row(row.engine, str(row.threads), *figures)
    threads = run.engines[0].threads
    parts: list[RenderableType] = [escape(str(run.machine)), "", engines, _ours_view(run, threads)]
    if any(THEIRS in node.seconds for node in run.nodes):
        parts.append(_theirs_view(run, threads))
        parts.append(
            "A node that an engine fused into another one has no row. Profiling takes time too."
        )
    else:
        parts.append("onnxruntime is not installed: nothing stands beside ours.")
    parts += [f"[yellow]·[/yellow] {escape(note)}" for note in run.assumed]
    return Group(*parts, noise_text(run.noise))


def _ours_view(run: ModelRun, threads: int) -> Table:
    title = f"Nodes of {OURS}, {threads_text(threads)}; {THEIRS}'s where it has one of that name"
    view = table("node", "operator", "a run", "share", THEIRS, title=title, text=2)
    return _filled(view, [node for node in run.nodes if OURS in node.seconds], OURS, THEIRS)


def _theirs_view(run: ModelRun, threads: int) -> Table:
    title = f"Nodes of {THEIRS} that have other names, {threads_text(threads)}"
    view = table("node", "operator", "a run", "share", title=title, text=2)
    return _filled(view, [node for node in run.nodes if OURS not in node.seconds], THEIRS)


def _filled(view: Table, nodes: list[Node], engine: str, other: str | None = None) -> Table:
    """Add the rows of one engine's nodes, the rest in one row."""
    view.columns[0].no_wrap, view.columns[0].overflow = False, "fold"
    nodes = sorted(nodes, key=lambda node: -node.seconds[engine])
    whole = sum(node.seconds[engine] for node in nodes)
    for node in nodes[:MOST_ROWS]:
        seconds = node.seconds[engine]
        figures = [time_text(seconds), f"{seconds / whole:.1%}"]
        if other is not None:
            figures.append(time_text(node.seconds[other]) if other in node.seconds else "")
        view.add_row(escape(node.name), node.op, *figures)
    rest = [node.seconds[engine] for node in nodes[MOST_ROWS:]]
    if rest:
        more = f"({len(rest)} more nodes)"
        view.add_row(more, "", time_text(sum(rest)), f"{sum(rest) / whole:.1%}")
    return view
