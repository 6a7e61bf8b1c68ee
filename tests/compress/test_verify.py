"""Planted mistakes in convert/: each is caught by the differential step, named, and not shipped."""

import dataclasses

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.convert import (
    ConversionError,
    WeightCache,
    activations,
    apply,
    apply_plan,
    make_plan,
    quantize_weight,
    separate_residuals,
    verify,
)
from pycompress.graph import Quantized

from .models import images, preset, residual_cnn, sentences, tokens

REAL_GET, REAL_BIAS, REAL_AFFINE = WeightCache.get, apply.quantize_bias, activations.affine


def planted(mistake):
    """Change what the cache hands out: the last that has to do with weights before the graph."""

    def get(self, array, format):
        return mistake(array, REAL_GET(self, array, format))

    return get


def scaled(_, made):
    return dataclasses.replace(made, scale=made.scale * np.float32(1.06))


def shifted(_, made):
    return dataclasses.replace(made, zero_point=made.zero_point + np.int8(1))


def other_axis(array, made):
    return quantize_weight(array, (made.axis + 1) % array.ndim)


def reversed_scales(_, made):
    return dataclasses.replace(made, scale=made.scale[::-1].copy())


def transposed(_, made):
    data = np.ascontiguousarray(np.swapaxes(made.data, -1, -2))
    return dataclasses.replace(made, data=data)


def wrong_bias(bias, x_scale, weight, original):
    units, weight = REAL_BIAS(bias, x_scale, weight, original)
    return Quantized(units.data + np.int32(3), units.scale, units.zero_point, 0), weight


def wrong_bias_unit(bias, x_scale, weight, original):
    return REAL_BIAS(bias, x_scale * np.float32(0.5), weight, original)


def wrong_scale(bounds):
    made = REAL_AFFINE(bounds)
    return dataclasses.replace(made, scale=made.scale * np.float32(1.05))


def wrong_zero(bounds):
    made = REAL_AFFINE(bounds)
    return dataclasses.replace(made, zero_point=min(made.zero_point + 3, 255))


@pytest.fixture
def cnn(tmp_path):
    onnx.save(residual_cnn(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx", images(8)


@pytest.fixture
def text(tmp_path):
    onnx.save(tokens(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx", sentences(8)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (scaled, r"node 'first' .* are 1\.06\d times its weights"),
        (shifted, "node 'first' .* have a zero point"),
        (other_axis, "node 'first' .* scales is 1, wanted 0"),
        (reversed_scales, "node 'first' .* times its weights"),
        (transposed, "node 'first' .* times its weights"),
    ],
)
@pytest.mark.parametrize("mode", ["static", "weights"])
def test_wrong_weights_are_named_and_not_shipped(cnn, tmp_path, monkeypatch, mode, mistake, said):
    source, feeds = cnn
    graph = separate_residuals(preset(residual_cnn()))
    plan = make_plan(graph, "weights", calibrated=True)
    monkeypatch.setattr(WeightCache, "get", planted(mistake))
    weights = WeightCache()
    with pytest.raises(ConversionError, match=said):
        verify(graph, apply_plan(graph, plan, {}, weights), plan, {}, weights)
    target = tmp_path / "out.onnx"
    with pytest.raises((ConversionError, ValueError)):
        pycompress.compress(source, target, feeds, mode=mode, best_effort=True)
    assert not target.exists()


@pytest.mark.parametrize(
    ("place", "name", "mistake", "said"),
    [
        ("apply", "quantize_bias", wrong_bias, r"node 'first' .* its bias is .* wanted"),
        ("apply", "quantize_bias", wrong_bias_unit, "node 'first' .* scales of its bias are not"),
        ("chain", "affine", wrong_scale, "the integers of value 'x' cover"),
        ("chain", "affine", wrong_zero, "the integers of value 'x' cover"),
    ],
)
def test_wrong_biases_and_ranges_are_named_and_not_shipped(
    cnn, tmp_path, monkeypatch, place, name, mistake, said
):
    source, feeds = cnn
    monkeypatch.setattr(f"pycompress.convert.{place}.{name}", mistake)
    target = tmp_path / "out.onnx"
    with pytest.raises(ConversionError, match=said):
        pycompress.compress(source, target, feeds, mode="static", best_effort=True)
    assert not target.exists()


@pytest.mark.parametrize("data", [True, False])
def test_so_it_is_without_data_and_for_dynamic_layers(text, tmp_path, monkeypatch, data):
    source, feeds = text
    monkeypatch.setattr(WeightCache, "get", planted(scaled))
    target = tmp_path / "out.onnx"
    with pytest.raises(ConversionError, match=r"node '(words|up|down)' was converted wrongly"):
        pycompress.compress(source, target, feeds if data else None, best_effort=True)
    assert not target.exists()
