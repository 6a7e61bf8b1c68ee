"""`pycompress bench model`: a run of a model, and what its nodes take."""

import json
import sys
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from pycompress.bench import model_peers
from pycompress.cli import app
from pycompress.runtime import InferenceSession
from pycompress.runtime.profile import NodeTime
from tests.compress.models import images, residual_cnn


@pytest.fixture
def path(tmp_path):
    onnx.save(residual_cnn(), tmp_path / "cnn.onnx")
    np.savez(tmp_path / "data.npz", x=np.concatenate([f["x"] for f in images(2)]))
    return tmp_path / "cnn.onnx"


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", "--seconds", "0", *map(str, arguments)])


def test_both_engines_and_their_nodes(path, monkeypatch):
    monkeypatch.setattr(model_peers, "PEERS", (model_peers.Onnxruntime,))
    result = bench("model", path, "--threads", "1,2", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    engines = [(row["engine"], row["threads"]) for row in data["engines"]]
    assert engines == [(name, count) for count in (1, 2) for name in ("pycompress", "onnxruntime")]
    assert all(row["times"]["median"] > 0 for row in data["engines"])
    for engine in ("pycompress", "onnxruntime"):
        assert any(engine in node["seconds"] for node in data["nodes"])
    assert all(seconds >= 0 for node in data["nodes"] for seconds in node["seconds"].values())


def test_the_table(path):
    result = bench("model", path, "--data", path.parent / "data.npz")
    assert result.exit_code == 0, result.output
    for word in ("Nodes of pycompress, 1 thread", "a run", "conv", "share"):
        assert word in result.stdout


def test_a_peer_that_cannot_read_the_model_is_noted(path, monkeypatch):
    class Refuses:
        name = "json"  # a module that is installed

        def __init__(self, *_model_and_threads, **_profiled):
            msg = "no such operator\nand more"
            raise RuntimeError(msg)

    monkeypatch.setattr(model_peers, "PEERS", (Refuses,))
    data = json.loads(bench("model", path, "--threads", "1,2", "--json").stdout)
    assert data["assumed"].count("json cannot read it: no such operator") == 1
    assert {row["engine"] for row in data["engines"]} == {"pycompress"}


class Request:
    """What `model_peers.Openvino` uses of openvino's request."""

    def __init__(self):
        self.runs = 0

    def infer(self, feed, *, share_inputs):
        assert share_inputs
        assert isinstance(feed, dict)
        self.runs += 1

    @property
    def profiling_info(self):
        times = {("a", "Convolution"): 10 * self.runs, ("b", "Reorder"): 3, ("gone", "Relu"): 0}
        return [
            SimpleNamespace(node_name=name, node_type=op, real_time=timedelta(microseconds=time))
            for (name, op), time in times.items()
        ]


def test_a_profile_of_openvino_is_the_median_of_its_runs(path, monkeypatch):
    asked = []

    def compile_model(model, device, settings):
        asked.append((model, device, settings["INFERENCE_NUM_THREADS"], settings["PERF_COUNT"]))
        return SimpleNamespace(create_infer_request=Request)

    core = SimpleNamespace(compile_model=compile_model)
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    peer = model_peers.Openvino(path, 2, profiled=True)
    for _ in range(3):
        peer.run({"x": np.zeros(3)})
    assert asked == [(path, "CPU", 2, True)]
    assert peer.node_times() == {
        ("a", "Convolution"): pytest.approx(20e-6),
        ("b", "Reorder"): pytest.approx(3e-6),
    }


def test_a_node_of_ours_counts_with_its_calls_in_a_run(path, monkeypatch):
    def profile(_session, _feeds, repeats):
        rows = (("conv", 1), ("in a loop", 3))
        return [NodeTime(op, op, 4.0, 0.5, (1,), repeats * calls, "native") for op, calls in rows]

    monkeypatch.setattr(model_peers, "PEERS", ())
    monkeypatch.setattr(InferenceSession, "profile", profile)
    nodes = json.loads(bench("model", path, "--json").stdout)["nodes"]
    seconds = {node["name"]: node["seconds"]["pycompress"] for node in nodes}
    assert seconds == {"conv": pytest.approx(0.004), "in a loop": pytest.approx(0.012)}


def test_without_onnxruntime_ours_stands_alone(path, monkeypatch):
    monkeypatch.setattr(model_peers, "PEERS", ())
    data = json.loads(bench("model", path, "--json").stdout)
    assert {row["engine"] for row in data["engines"]} == {"pycompress"}
    assert {name for node in data["nodes"] for name in node["seconds"]} == {"pycompress"}
    assert "nothing stands beside ours" in bench("model", path).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("model",), "pycompress bench model MODEL"),
        (("gemm", "@cnn.onnx"), "pycompress bench model MODEL"),
        (("model", "@none.onnx"), "none.onnx"),
        (("model", "@cnn.onnx", "--isa", "all"), "--isa is for kernels"),
        (("model", "@cnn.onnx", "--data", "@none.npz"), "no file or folder"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line(path, arguments, said):
    result = bench(*(text.replace("@", f"{path.parent}/") for text in arguments))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line


def test_a_profile_of_onnxruntime_is_read_by_calls():
    def event(name, op, duration):
        return {
            "cat": "Node",
            "name": f"{name}_kernel_time",
            "args": {"op_name": op},
            "dur": duration,
        }

    events = [
        event("a", "Conv", 10),
        event("a", "Conv", 20),
        event("a", "Conv", 90),
        event("loop", "Add", 4),
        event("loop", "Add", 4),
        event("loop", "Add", 4),
        event("loop", "Add", 4),
        event("loop", "Add", 4),
        event("loop", "Add", 4),
        {"cat": "Session", "name": "run", "dur": 1},
    ]
    found = model_peers.kernel_times(events, 3)
    assert found == {("a", "Conv"): pytest.approx(20e-6), ("loop", "Add"): pytest.approx(8e-6)}
