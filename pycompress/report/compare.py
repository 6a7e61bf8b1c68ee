"""Two models side by side: their answers, sizes and times."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompress.calibration import FeedError, FeedSource, feeds, random_feed
from pycompress.convert import Agreement, agreement
from pycompress.readers import read
from pycompress.report.peers import has_onnxruntime
from pycompress.report.report import plain
from pycompress.report.sizes import model_bytes
from pycompress.report.timing import Timing, onnxruntime_loader, race, session_loader

if TYPE_CHECKING:
    from pycompress.calibration import Feed
    from pycompress.graph.ir import Graph

MOST_FEEDS = 64
"""Feeds that answers are compared on."""

TIMED_FEEDS = 5


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
    """

    a: str
    b: str
    size_a: int
    size_b: int
    agreement: Agreement
    timings: tuple[Timing, ...]
    compared_on: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain dicts, lists, numbers and strings."""
        result: dict[str, Any] = plain(self)
        result["agreement"] |= {"drop": self.agreement.drop, "top1": self.agreement.top1}
        return result


def compare(a: str | Path, b: str | Path, data: FeedSource | None = None) -> Comparison:
    """Run two models on the same data and compare answers, sizes and times.

    Parameters
    ----------
    a, b : path
        Models with the same inputs and outputs, in any mix of float and integers.
    data : dict, iterable of dict, callable, or path of an .npz file or of a folder of them
        As for `compress`; made-up inputs when None.

    Returns
    -------
    Comparison

    Raises
    ------
    ModelError
        A file is not a model that can be read.
    FeedError
        The data does not fit, or the models' inputs or outputs differ.
    """
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
    return Comparison(
        str(a),
        str(b),
        model_bytes(path_a),
        model_bytes(path_b),
        found,
        tuple(timings),
        compared_on,
        tuple(notes),
    )


def _same_face(a: Graph, b: Graph) -> None:
    for kind, of_a, of_b in (("inputs", a.inputs, b.inputs), ("outputs", a.outputs, b.outputs)):
        names_a, names_b = [v.name for v in of_a], [v.name for v in of_b]
        if names_a != names_b:
            msg = (
                f"the models have different {kind}: found {names_b} in B, wanted {names_a} as in A"
            )
            raise FeedError(msg)
