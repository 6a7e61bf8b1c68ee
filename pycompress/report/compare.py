"""Two models side by side: their answers, sizes and times."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress.calibration import FeedError, FeedSource, feeds, random_feed
from pycompress.convert import Agreement, NodeError, agreement, by_node, signal_to_noise
from pycompress.readers import read
from pycompress.report.ledger import Ledger, make_type_ledger
from pycompress.report.page import check_report_path, write_report
from pycompress.report.peers import has_onnxruntime
from pycompress.report.report import plain
from pycompress.report.sizes import model_bytes
from pycompress.report.timing import Timing, onnxruntime_loader, race, session_loader
from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.calibration import Feed, Run
    from pycompress.graph.ir import Graph

MOST_FEEDS = 64
"""Feeds that answers are compared on."""

TIMED_FEEDS = 5

ERROR_FEEDS = 2
MOST_VALUES = 400
"""Values that the errors of nodes are measured on: they are all held at once."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of `pycompress.compare`.

    Attributes
    ----------
    a, b : str
        Paths.
    size_a, size_b : int
        Bytes of the files.
    agreement : Agreement
        Of B with A.
    timings : tuple of Timing
    compared_on : str
        What the inputs were.
    notes : tuple of str
    ledger : Ledger
        Bytes of constants by type, in A and in B.
    errors : tuple of NodeError
        Signal to noise of B's values that have a namesake of the same shape in A, in the order of
        A.
    """

    a: str
    b: str
    size_a: int
    size_b: int
    agreement: Agreement
    timings: tuple[Timing, ...]
    compared_on: str
    notes: tuple[str, ...]
    ledger: Ledger
    errors: tuple[NodeError, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain dicts, lists, numbers and strings."""
        result: dict[str, Any] = plain(self)
        result["agreement"] |= {"drop": self.agreement.drop, "top1": self.agreement.top1}
        return result

    def to_html(self) -> str:
        """Return the comparison as one HTML page, for which matplotlib has to be installed."""
        from pycompress.report.html import comparison_page

        return comparison_page(self)


def compare(
    a: str | Path,
    b: str | Path,
    data: FeedSource | None = None,
    *,
    report: str | Path | None = None,
) -> Comparison:
    """Run two models on the same data and compare answers, sizes and times.

    Parameters
    ----------
    a, b : path
        Models with the same inputs and outputs, in any mix of float and integers.
    data : dict, iterable of dict, callable, or path of an .npz file or of a folder of them
        As for `compress`; made-up inputs when None.
    report : path, optional
        Where the comparison is written as well: one HTML page (.html, needs the extra ``plot``) or
        JSON (.json).

    Returns
    -------
    Comparison

    Raises
    ------
    ModelError
        A file is not a model that can be read.
    FeedError
        The data does not fit, or the models' inputs or outputs differ.
    ValueError
        `report` ends in neither .html nor .json.
    ModuleNotFoundError
        An HTML report needs matplotlib.
    """
    if report is not None:
        check_report_path(report)
    path_a, path_b = Path(a), Path(b)
    graph_a, graph_b = read(path_a), read(path_b)
    _same_face(graph_a, graph_b)
    notes: list[str] = []
    used: list[Feed]
    if data is None:
        feed, notes = random_feed(graph_a.inputs)
        used, compared_on = [feed], "made-up inputs"
    else:
        used = list(itertools.islice(feeds(data, graph_a.inputs), MOST_FEEDS))
        compared_on = f"{len(used)} feeds"
    run_a, run_b = (session_loader(str(path))() for path in (path_a, path_b))
    found = agreement(
        [v.name for v in graph_a.outputs],
        [run_a(feed) for feed in used],
        [run_b(feed) for feed in used],
    )
    entrants = {
        ("pycompress", "A"): session_loader(str(path_a)),
        ("pycompress", "B"): session_loader(str(path_b)),
    }
    if has_onnxruntime():
        entrants |= {
            ("onnxruntime", "A"): onnxruntime_loader(str(path_a)),
            ("onnxruntime", "B"): onnxruntime_loader(str(path_b)),
        }
    timings = race(entrants, used[:TIMED_FEEDS])
    sizes = model_bytes(path_a), model_bytes(path_b)
    made = Comparison(
        str(a),
        str(b),
        *sizes,
        found,
        tuple(timings),
        compared_on,
        tuple(notes),
        make_type_ledger(graph_a, graph_b, *sizes),
        _errors(graph_a, graph_b, used[:ERROR_FEEDS]),
    )
    if report is not None:
        write_report(made, report)
    return made


def _errors(a: Graph, b: Graph, feeds: Sequence[Feed]) -> tuple[NodeError, ...]:
    """Hold the values that both models compute under the same name against each other."""
    theirs = {v.name: v for node in b.nodes for v in node.outputs}
    known = {
        v.name: (node.name or node.output.name, node.op)
        for node in a.nodes
        for v in node.outputs
        if v.name in theirs and v.dtype in {None, np.dtype(np.float32)}
    }
    names = list(known)
    names = names[:: -(-len(names) // MOST_VALUES)] if names else []
    if not names:
        return ()
    return tuple(
        by_node(signal_to_noise(names, _values(a, names), _values(b, names), feeds), known)
    )


def _values(graph: Graph, names: Sequence[str]) -> Run:
    session = InferenceSession(graph, outputs=names)
    return lambda feed: session.run(None, dict(feed))[-len(names) :]


def _same_face(a: Graph, b: Graph) -> None:
    for kind, of_a, of_b in (("inputs", a.inputs, b.inputs), ("outputs", a.outputs, b.outputs)):
        names_a, names_b = [v.name for v in of_a], [v.name for v in of_b]
        if names_a != names_b:
            msg = (
                f"the models have different {kind}: found {names_b} in B, wanted {names_a} as in A"
            )
            raise FeedError(msg)
