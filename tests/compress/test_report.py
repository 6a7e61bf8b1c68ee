import builtins
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import onnx
import pytest
from onnxruntime import quantization

import pycompress
from pycompress.calibration import Histogram
from pycompress.convert import signal_to_noise
from pycompress.report.views import BARS, range_views

from .models import images, residual_cnn


@pytest.fixture
def cnn(tmp_path):
    path = tmp_path / "float.onnx"
    onnx.save(residual_cnn(), path)
    return path


class Page(HTMLParser):
    """Headings and text of a page; every tag is closed, and every address is within the page."""

    VOID = frozenset({"meta", "path", "use", "rect"})

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.ids, self.svgs, self.text = [], [], [], 0, []
        self.feed(text)
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self.svgs += tag == "svg"
        for name, value in attrs:
            assert name not in {"src", "srcset", "action"}
            assert name not in {"href", "xlink:href"} or value.startswith("#")
            if name == "id":
                self.ids.append(value)
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_page_stands_alone_and_shows_everything(cnn, tmp_path):
    files = [tmp_path / "r.html", tmp_path / "r.json"]
    report = pycompress.compress(cnn, tmp_path / "out.onnx", images(8), report=files)
    text = files[0].read_text()
    page = Page(text)
    assert page.headings == [
        "Agreement with the float model",
        "Times",
        "Size, speed and agreement",
        "Bytes",
        "Choices",
        "Channels evened out",
        "Error by node",
        "Ranges of activations",
    ]
    assert page.svgs == 6
    assert "<script" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    for choice in report.choices:
        assert choice.node in page.text
    assert json.loads(files[1].read_text()) == json.loads(report.to_json())


def test_names_cannot_break_the_page(tmp_path):
    proto = residual_cnn()
    for node in proto.graph.node:
        node.name = f"<b>&\"{node.name or node.output[0]}$x_1$'</b>"
    onnx.save(proto, tmp_path / "odd.onnx")
    file = tmp_path / "r.html"
    report = pycompress.compress(
        tmp_path / "odd.onnx", tmp_path / "out.onnx", images(4), report=file
    )
    page = Page(file.read_text())
    assert report.choices[0].node in page.text


def test_without_data_the_page_says_so(cnn, tmp_path):
    file = tmp_path / "r.html"
    pycompress.compress(cnn, tmp_path / "out.onnx", report=file)
    page = Page(file.read_text())
    assert "There was no data to judge on." in page.text
    assert "Ranges of activations" not in page.headings


@pytest.mark.parametrize("maker", ["ours", "onnxruntime"])
def test_a_comparison_has_errors_and_bytes_of_any_two_files(cnn, tmp_path, maker):
    other = tmp_path / "b.onnx"
    if maker == "ours":
        pycompress.compress(cnn, other, images(8), mode="static")
    else:
        kind = quantization.QuantType.QInt8
        quantization.quantize_dynamic(str(cnn), str(other), per_channel=True, weight_type=kind)
    file = tmp_path / "r.html"
    found = pycompress.compare(cnn, other, images(5, seed=7), report=file)
    page = Page(file.read_text())
    assert "Error by node" in page.headings
    assert found.ledger.before == cnn.stat().st_size
    assert found.ledger.after == other.stat().st_size
    rows = {row.node: row for row in found.ledger.rows}
    assert rows["int8"].before == 0
    assert rows["int8"].after >= 16 * 16 * 9
    errors = {e.node: e.sqnr for e in found.errors}
    assert 10 < errors["classify"] < 80


def test_signal_to_noise_is_what_it_says():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 1000)).astype(np.float32)
    found = x + np.float32(0.01) * rng.standard_normal(x.shape).astype(np.float32)
    x[0, 0] = found[0, 1] = np.inf  # left out of both
    values = [x, x, np.zeros(4, np.float32), np.arange(3), x]
    others = [found, x, np.ones(4, np.float32), np.arange(3), x[:2]]
    names = ["noisy", "same", "nothing", "integers", "shape"]
    sqnr = signal_to_noise(names, lambda _: values, lambda _: others, [{}, {}])
    assert set(sqnr) == {"noisy", "same", "nothing"}
    assert sqnr["noisy"] == pytest.approx(40, abs=0.5)
    assert sqnr["same"] == math.inf
    assert sqnr["nothing"] == -math.inf


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e4])
def test_a_view_of_a_range_keeps_every_count(scale):
    histogram = Histogram()
    values = np.random.default_rng(1).standard_normal(5000) * scale
    histogram.update(values)
    (view,) = range_views({"x": histogram}, {"x": (-scale, 2 * scale)})
    assert sum(view.counts) == 5000
    assert BARS / 4 < len(view.counts) <= BARS
    assert view.start <= values.min()
    assert view.start + view.width * len(view.counts) > values.max()
    outside = np.mean((values < -scale) | (values > 2 * scale))
    assert view.clipped == pytest.approx(outside, abs=0.005)


def test_reports_that_cannot_be_written_are_found_first(cnn, tmp_path):
    target, told = tmp_path / "out.onnx", []
    with pytest.raises(ValueError, match=r"found the suffix '.txt', wanted .html or .json"):
        pycompress.compress(cnn, target, report=tmp_path / "r.txt", progress=told.append)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        pycompress.compress(cnn, target, report=tmp_path / "no" / "r.html", progress=told.append)
    with pytest.raises(ValueError, match="found the suffix ''"):
        pycompress.compare(cnn, cnn, report=tmp_path / "r")
    assert told == []
    assert not target.exists()


def test_a_page_without_matplotlib_is_refused_first(cnn, tmp_path, monkeypatch):
    found = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    target = tmp_path / "out.onnx"
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pycompress\[plot\]'"):
        pycompress.compress(cnn, target, report=tmp_path / "r.html")
    assert not target.exists()
    pycompress.compress(cnn, target, report=tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["ratio"] > 0
