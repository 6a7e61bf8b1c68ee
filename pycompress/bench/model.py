"""A model, node by node: ours, and the peers' that are installed, in turns."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.markup import escape

from pycompress.bench.machine import Machine, this_machine
from pycompress.bench.model_peers import installed
from pycompress.bench.noise import Probe
from pycompress.bench.tables import noise_text, table, threads_text, time_text
from pycompress.bench.timing import Times, Turn, in_turns
from pycompress.calibration.feeds import feeds
from pycompress.calibration.synthetic import random_feed
from pycompress.readers import read
from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rich.console import RenderableType
    from rich.table import Table

    from pycompress.bench.model_peers import Peer

OURS = "pycompress"
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
        What was made up for the input, and which peers cannot read the model.
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
    probe = Probe()
    names, turns = [], []
    notes = list(assumed)
    for count in threads:
        session = InferenceSession(model, num_threads=count)
        names.append((OURS, count))
        turns.append(Turn(lambda: None, partial(session.run, None, feed)))
        for peer in _peers(model, count, notes):
            names.append((peer.name, count))
            turns.append(Turn(lambda: None, partial(peer.run, feed)))
    tell(f"running {model}", 1, 3)
    samples = in_turns(turns, seconds, probe)
    tell(f"profiling {model}", 2, 3)
    return ModelRun(
        str(model),
        this_machine(),
        pycompress.isa(),
        tuple(dict.fromkeys(notes)),
        tuple(Engine(*name, Times.of(found)) for name, found in zip(names, samples, strict=True)),
        _nodes(model, feed, threads[0]),
        probe.noise(),
    )


def _peers(model: Path, threads: int, notes: list[str], *, profiled: bool = False) -> list[Peer]:
    """Open the model in each peer; one that cannot read it is noted and left out."""
    found = []
    for peer in installed():
        try:
            found.append(peer(model, threads, profiled=profiled))
        except Exception as error:  # noqa: PERF203 (whatever another engine raises)
            (line, *_) = str(error).strip().splitlines() or [type(error).__name__]
            notes.append(f"{peer.name} cannot read it: {line}")
    return found


def _nodes(model: Path, feed: Mapping[str, np.ndarray], threads: int) -> tuple[Node, ...]:
    """Profile the engines in turns: the median over the rounds of each node's time in a run."""
    ours = InferenceSession(model, num_threads=threads)
    peers = _peers(model, threads, [], profiled=True)
    rounds: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for row in ours.profile(feed, RUNS):
            seconds = row.ms / 1e3 * row.calls / RUNS
            rounds.setdefault((row.name, row.op), []).append(seconds)
        for peer in peers:
            for _ in range(RUNS):
                peer.run(feed)
    nodes = {
        name: Node(name, op, {OURS: statistics.median(found)})
        for (name, op), found in rounds.items()
    }
    for peer in peers:
        for (name, op), seconds in peer.node_times().items():
            node = nodes.setdefault(name, Node(name, op, {}))
            node.seconds[peer.name] = node.seconds.get(peer.name, 0.0) + seconds
    return tuple(sorted(nodes.values(), key=lambda node: -max(node.seconds.values())))


def model_view(run: ModelRun) -> RenderableType:
    """Return what to print for a model."""
    engines = table("engine", "threads", "a run", "±", "samples", title=escape(run.model))
    for row in run.engines:
        times = row.times
        spread = f"{times.spread:.1%}"
        figures = (time_text(times.median), spread, str(times.samples))
        engines.add_row(row.engine, str(row.threads), *figures)
    threads = run.engines[0].threads
    peers = [row.engine for row in run.engines if row.threads == threads and row.engine != OURS]
    parts: list[RenderableType] = [escape(str(run.machine)), "", engines]
    parts.append(_ours_view(run, threads, peers))
    parts += [_theirs_view(run, threads, peer) for peer in peers]
    if peers:
        parts.append(
            "A node that an engine fused into another one has no row. Profiling takes time too."
        )
    else:
        parts.append("onnxruntime and openvino are not installed: nothing stands beside ours.")
    parts += [f"[yellow]·[/yellow] {escape(note)}" for note in run.assumed]
    return Group(*parts, noise_text(run.noise))


def _ours_view(run: ModelRun, threads: int, peers: list[str]) -> Table:
    beside = f"; {' and '.join(peers)} where they have one of that name" if peers else ""
    title = f"Nodes of {OURS}, {threads_text(threads)}{beside}"
    view = table("node", "operator", "a run", "share", *peers, title=title, text=2)
    return _filled(view, [node for node in run.nodes if OURS in node.seconds], OURS, peers)


def _theirs_view(run: ModelRun, threads: int, peer: str) -> Table:
    title = f"Nodes of {peer} that have other names, {threads_text(threads)}"
    view = table("node", "operator", "a run", "share", title=title, text=2)
    rows = [node for node in run.nodes if OURS not in node.seconds and peer in node.seconds]
    return _filled(view, rows, peer, [])


def _filled(view: Table, nodes: list[Node], engine: str, others: list[str]) -> Table:
    """Add the rows of one engine's nodes, the rest in one row."""
    view.columns[0].no_wrap, view.columns[0].overflow = False, "fold"
    nodes = sorted(nodes, key=lambda node: -node.seconds[engine])
    whole = sum(node.seconds[engine] for node in nodes)
    for node in nodes[:MOST_ROWS]:
        seconds = node.seconds[engine]
        figures = [time_text(seconds), f"{seconds / whole:.1%}"]
        taken = [node.seconds.get(other) for other in others]
        figures += ["" if time is None else time_text(time) for time in taken]
        view.add_row(escape(node.name), node.op, *figures)
    rest = [node.seconds[engine] for node in nodes[MOST_ROWS:]]
    if rest:
        more = f"({len(rest)} more nodes)"
        view.add_row(more, "", time_text(sum(rest)), f"{sum(rest) / whole:.1%}")
    return view
