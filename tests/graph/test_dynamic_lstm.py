"""onnxruntime's DynamicQuantizeLSTM is an LSTM with integer weights."""

import numpy as np
import pytest

from pycompress.graph import export, simplify, to_formats
from pycompress.readers import read
from pycompress.runtime import InferenceSession
from tests.graph.models import Model, assert_same, ops, reason, run
from tests.graph.test_quantized import MS, integers, scales


def dynamic_lstm(directions, scale_shape, dtype):
    """DynamicQuantizeLSTM with an initial state, and the LSTM of the weights that it stands for."""
    m, hidden, inputs = Model(domains=[MS]), 6, 5
    x, state = m.input("x", [4, 2, inputs]), [directions, 2, hidden]
    h, c = m.input("h", state), m.input("c", state)
    w, r = (integers(m, directions, k, 4 * hidden, dtype=dtype) for k in (inputs, hidden))
    shape = (directions, 4 * hidden) if scale_shape == "gates" else (directions,)
    parts = [scales(m, shape), integers(m, *shape, dtype=dtype) % 7]
    parts += [scales(m, shape), integers(m, *shape, dtype=dtype) % 5]
    b = m.random(directions, 8 * hidden)
    direction = "bidirectional" if directions == 2 else "reverse"
    ends = m.node(
        "DynamicQuantizeLSTM",
        *(x, m.const(w), m.const(r), m.const(b), "", h, c, ""),
        *map(m.const, parts),
        outputs=3,
        domain=MS,
        hidden_size=hidden,
        direction=direction,
    )
    m.output(*ends)
    plain = Model()
    plain.inputs = m.inputs
    real = [
        ((data - zero.reshape(directions, 1, -1).astype(int)) * scale.reshape(directions, 1, -1))
        .astype(np.float32)
        .transpose(0, 2, 1)
        for data, scale, zero in ((w, *parts[:2]), (r, *parts[2:]))
    ]
    same = plain.node(
        "LSTM",
        *("x", *map(plain.const, real), plain.const(b), "", "h", "c"),
        outputs=3,
        hidden_size=hidden,
        direction=direction,
    )
    plain.output(*same)
    return m, plain


@pytest.mark.parametrize("scale_shape", ["directions", "gates"])
@pytest.mark.parametrize(("directions", "dtype"), [(1, np.int8), (2, np.int8), (2, np.uint8)])
def test_dynamic_quantize_lstm(directions, scale_shape, dtype):
    m, plain = dynamic_lstm(directions, scale_shape, dtype)
    graph = to_formats(simplify(read(m.proto()))).graph
    assert ops(graph).count("recurrent") == directions
    assert all(n.attrs["dynamic"] for n in graph.nodes if n.is_preset())
    # What is written runs in float elsewhere: its weights are those integers.
    wanted = run(plain.proto(), m.feeds)
    assert_same(run(export(graph), m.feeds), wanted, atol=1e-5)
    session = InferenceSession(m.proto())
    assert session.fallbacks == []
    assert_same(session.run(None, m.feeds), wanted, rtol=0, atol=0.03)


def test_dynamic_quantize_lstm_with_peepholes_stays():
    m, _ = dynamic_lstm(1, "directions", np.int8)
    m.nodes[0].input[7] = m.const(m.random(1, 18))
    assert reason(to_formats(read(m.proto())), "DynamicQuantizeLSTM") == "it has peepholes"
