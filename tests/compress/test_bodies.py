"""Products in the bodies of If, Loop and Scan: compressed as those outside of them."""

import numpy as np
import onnx
import pytest

import pycompress
from pycompress.convert import cosine

from .models import normal, peer

SIZE = 48
LOOP = """agraph (float[2,48] x) => (float[2,48] last, float[t,2,48] all) {
  n = Constant <value = int64 {4}> ()
  go = Constant <value = bool {1}> ()
  h = MatMul (x, outer)
  last, all = Loop (n, go, h) <body = body (int64 i, bool go_in, float[2,48] s)
    => (bool go_out, float[2,48] s_out, float[2,48] y) {
      go_out = Identity (go_in)
      p = MatMul (s, inner)
      s_out = Tanh (p)
      y = MatMul (s_out, outer)
  }>
}"""
SCAN = """agraph (float[5,2,48] x, float[2,48] h) => (float[2,48] last, float[5,2,48] all) {
  last, all = Scan (h, x) <num_scan_inputs = 1, body = body (float[2,48] s, float[2,48] u)
    => (float[2,48] s_out, float[2,48] y) {
      p = MatMul (s, inner)
      q = MatMul (u, outer)
      r = Add (p, q)
      s_out = Tanh (r)
      y = Identity (s_out)
  }>
}"""
IF = """agraph (float[2,48] x, bool flag) => (float[2,48] y) {
  y = If (flag) <
    then_branch = yes () => (float[2,48] out) { p = MatMul (x, inner) out = Relu (p) },
    else_branch = no () => (float[2,48] out) { p = MatMul (x, outer) out = Tanh (p) }
  >
}"""
MODELS = {
    "Loop": (LOOP, lambda seed: {"x": normal(seed, 2, SIZE)}, 3),
    "Scan": (
        SCAN,
        lambda seed: {"x": normal(seed, 5, 2, SIZE), "h": normal(seed + 99, 2, SIZE)},
        2,
    ),
    "If": (IF, lambda seed: {"x": normal(seed, 2, SIZE), "flag": np.array(seed % 2 == 0)}, 2),
}


@pytest.fixture(params=MODELS)
def made(request, tmp_path):
    text, feed, products = MODELS[request.param]
    proto = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 18]>\n' + text)
    for seed, name in enumerate(("inner", "outer")):
        w = normal(seed, SIZE, SIZE) / np.float32(SIZE**0.5)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(w, name))
    path = tmp_path / "float.onnx"
    onnx.save(proto, path)
    return path, feed, products


@pytest.mark.parametrize("calibrated", [False, True])
def test_they_are_integers_here_and_elsewhere(made, tmp_path, calibrated):
    source, feed, products = made
    target = tmp_path / "int8.onnx"
    feeds = [feed(seed) for seed in range(8)] if calibrated else None
    report = pycompress.compress(source, target, feeds, never_slower=False)
    assert len(report.choices) == products
    assert {c.precision for c in report.choices} <= {"dynamic", "rows", "static"}
    assert target.stat().st_size < 0.6 * source.stat().st_size
    written = onnx.load(target)
    onnx.checker.check_model(written, full_check=True)
    kinds = {n.op_type for n in written.graph.node}
    session = pycompress.InferenceSession(target)
    assert session.fallbacks == []
    assert kinds & {"If", "Loop", "Scan"}
    reference, elsewhere = peer(onnx.load(source)), peer(written)
    for seed in (20, 21):
        wanted = reference(feed(seed))
        for found in (session.run(None, feed(seed)), elsewhere(feed(seed))):
            assert all(cosine(a, b) > 0.995 for a, b in zip(wanted, found, strict=True))


def test_a_node_of_a_body_can_be_left_out(made, tmp_path):
    source, _, products = made
    target = tmp_path / "int8.onnx"
    last = pycompress.compress(source, target).choices[-1]
    report = pycompress.compress(source, target, exclude=[last.key])
    assert len(report.choices) == products
    assert [c.key for c in report.choices if c.precision == "float"] == [last.key]


def test_4_bits_and_bfloat16(made, tmp_path):
    source, feed, _ = made
    reference = peer(onnx.load(source))
    for mode in ("int4", "bf16", "weights"):
        target = tmp_path / f"{mode}.onnx"
        pycompress.compress(source, target, mode=mode)
        found = pycompress.InferenceSession(target).run(None, feed(3))
        assert all(cosine(a, b) > 0.98 for a, b in zip(reference(feed(3)), found, strict=True))


def test_inspect_shows_them(made):
    source, _, products = made
    assert sum(node.format == "linear" for node in pycompress.inspect(source).nodes) == products
