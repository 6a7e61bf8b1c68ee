"""Plan files: the same answers as the session that wrote them; what is damaged is refused."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pycompress
from pycompress import _core
from pycompress.readers import ModelError
from pycompress.runtime import InferenceSession, PlanWarning
from tests.runtime.models import BOOL, FLOAT, INT64, Model

HEAD = struct.Struct("<8s5Q16x")


def convolutions():
    """Float: few channels, whole ones, groups, depthwise in rows and flat, transposed."""
    m = Model()
    x = m.input("x", ["n", 3, 11, 13])
    x = m.node("Relu", m.node("Conv", x, m.weights(20, 3, 3, 3), m.weights(20), pads=[1] * 4))
    x = m.node("Conv", x, m.weights(20, 1, 3, 3), group=20)
    x = m.node("Conv", x, m.weights(20, 1, 2, 2), group=20, strides=[2, 2])
    x = m.node("Conv", x, m.weights(12, 5, 3, 3), group=4, pads=[1] * 4)
    x = m.node("Conv", x, m.weights(16, 12, 1, 1))
    m.output(m.node("ConvTranspose", x, m.weights(16, 5, 2, 2), strides=[2, 2]))
    return m, {"x": m.rng.standard_normal((2, 3, 11, 13)).astype(np.float32)}


def quantized(dtype=np.uint8, weights=np.int8):
    """The same in integers, with zero points of both kinds, and a linear layer."""
    m = Model()
    zero = 120 if dtype is np.uint8 else -8
    x = m.quantized(m.input("x", ["n", 3, 12, 14]), 0.02, zero, dtype)
    for shape, attrs in (
        ((18, 3, 3, 3), {}),
        ((18, 1, 3, 3), {"group": 18}),
        ((12, 9, 3, 3), {"group": 2}),
        ((8, 12, 1, 1), {}),
    ):
        w, _ = m.integer_weights(*shape, dtype=weights)
        x = m.quantized(m.node("Conv", x, w, **attrs), 0.1, zero, dtype)
    w, _ = m.integer_weights(8, 5, axis=1, dtype=weights)
    m.output(m.node("MatMul", m.node("Flatten", m.node("GlobalAveragePool", x)), w))
    return m, {"x": m.rng.standard_normal((2, 3, 12, 14)).astype(np.float32)}


def sequence():
    """An embedding, an LSTM in both directions, a GRU, a product of two activations."""
    m = Model()
    ids = m.input("ids", ["t", 2], INT64)
    x = m.node("Gather", m.weights(9, 6, scale=1.0), ids)
    y = m.node(
        "LSTM", x, m.weights(2, 20, 6), m.weights(2, 20, 5), m.weights(2, 40),
        hidden_size=5, direction="bidirectional",
    )  # fmt: skip
    y = m.node("Reshape", m.node("Transpose", y, perm=[0, 2, 1, 3]), m.const(np.array([0, 0, 10])))
    y = m.node("GRU", y, m.weights(1, 12, 10), m.weights(1, 12, 4), hidden_size=4)
    y = m.node("Squeeze", y, m.const(np.array([1])))
    m.output(m.node("MatMul", y, m.node("Transpose", y, perm=[0, 2, 1])))
    return m, {"ids": m.rng.integers(0, 9, (4, 2))}


def branches():
    """An If on an input; an output that is constant; two readers of one weight."""
    import onnx
    from onnx import helper

    m = Model()
    x, flag = m.input("x", [2, 6]), m.input("flag", [], BOOL)
    w = m.weights(6, 6)
    h = m.node("MatMul", m.node("Tanh", m.node("MatMul", x, w)), w)

    def branch(op, name):
        node = helper.make_node(op, [h], [f"{name}_y"])
        y = helper.make_tensor_value_info(f"{name}_y", onnx.TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [y])

    m.output(m.node("If", flag, then_branch=branch("Relu", "a"), else_branch=branch("Neg", "b")))
    m.output(m.node("Shape", x), INT64)
    return m, {
        "x": m.rng.standard_normal((2, 6)).astype(np.float32),
        "flag": np.array(True),
    }


MODELS = {
    "convolutions": convolutions,
    "u8": quantized,
    "s8": lambda: quantized(np.int8),
    "u8 weights": lambda: quantized(np.uint8, np.uint8),
    "sequence": sequence,
    "branches": branches,
}


@pytest.fixture(params=MODELS)
def made(request, tmp_path):
    m, feeds = MODELS[request.param]()
    session = InferenceSession(m.proto(), num_threads=1)
    assert session.fallbacks == []
    path = tmp_path / "model.plan"
    assert session.save(path) == path.stat().st_size
    return session, path, feeds


def assert_same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("isa")
def test_a_plan_answers_as_the_session_did(made):
    session, path, feeds = made
    opened = InferenceSession(path, num_threads=2)
    assert opened.get_inputs() == session.get_inputs()
    assert opened.get_outputs() == session.get_outputs()
    assert_same(opened.run(None, feeds), session.run(None, feeds))


def test_both_branches_are_kept(tmp_path):
    m, feeds = branches()
    session = InferenceSession(m.proto())
    session.save(tmp_path / "p")
    opened = InferenceSession(tmp_path / "p")
    for flag in (True, False):
        feeds["flag"] = np.array(flag)
        assert_same(opened.run(None, feeds), session.run(None, feeds))


def test_a_plan_saved_again_is_the_same_file(made, tmp_path):
    _, path, _ = made
    InferenceSession(path).save(tmp_path / "again.plan")
    assert (tmp_path / "again.plan").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("model", MODELS)
def test_another_instruction_set_packs_the_weights_anew(isa, model, tmp_path):
    m, feeds = MODELS[model]()
    InferenceSession(m.proto()).save(tmp_path / "p")
    for other in pycompress.available_isas():
        pycompress.use_isa(other)
        wanted = InferenceSession(m.proto()).run(None, feeds)
        if other == isa:
            assert_same(InferenceSession(tmp_path / "p").run(None, feeds), wanted)
            continue
        with pytest.warns(PlanWarning, match=f"made for {isa} and runs on {other}"):
            opened = InferenceSession(tmp_path / "p")
        assert_same(opened.run(None, feeds), wanted)


def test_opening_one_needs_no_onnx(made):
    _, path, _ = made
    code = (
        "import sys, pycompress; pycompress.InferenceSession(sys.argv[1]);"
        "heavy = {'onnx', 'google.protobuf', 'ml_dtypes', 'rich'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(pycompress.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, check=True, cwd=path.parent, env=environment)


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="counts pages as Linux shows them"
)
def test_weights_stay_in_the_file(tmp_path):
    m = Model()
    m.output(m.node("MatMul", m.input("x", [1, 1024]), m.weights(1024, 4096)))
    InferenceSession(m.proto()).save(tmp_path / "p")
    opened = InferenceSession(tmp_path / "p")
    opened.run(None, {"x": np.ones((1, 1024), np.float32)})
    lines = Path("/proc/self/smaps").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.endswith(str(tmp_path / "p")))
    pages = {row.split(":")[0]: int(row.split()[1]) for row in lines[first + 1 : first + 20]}
    assert pages["Rss"] > 16 * 1024  # kB: the weights were read here,
    assert pages["Anonymous"] == 0  # and none of them is this process's own


# -- refusals


@pytest.fixture
def plan(tmp_path):
    m, _ = quantized()
    InferenceSession(m.proto()).save(tmp_path / "p")
    return tmp_path / "p"


@pytest.mark.parametrize("keep", [8, 63, 64, 500, -257, -1])
def test_a_truncated_plan_is_refused(plan, keep):
    plan.write_bytes(plan.read_bytes()[:keep])
    with pytest.raises(ModelError, match="truncated"):
        InferenceSession(plan)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.7, 0.999])
def test_a_changed_byte_is_found(plan, share):
    data = bytearray(plan.read_bytes())
    data[HEAD.size + int(share * (len(data) - HEAD.size))] ^= 0x40
    plan.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        InferenceSession(plan)


@pytest.mark.parametrize("field", [16, 24])
def test_a_changed_head_is_found(plan, field):
    """Where the description ends, and where the data start."""
    data = bytearray(plan.read_bytes())
    data[field] ^= 0x40
    plan.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged|malformed"):
        InferenceSession(plan)


def test_another_format_is_refused(plan):
    data = bytearray(plan.read_bytes())
    data[8] += 1
    plan.write_bytes(data)
    with pytest.raises(ModelError, match="has format 3, this version of pycompress reads 2"):
        InferenceSession(plan)


def rewrite(path, change):
    """Change the description of a plan, and let the head fit it."""
    data = path.read_bytes()
    magic, version, length, start, _, _ = HEAD.unpack(data[: HEAD.size])
    whole = json.loads(data[HEAD.size : HEAD.size + length])
    change(whole)
    described = json.dumps(whole).encode()
    described += b" " * (-(HEAD.size + len(described)) % 64)
    rest = described + data[start:]
    checksum = _core.checksum(np.frombuffer(rest, np.uint8))
    start = HEAD.size + len(described)
    head = HEAD.pack(magic, version, len(described), start, HEAD.size + len(rest), checksum)
    path.write_bytes(head + rest)


def calls(whole, kind):
    return [c for c in whole["executable"]["steps"][0]["calls"] if c[0] == kind]


def first_weights(whole):
    return next(c[6] for c in calls(whole, "add") if c[6])


def no_weights(whole):
    next(c for c in calls(whole, "add") if c[6])[6] = []


def one_part_more(whole):
    parts = next(c[6] for c in calls(whole, "add") if c[1] == "linear")
    parts.append(parts[0])


def wrong_depth(whole):
    next(c[6] for c in calls(whole, "add") if c[1] == "linear")[0][0][2] += 1


def huge_depth(whole):
    next(c[6] for c in calls(whole, "add") if c[1] == "linear")[0][0][2] = 2**40


def far_away(whole):
    first_weights(whole)[-1][1][0][0] = 2**50


def between_elements(whole):
    reference = next(c[1] for c in calls(whole, "constant") if c[1][1] != "int8")
    reference[0] += 1


def endless(whole):
    calls(whole, "constant")[0][1][2] = [2**31, 2**31, 2**31]


def a_part_less(whole):
    calls(whole, "add")[0].pop()


def a_word_for_a_number(whole):
    calls(whole, "add")[0][4] = "one"


def another_call(whole):
    calls(whole, "input")[0][0] = "output"


def a_type_of_its_own(whole):
    calls(whole, "input")[0][2] = "float8"


def a_cycle(whole):
    next(c for c in calls(whole, "add") if c[1] == "conv")[3][0] = 10**6


def unread_values(whole):
    calls(whole, "constant")[0][:] = ["hollow_constant", "float32", [5]]


def unknown_operator(whole):
    calls(whole, "add")[0][1] = "explode"


def no_inputs(whole):
    whole["executable"]["inputs"] = []


def strange_key(whole):
    whole["executable"]["outputs"] = [[1]]


def two_descriptions(whole):
    whole["about"]["inputs"] *= 2


def no_content(whole):
    """Return what others have packed, of which there is but the shape."""
    step = whole["executable"]["steps"][0]
    step["returned"][0] = step["calls"].index(calls(whole, "hollow_constant")[0])


def no_row(whole):
    whole["about"]["inputs"][0] = []


def no_shape(whole):
    whole["about"]["outputs"][0][1] = 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_content, "constant without content"),
        (no_row, "malformed"),
        (no_shape, "has no shape, but 3"),
        (no_weights, "fewer weights are stored|not those of this convolution"),
        (one_part_more, "more weights are stored"),
        (wrong_depth, "stored weights"),
        (huge_depth, "impossible size"),
        (far_away, "does not lie in the file"),
        (between_elements, "does not lie in the file"),
        (endless, "does not lie in the file"),
        (a_part_less, "a call has 6 parts, wanted 7"),
        (a_word_for_a_number, "has a part of another type"),
        (another_call, "there is no call 'output'"),
        (a_type_of_its_own, "no dtype float8"),
        (a_cycle, "is not a value"),
        (unread_values, "without values|malformed"),
        (unknown_operator, "unknown operator explode"),
        (no_inputs, "read before it is there"),
        (strange_key, "malformed"),
        (two_descriptions, "describes 2 inputs"),
        (dict.clear, "executable"),
    ],
)
def test_a_hostile_description_is_refused(plan, change, said):
    rewrite(plan, change)
    with pytest.raises(ModelError, match=said):
        InferenceSession(plan)


def test_what_runs_in_the_reference_cannot_be_saved(tmp_path):
    m = Model()
    m.output(m.node("Det", m.input("x", [4, 4])))
    with pytest.warns(UserWarning, match="Det"):
        session = InferenceSession(m.proto())
    (tmp_path / "p").write_text("kept")
    with pytest.raises(ValueError, match=r"no native kernel"):
        session.save(tmp_path / "p")
    assert (tmp_path / "p").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_plan_has_no_further_outputs(plan):
    with pytest.raises(ValueError, match="is a plan"):
        InferenceSession(plan, outputs=["x"])


def test_types_of_the_interface_come_back(tmp_path):
    m = Model()
    m.output(m.node("Relu", m.input("x", ["n", None, 2], FLOAT)))
    session = InferenceSession(m.proto())
    session.save(tmp_path / "p")
    assert InferenceSession(tmp_path / "p").get_inputs()[0] == session.get_inputs()[0]
