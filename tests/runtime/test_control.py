"""Loop, Scan and what carries sequences: native, and as onnxruntime answers."""

import numpy as np
import onnx.parser
import pytest

from pycompress import _core
from pycompress.runtime import FallbackWarning, InferenceSession
from pycompress.runtime.steps import Executable

from .models import assert_close, reference

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'


def model(text):
    return onnx.parser.parse_model(HEAD + text)


def f32(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


WEIGHTS = "{" + ", ".join(f"{x:.3f}" for x in f32(16, seed=3)) + "}"

LOOPS = {
    "counts, passes on and collects": (
        f"""agraph (float[2,4] x, int64 n) => (float[2,4] last, float[t,2,4] all)
        <float[4,4] w = {WEIGHTS}> {{
          go = Constant <value = bool {{1}}> ()
          last, all = Loop (n, go, x) <body = body (int64 i, bool go_in, float[2,4] h)
            => (bool go_out, float[2,4] h_out, float[2,4] y) {{
              go_out = Identity (go_in)
              p = MatMul (h, w)
              h_out = Tanh (p)
              y = Add (h_out, x)
          }}>
        }}""",
        {"x": f32(2, 4), "n": np.array(5)},
    ),
    "no iteration": (
        """agraph (float[2,4] x, int64 n) => (float[2,4] last, float[t,2,4] all) {
          go = Constant <value = bool {1}> ()
          last, all = Loop (n, go, x) <body = body (int64 i, bool go_in, float[2,4] h)
            => (bool go_out, float[2,4] h_out, float[2,4] y) {
              go_out = Identity (go_in)
              h_out = Tanh (h)
              y = Relu (h)
          }>
        }""",
        {"x": f32(2, 4), "n": np.array(0)},
    ),
    "ends when the body says so": (
        """agraph (float[2] x, float most) => (float[2] last, int64[t] numbers) {
          last, numbers = Loop ("", "", x) <body = body (int64 i, bool go_in, float[2] h)
            => (bool go_out, float[2] h_out, int64 number) {
              h_out = Add (h, h)
              sum = ReduceSum <keepdims = 0> (h_out)
              go_out = Less (sum, most)
              number = Identity (i)
          }>
        }""",
        {"x": np.array([0.5, 0.25], np.float32), "most": np.array(100, np.float32)},
    ),
    "grows": (
        """agraph (float[1,3] x, int64 n) => (float[m,3] rows) {
          go = Constant <value = bool {1}> ()
          rows = Loop (n, go, x) <body = body (int64 i, bool go_in, float[r,3] h)
            => (bool go_out, float[s,3] h_out) {
              go_out = Identity (go_in)
              half = Constant <value = float {0.5}> ()
              twice = Mul (h, half)
              h_out = Concat <axis = 0> (twice, x)
          }>
        }""",
        {"x": f32(1, 3), "n": np.array(12)},
    ),
    "the number decides shapes": (
        """agraph (float[6,3] x, int64 n) => (float[3] last) {
          go = Constant <value = bool {1}> ()
          zero = Constant <value = float[3] {0.0, 0.0, 0.0}> ()
          axes = Constant <value = int64[1] {0}> ()
          last = Loop (n, go, zero) <body = body (int64 i, bool go_in, float[3] h)
            => (bool go_out, float[3] h_out) {
              go_out = Identity (go_in)
              one = Constant <value = int64[1] {1}> ()
              start = Unsqueeze (i, axes)
              end = Add (start, one)
              part = Slice (x, start, end, axes)
              row = Squeeze (part, axes)
              h_out = Add (h, row)
          }>
        }""",
        {"x": f32(6, 3), "n": np.array(4)},
    ),
    "one in another, and an If": (
        """agraph (float[3] x, int64 n) => (float[3] last, float[a,b,3] all) {
          go = Constant <value = bool {1}> ()
          last, all = Loop (n, go, x) <body = outer (int64 i, bool go_in, float[3] h)
            => (bool go_out, float[3] h_out, float[t,3] parts) {
              go_out = Identity (go_in)
              two = Constant <value = int64 {2}> ()
              h_out, parts = Loop (two, go_in, h) <body = inner (int64 j, bool in, float[3] g)
                => (bool out, float[3] g_out, float[3] part) {
                  out = Identity (in)
                  odd = Equal (i, j)
                  part = If (odd) <then_branch = yes () => (float[3] a) { a = Add (g, x) },
                                   else_branch = no () => (float[3] b) { b = Neg (g) }>
                  g_out = Mul (part, x)
              }>
          }>
        }""",
        {"x": f32(3), "n": np.array(3)},
    ),
    "a sequence": (
        """agraph (float[2,3] x, int64 n) => (float[m,3] joined, int64 count, float[2,3] second) {
          go = Constant <value = bool {1}> ()
          none = SequenceEmpty ()
          all, h = Loop (n, go, none, x) <body = body (int64 i, bool go_in, seq(float) s, float[2,3] h)
            => (bool go_out, seq(float) s_out, float[2,3] h_out) {
              go_out = Identity (go_in)
              h_out = Sin (h)
              s_out = SequenceInsert (s, h_out)
          }>
          joined = ConcatFromSequence <axis = 0> (all)
          count = SequenceLength (all)
          at = Constant <value = int64 {1}> ()
          second = SequenceAt (all, at)
        }""",
        {"x": f32(2, 3), "n": np.array(3)},
    ),
}

BODY = """body (float[2] h, float[a] u, float[2] v) => (float[2] h_out, float[2] y, float[a] z) {
              s = ReduceSum <keepdims = 0> (u)
              m = Mul (h, v)
              h_out = Add (m, s)
              y = Tanh (h_out)
              z = Neg (u)
          }"""


def scan(count, u_shape, v_shape, **attrs):
    listed = "".join(f", {key} = {value}" for key, value in attrs.items())
    return f"""agraph (float[2] x, float[{u_shape}] u, float[{v_shape}] v)
        => (float[2] last, float[p,q] ys, float[r,s] zs) {{
          last, ys, zs = Scan (x, u, v) <num_scan_inputs = {count}{listed}, body = {BODY}>
        }}"""


SCANS = {
    "scan": (scan(2, "5,3", "5,2"), {"x": f32(2), "u": f32(5, 3), "v": f32(5, 2)}),
    "scan backwards and across": (
        scan(
            2, "3,5", "5,2",
            scan_input_axes="[1, 0]", scan_input_directions="[0, 1]",
            scan_output_axes="[1, -1]", scan_output_directions="[1, 0]",
        ),
        {"x": f32(2), "u": f32(3, 5), "v": f32(5, 2)},
    ),
}  # fmt: skip
CASES = {**LOOPS, **SCANS}


@pytest.mark.parametrize("name", CASES)
def test_answers_as_onnxruntime_here_and_from_a_plan(name, tmp_path):
    text, feeds = CASES[name]
    proto = model(text)
    session = InferenceSession(proto)
    assert session.fallbacks == []
    wanted = reference(proto, feeds)
    assert_close(session.run(None, feeds), wanted)
    session.save(tmp_path / "p")
    found = InferenceSession(tmp_path / "p").run(None, feeds)
    assert_close(found, wanted)
    assert [y.dtype for y in found] == [y.dtype for y in wanted]
    assert {row.op for row in session.profile(feeds, repeats=1)} or name == "no iteration"


def test_a_product_in_a_body_is_packed():
    text, feeds = LOOPS["counts, passes on and collects"]
    rows = {row.op for row in InferenceSession(model(text)).profile(feeds, repeats=1)}
    assert "linear" in rows


def test_what_comes_in_is_not_handed_out():
    text, feeds = LOOPS["no iteration"]
    last, _ = InferenceSession(model(text)).run(None, feeds)
    assert not np.shares_memory(last, feeds["x"])


def test_slices_that_do_not_agree_are_named():
    text, feeds = SCANS["scan"]
    session = InferenceSession(model(text.replace("float[5,3] u", "float[k,3] u")))
    with pytest.raises(ValueError, match=r"\(Scan\): its inputs have 4, 5 slices"):
        session.run(None, feeds | {"u": f32(4, 3)})


@pytest.mark.parametrize("name", [*LOOPS, *SCANS])
def test_rounds_of_a_program_are_those_of_a_step(name, monkeypatch):
    text, feeds = {**LOOPS, **SCANS}[name]
    session = InferenceSession(model(text))
    found = session.run(None, feeds)
    monkeypatch.setattr(Executable, "program", lambda _: None)
    for a, b in zip(found, session.run(None, feeds), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_rounds_whose_shapes_change():
    text = """agraph (float[k] x, int64 n) => (float[a] last, int64[b] all) {
      go = Constant <value = bool {1}> ()
      last, all = Loop (n, go, x) <body = body (int64 i, bool go_in, float[r] h)
        => (bool go_out, float[s] h_out, int64 y) {
          go_out = Identity (go_in)
          h_out = Concat <axis = 0> (x, h)
          y = Mul (i, i)
      }>
    }"""
    x = f32(3)
    last, all_ = InferenceSession(model(text)).run(None, {"x": x, "n": np.array(9)})
    np.testing.assert_array_equal(last, np.tile(x, 10))
    np.testing.assert_array_equal(all_, np.arange(9) ** 2)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"taken": [0]}, "its body takes 1 values, its program 2"),
        ({"taken": [0, 3]}, "3 is no place in what its body takes"),
        ({"given": [1]}, "does not fit its program"),
        ({"given": []}, "does not fit its program"),
        ({"states": [np.zeros(2)]}, "must be float32, found float64"),
        ({"most": 4}, r"4 rounds, and slices of shape \[3, 2\]"),
        ({"sliced": [np.zeros((), np.float32)]}, "a scalar has no slices"),
    ],
)
def test_rounds_refuse_what_does_not_fit(changed, said):
    p = _core.Program(1)
    state, one = p.input("state", "float32"), p.input("slice", "float32")
    p.finish(p.add("Add", "add", [state, one], 1, {}))
    arguments = {
        "title": "sum", "taken": [0, 1], "given": [0], "counts": False, "most": 3,
        "states": [np.zeros(2, np.float32)], "sliced": [np.ones((3, 2), np.float32)],
        "captured": [],
    }  # fmt: skip
    (last,), stacked = p.run_rounds(**arguments)
    np.testing.assert_array_equal(last, [3, 3])
    assert stacked == []
    with pytest.raises(ValueError, match=said):
        p.run_rounds(**(arguments | changed))


def test_what_is_collected_must_agree():
    text = """agraph (float[k] x, int64 n) => (float[a,b] all) {
      go = Constant <value = bool {1}> ()
      last, all = Loop (n, go, x) <body = body (int64 i, bool go_in, float[r] h)
        => (bool go_out, float[s] h_out, float[t] y) {
          go_out = Identity (go_in)
          h_out = Concat <axis = 0> (h, x)
          y = Neg (h)
      }>
    }"""
    session = InferenceSession(model(text))
    feeds = {"x": f32(2), "n": np.array(1)}
    assert_close(session.run(None, feeds), [-feeds["x"][None]])
    with pytest.raises(ValueError, match=r"\(Loop\): what it collects has shapes \[2\], \[4\]"):
        session.run(None, feeds | {"n": np.array(2)})


def test_a_node_of_a_body_that_has_no_kernel_is_named():
    text = """agraph (float[2,2] x, int64 n) => (float[2,2] last) {
      go = Constant <value = bool {1}> ()
      last = Loop (n, go, x) <body = body (int64 i, bool go_in, float[2,2] h)
        => (bool go_out, float[2,2] h_out) {
          go_out = Identity (go_in)
          d = Det (h)
          h_out = Add (h, d)
      }>
    }"""
    feeds = {"x": f32(2, 2), "n": np.array(3)}
    with pytest.warns(FallbackWarning, match="operator 'Det'"):
        session = InferenceSession(model(text))
    assert session.fallbacks == ["Det"]
    assert_close(session.run(None, feeds), reference(model(text), feeds))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("y = SequenceAt (s, nine)", r"\(SequenceAt\): position 9 of a sequence of 2"),
        ("t = SequenceErase (s, nine) y = SequenceAt (t, zero)", "position 9"),
        ("t = SequenceInsert (s, x, nine) y = SequenceAt (t, zero)", "position 9"),
        ("t = SplitToSequence <axis = 4> (x) y = SequenceAt (t, zero)", "axis 4 of an input"),
        ("t = SplitToSequence (x, nine) y = SequenceAt (t, one)", "position 1 of a sequence of 1"),
        ("t = SplitToSequence (x, odd) y = SequenceAt (t, zero)", "do not make up an axis of 2"),
    ],
)
def test_a_place_out_of_a_sequence_is_named(nodes, message):
    text = f"""agraph (float[2,3] x, int64 nine) => (float y) {{
      zero = Constant <value = int64 {{0}}> ()
      one = Constant <value = int64 {{1}}> ()
      odd = Constant <value = int64[2] {{1, 2}}> ()
      s = SequenceConstruct (x, x)
      {nodes}
    }}"""
    session = InferenceSession(model(text))
    with pytest.raises(ValueError, match=message):
        session.run(None, {"x": f32(2, 3), "nine": np.array(9)})
