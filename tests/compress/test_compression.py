import json
import math
import os
import stat
from pathlib import Path

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.calibration import FeedError
from pycompress.convert import BudgetError, PlanError, cosine
from pycompress.readers import ModelError

from .models import images, peer, residual_cnn, sentences, tokens


@pytest.fixture
def cnn(tmp_path):
    path = tmp_path / "float.onnx"
    onnx.save(residual_cnn(), path)
    return path


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.onnx"
    onnx.save(tokens(), path)
    return path


@pytest.mark.parametrize("mode", ["auto", "static", "dynamic", "weights"])
def test_the_written_model_runs_elsewhere_and_agrees(cnn, tmp_path, mode):
    target = tmp_path / "int8.onnx"
    before = cnn.read_bytes()
    report = pycompress.compress(cnn, target, images(8), mode=mode)
    assert cnn.read_bytes() == before
    assert report.agreement is not None
    assert report.agreement.drop < 0.02
    assert not list(tmp_path.glob(".*"))
    written = onnx.load(target)
    onnx.checker.check_model(written, full_check=True)
    assert {o.domain for o in written.opset_import} == {""}
    theirs, ours = peer(written), pycompress.InferenceSession(target)
    reference = peer(residual_cnn())
    for feed in images(4, seed=3):
        assert cosine(theirs(feed)[0], ours.run(None, feed)[0]) > 0.999
        assert cosine(reference(feed)[0], ours.run(None, feed)[0]) > 0.99


def test_a_system_that_does_not_say_which_cpus_are_ours_will_do(cnn, tmp_path, monkeypatch):
    """As macOS and Windows do not."""
    here, there = tmp_path / "here.onnx", tmp_path / "there.onnx"
    pycompress.compress(cnn, here, images(8))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    pycompress.compress(cnn, there, images(8))
    assert there.read_bytes() == here.read_bytes()


def test_a_session_does_not_simplify_what_compress_has_simplified(cnn, tmp_path, monkeypatch):
    target = tmp_path / "int8.onnx"
    pycompress.compress(cnn, target, images(8))
    feed = images(1, seed=3)[0]
    marked = pycompress.InferenceSession(target).run(None, feed)
    bare = onnx.load(target)
    del bare.metadata_props[:]
    np.testing.assert_array_equal(marked, pycompress.InferenceSession(bare).run(None, feed))
    monkeypatch.delattr("pycompress.graph.passes._FOR_SESSION")
    pycompress.InferenceSession(target)
    with pytest.raises(NameError, match="_FOR_SESSION"):
        pycompress.InferenceSession(bare)


def test_auto_keeps_sequences_dynamic_and_convolutions_static(cnn, text, tmp_path):
    report = pycompress.compress(cnn, tmp_path / "a.onnx", images(8))
    assert {c.precision for c in report.choices if c.format == "conv"} == {"static"}
    report = pycompress.compress(text, tmp_path / "b.onnx", sentences(8))
    assert {c.precision for c in report.choices if c.format == "linear"} == {"dynamic"}


def test_without_data_it_says_that_nothing_was_checked(text, tmp_path):
    report = pycompress.compress(text, tmp_path / "out.onnx")
    assert report.agreement is None
    assert report.calibrated is None
    assert any("not checked" in note for note in report.notes)
    assert report.timed_on == "made-up inputs"
    assert any("axis 1 of input 'ids' is open" in note for note in report.notes)


def test_a_table_with_infinities_survives(text, tmp_path):
    target = tmp_path / "out.onnx"
    report = pycompress.compress(text, target, sentences(8))
    assert next(c for c in report.choices if c.format == "embedding").precision == "weights"
    feed = {"ids": np.array([[8, 9, 10]])}
    session = pycompress.InferenceSession(target)
    assert cosine(session.run(None, feed)[0], peer(tokens())(feed)[0]) > 0.99


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_the_ledger_adds_up_to_both_files(cnn, tmp_path, mode):
    target = tmp_path / "out.onnx"
    report = pycompress.compress(cnn, target, images(4), mode=mode)
    assert report.size_before == cnn.stat().st_size
    assert report.size_after == target.stat().st_size
    weights = {row.node: row for row in report.ledger.rows}
    assert all(row.before >= 0 and row.after >= 0 for row in report.ledger.rows)
    integers = 16 * 16 * 9 + 4 * 16  # weights and their scales
    bias = 4 * 16 * (2 if mode == "static" else 1)  # static: int32 with scales of its own
    assert weights["second"].after == integers + bias
    assert weights["second"].before == 4 * (16 * 16 * 9 + 16)
    assert weights["second"].after < weights["second"].before / 3


def test_the_report_is_data_and_text(cnn, tmp_path):
    report = pycompress.compress(cnn, tmp_path / "out.onnx", images(8))
    data = json.loads(report.to_json())
    assert data["size_after"] == report.size_after
    assert data["agreement"]["outputs"][0]["name"] == "y"
    assert {t["engine"] for t in data["timings"]} == {"pycompress", "onnxruntime"}
    assert all(t["run_ms"] > 0 and not t["error"] for t in data["timings"])
    assert report.made_up is None
    text = str(report)
    assert "MADE-UP" not in text
    assert "Precision" in text
    assert "second" in text


def test_progress_is_told_in_order(cnn, tmp_path):
    told = []
    pycompress.compress(cnn, tmp_path / "out.onnx", images(4), progress=told.append)
    assert told[0].startswith("reading")
    assert told[-1] == "timing"
    assert "calibrating: feed 3" in told


def test_one_feed_serves_both_ends_and_the_report_says_so(cnn, tmp_path):
    report = pycompress.compress(cnn, tmp_path / "out.onnx", images(1)[0])
    assert report.calibrated is not None
    assert report.calibrated.shared
    assert any("only one calibration feed" in note for note in report.notes)


def test_a_bound_that_cannot_be_kept_writes_only_what_is_asked_for(cnn, tmp_path):
    target, page = tmp_path / "out.onnx", tmp_path / "r.json"
    with pytest.raises(BudgetError, match="the bounds can't be kept: at best the mean cosine"):
        pycompress.compress(cnn, target, images(8), max_drop=0.0, report=page)
    assert not target.exists()
    assert not page.exists()
    report = pycompress.compress(cnn, target, images(8), max_drop=0.0, best_effort=True)
    assert target.exists()
    assert report.kept is False
    assert report.share > 1
    assert any("can't be kept" in note for note in report.notes)
    assert report.size_after < 0.9 * report.size_before


def test_a_measure_of_the_callers_counts_alone(cnn, tmp_path):
    feeds = images(20, seed=5)
    labels = [int(peer(residual_cnn())(f)[0].argmax()) for f in feeds]

    def accuracy(run):
        return float(np.mean([run(f)[0].argmax() == label for f, label in zip(feeds, labels)]))

    calls = []
    report = pycompress.compress(
        cnn,
        tmp_path / "out.onnx",
        images(8),
        metric=lambda run: calls.append(1) or accuracy(run),
        max_drop=0.1,
    )
    assert report.kept
    assert report.metric[0] == 1.0
    assert report.metric[1] >= 0.9
    assert len(calls) >= 2
    assert json.loads(report.to_json())["metric"] == list(report.metric)
    with pytest.raises(PlanError, match="metric needs calibration data"):
        pycompress.compress(cnn, tmp_path / "out.onnx", metric=accuracy)
    with pytest.raises(PlanError, match="found nan for the float model"):
        pycompress.compress(cnn, tmp_path / "out.onnx", images(8), metric=lambda _: math.nan)
    worse = iter([1.0] + [0.5] * 1000)
    with pytest.raises(BudgetError, match=r"the metric falls by 0.5, 0.005 allowed"):
        pycompress.compress(cnn, tmp_path / "o.onnx", images(8), metric=lambda _: next(worse))
    assert not (tmp_path / "o.onnx").exists()


def test_the_output_is_never_the_input(cnn, tmp_path):
    before = cnn.read_bytes()
    with pytest.raises(PlanError, match="is the input"):
        pycompress.compress(cnn, cnn)
    link = tmp_path / "link.onnx"
    link.symlink_to(cnn)
    with pytest.raises(PlanError, match="is the input"):
        pycompress.compress(cnn, link)
    assert cnn.read_bytes() == before


def test_outputs_that_cannot_be_written_are_found_first(cnn, tmp_path):
    told = []
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        pycompress.compress(cnn, tmp_path / "no" / "out.onnx", progress=told.append)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        pycompress.compress(cnn, tmp_path, progress=told.append)
    assert told == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write into any folder"
)
def test_a_folder_without_write_permission_is_found_first(cnn, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PermissionError, match="can't be written"):
        pycompress.compress(cnn, closed / "out.onnx")


def test_bad_models_and_data_leave_no_file(cnn, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(cnn.read_bytes()[:500])
    target = tmp_path / "out.onnx"
    with pytest.raises(ModelError):
        pycompress.compress(broken, target)
    with pytest.raises(FeedError, match="input 'x' is missing"):
        pycompress.compress(cnn, target, {"image": np.zeros(1)})
    with pytest.raises(PlanError, match="max_drop needs calibration data"):
        pycompress.compress(cnn, target, max_drop=0.1)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        pycompress.compress(tmp_path / "nothing.onnx", target)
    assert not target.exists()


def test_compare_and_inspect(cnn, text, tmp_path):
    target = tmp_path / "out.onnx"
    pycompress.compress(cnn, target, images(8))
    found = pycompress.compare(cnn, target, images(5, seed=7))
    assert (found.size_a, found.size_b) == (cnn.stat().st_size, target.stat().st_size)
    assert found.agreement.feeds == 5
    assert found.agreement.drop < 0.02
    assert pycompress.compare(cnn, cnn).agreement.drop == pytest.approx(0, abs=1e-12)
    with pytest.raises(FeedError, match="different inputs"):
        pycompress.compare(cnn, text)
    precisions = {n.node: n.precision for n in pycompress.inspect(target).nodes}
    assert "int8 static" in precisions.values()
    assert {n.precision for n in pycompress.inspect(cnn).nodes} == {"float"}


def test_info_knows_this_machine():
    found = pycompress.info()
    assert found.isa in found.available_isas
    assert found.packages["numpy"] == np.__version__
    assert Path(pycompress.__file__).exists()
