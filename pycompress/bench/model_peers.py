"""The engines that `pycompress bench model` sets beside ours, where they are installed."""

from __future__ import annotations

import json
import statistics
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

NodeTimes = dict[tuple[str, str], float]
"""Seconds that each node, by name and operator, takes in a run."""


class Onnxruntime:
    """A session of onnxruntime on its CPU provider.

    Parameters
    ----------
    model : Path
    threads : int
    profiled : bool
        Whether `node_times` will be asked for.
    """

    name = "onnxruntime"

    def __init__(self, model: Path, threads: int, *, profiled: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        # Sessions of several thread counts are alive at once: one that spins takes the others'
        # cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._folder = tempfile.TemporaryDirectory() if profiled else None
        self._runs = 0
        if self._folder is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._folder.name) / "profile")
        providers = ["CPUExecutionProvider"]
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=providers)

    def run(self, feed: Mapping[str, np.ndarray]) -> None:
        """Run the model once."""
        self._session.run(None, feed)
        self._runs += 1

    def node_times(self) -> NodeTimes:
        """Return what the nodes took in the runs so far, and end the profile."""
        events = json.loads(Path(self._session.end_profiling()).read_text())
        if self._folder is not None:
            self._folder.cleanup()
        return kernel_times(events, self._runs)


class Openvino:
    """A model compiled by OpenVINO as it does by default, which on some CPUs is in bfloat16."""

    name = "openvino"

    def __init__(self, model: Path, threads: int, *, profiled: bool = False) -> None:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "PERF_COUNT": profiled,
        }
        self._request: Any = (
            openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        )
        self._profiled = profiled
        self._calls: dict[tuple[str, str], list[float]] = {}

    def run(self, feed: Mapping[str, np.ndarray]) -> None:
        """Run the model once."""
        self._request.infer(dict(feed), share_inputs=True)
        for node in self._request.profiling_info if self._profiled else ():
            seconds = node.real_time.total_seconds()
            if seconds > 0.0:
                self._calls.setdefault((node.node_name, node.node_type), []).append(seconds)

    def node_times(self) -> NodeTimes:
        """Return what the nodes took in the runs so far: the median of each."""
        return {key: statistics.median(found) for key, found in self._calls.items()}


Peer = Onnxruntime | Openvino

PEERS: tuple[type[Peer], ...] = (Onnxruntime, Openvino)


def installed() -> tuple[type[Peer], ...]:
    """Return the peers that this Python can import."""
    return tuple(peer for peer in PEERS if find_spec(peer.name) is not None)


def kernel_times(events: list[dict[str, Any]], runs: int) -> NodeTimes:
    """Read onnxruntime's profile: the median of a kernel's calls, times its calls in a run."""
    ending = "_kernel_time"
    calls: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(ending):
            key = event["name"].removesuffix(ending), event["args"]["op_name"]
            calls.setdefault(key, []).append(event["dur"] / 1e6)
    return {key: statistics.median(found) * len(found) / runs for key, found in calls.items()}
