"""LSTM, GRU and RNN of the native program against their ONNX definitions in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.program_harness import run

RNG = np.random.default_rng(3)


def f32(*shape):
    return (RNG.standard_normal(shape) * 0.7).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, h, c, w, r, b, options):
    n = h.shape[1]
    gates = x @ w.T + h @ r.T + b[: 4 * n] + b[4 * n :]
    if options.get("clip"):
        gates = np.clip(gates, -options["clip"], options["clip"])
    i, o, f, g = (gates[:, k * n : (k + 1) * n] for k in range(4))
    p = options.get("peepholes", np.zeros(3 * n))
    i, f = sigmoid(i + p[:n] * c), sigmoid(f + p[2 * n :] * c)
    f = 1 - i if options.get("input_forget") else f
    c = f * c + i * np.tanh(g)
    return sigmoid(o + p[n : 2 * n] * c) * np.tanh(c), c


def gru_step(x, h, c, w, r, b, options):
    n = h.shape[1]
    wz, wr, wh = w[:n], w[n : 2 * n], w[2 * n :]
    rz, rr, rh = r[:n], r[n : 2 * n], r[2 * n :]
    bz, br, bh, cz, cr, ch = (b[k * n : (k + 1) * n] for k in range(6))
    z = sigmoid(x @ wz.T + h @ rz.T + bz + cz)
    reset = sigmoid(x @ wr.T + h @ rr.T + br + cr)
    if options.get("linear_before_reset"):
        g = np.tanh(x @ wh.T + bh + reset * (h @ rh.T + ch))
    else:
        g = np.tanh(x @ wh.T + bh + (reset * h) @ rh.T + ch)
    return (1 - z) * g + z * h, c


def rnn_step(x, h, c, w, r, b, options):
    n = h.shape[1]
    return activation(options, np.tanh)(x @ w.T + h @ r.T + b[:n] + b[n:]), c


def activation(options, otherwise):
    """Return the function that RNN's attributes ask for, from the standard's table of equations."""
    a, b = options.get("activation_alpha", [None])[0], options.get("activation_beta", [None])[0]

    def given(value, default):
        return default if value is None else value

    return {
        None: otherwise,
        "Relu": lambda x: np.maximum(x, 0),
        "Sigmoid": sigmoid,
        "Softplus": lambda x: np.log1p(np.exp(x)),
        "Softsign": lambda x: x / (1 + np.abs(x)),
        "LeakyRelu": lambda x: np.where(x < 0, given(a, 0.01) * x, x),
        "Elu": lambda x: np.where(x < 0, given(a, 1.0) * (np.exp(x) - 1), x),
        "ThresholdedRelu": lambda x: np.where(x >= given(a, 1.0), x, 0),
        "Affine": lambda x: given(a, 1.0) * x + given(b, 0.0),
        "ScaledTanh": lambda x: given(a, 1.0) * np.tanh(given(b, 1.0) * x),
        "HardSigmoid": lambda x: np.clip(given(a, 0.2) * x + given(b, 0.5), 0, 1),
    }[options.get("activations", [None])[0]]


def definition(step, x, w, r, b, lengths, h0, c0, options):
    """Return Y [T, D, B, H], Y_h [D, B, H], Y_c in float64; x is [T, B, I]."""
    steps, batch, _ = x.shape
    directions, n = w.shape[0], r.shape[2]
    y = np.zeros((steps, directions, batch, n))
    last_h, last_c = np.array(h0, np.float64), np.array(c0, np.float64)
    for d in range(directions):
        backwards = options.get("direction") == "reverse" or d == 1
        for k in range(batch):
            h, c = last_h[d, k : k + 1], last_c[d, k : k + 1]
            order = range(lengths[k])
            for t in reversed(order) if backwards else order:
                h, c = step(x[t, k : k + 1].astype(np.float64), h, c, w[d], r[d], b[d], options)
                y[t, d, k] = h
            last_h[d, k], last_c[d, k] = h, c
    return y, last_h, last_c


CELLS = {"LSTM": (4, lstm_step, 2), "GRU": (3, gru_step, 1), "RNN": (1, rnn_step, 1)}
CASES = [
    {},
    {"direction": "reverse"},
    {"direction": "bidirectional"},
    {"layout": 1},
    {"direction": "bidirectional", "layout": 1},
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("extras", ["none", "states", "lengths"])
@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize(
    ("op", "own"),
    [
        ("LSTM", {}),
        ("LSTM", {"clip": 0.3}),
        ("LSTM", {"input_forget": 1}),
        ("GRU", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("RNN", {}),
    ],
)
def test_equals_definition(op, own, options, extras, threads):
    options = options | own
    gates, step, states = CELLS[op]
    directions = 2 if options.get("direction") == "bidirectional" else 1
    steps, batch, width, hidden = 6, 3, 5, 7
    x, w, r = (
        f32(steps, batch, width),
        f32(directions, gates * hidden, width),
        f32(directions, gates * hidden, hidden),
    )
    b = f32(directions, 2 * gates * hidden)
    zeros = np.zeros((directions, batch, hidden), np.float32)
    h0 = f32(*zeros.shape) if extras != "none" else zeros
    c0 = f32(*zeros.shape) if extras != "none" else zeros
    lengths = (
        np.array([6, 2, 0], np.int32) if extras == "lengths" else np.full(batch, steps, np.int32)
    )
    wanted = definition(step, x, w, r, b, lengths, h0, c0, options)[: 1 + states]
    batch_first = options.get("layout") == 1
    state = [np.ascontiguousarray(np.swapaxes(s, 0, 1)) if batch_first else s for s in (h0, c0)]
    inputs = [np.ascontiguousarray(np.swapaxes(x, 0, 1)) if batch_first else x, w, r, b]
    if extras != "none":
        inputs += [lengths if extras == "lengths" else None, *state[:states]]
    attrs = {"hidden_size": hidden, **options}
    if batch_first:
        wanted = [wanted[0].transpose(2, 0, 1, 3), *(np.swapaxes(s, 0, 1) for s in wanted[1:])]
    for constants in ((1, 2, 3), (1,)):  # the second: computed weights
        found = run(op, inputs, attrs, outputs=1 + states, constants=constants, threads=threads)
        for y, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parameters", [{}, {"activation_alpha": [0.3], "activation_beta": [0.7]}])
@pytest.mark.parametrize(
    "name",
    [
        *("Relu", "Sigmoid", "Softplus", "Softsign", "LeakyRelu", "Elu", "ThresholdedRelu"),
        *("Affine", "ScaledTanh", "HardSigmoid"),
    ],
)
def test_activations_of_the_standard(name, parameters):
    options = {"activations": [name], **parameters}
    x, w, r, b = f32(4, 2, 5), f32(1, 7, 5), f32(1, 7, 7), f32(1, 14)
    zeros = np.zeros((1, 2, 7), np.float32)
    wanted = definition(rnn_step, x, w, r, b, [4, 4], zeros, zeros, options)[:2]
    found = run("RNN", [x, w, r, b], {"hidden_size": 7, **options}, outputs=2, constants=(1, 2, 3))
    for y, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_parameters_go_to_the_functions_that_take_one():
    x, w, r = f32(3, 2, 5), f32(2, 7, 5), f32(2, 7, 7)
    b, zeros = np.zeros((2, 14), np.float32), np.zeros((2, 2, 7), np.float32)
    attrs = {
        "direction": "bidirectional",
        "activations": ["Tanh", "LeakyRelu"],
        "activation_alpha": [0.5],
    }
    (y,) = run("RNN", [x, w, r, b], attrs, constants=(1, 2, 3))
    one = {"activations": ["LeakyRelu"], "activation_alpha": [0.5]}
    backwards = definition(
        rnn_step, x, w[1:], r[1:], b, [3, 3], zeros, zeros, {"direction": "reverse", **one}
    )[0]
    np.testing.assert_allclose(y[:, 1:], backwards, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constants", [(1, 2, 3, 7), (1, 2, 3)])
@pytest.mark.parametrize("own", [{}, {"input_forget": 1}])
def test_peepholes(own, constants):
    x, w, r, b, p = f32(5, 3, 4), f32(1, 24, 4), f32(1, 24, 6), f32(1, 48), f32(1, 18)
    zeros = np.zeros((1, 3, 6), np.float32)
    wanted = definition(lstm_step, x, w, r, b, [5, 5, 5], zeros, zeros, {"peepholes": p[0], **own})
    found = run("LSTM", [x, w, r, b, None, None, None, p], own, outputs=3, constants=constants)
    for y, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_no_bias_and_no_steps():
    w, r = f32(1, 16, 3), f32(1, 16, 4)
    y, h, c = run(
        "LSTM",
        [np.zeros((0, 2, 3), np.float32), w, r],
        {"hidden_size": 4},
        outputs=3,
        constants=(1, 2),
    )
    assert y.shape == (0, 1, 2, 4)
    assert not h.any()
    assert not c.any()


@pytest.mark.parametrize(
    ("attrs", "inputs", "message"),
    [
        ({"hidden_size": 5}, 3, "hidden_size 5"),
        ({"direction": "sideways"}, 3, "sideways"),
        ({"activations": ["Cosh", "Tanh", "Tanh"]}, 3, "Cosh; possible are Sigmoid, Tanh"),
        ({"activations": ["Tanh"]}, 3, "1 names, wanted 3"),
        ({}, 8, r"input 7 \(P\) has shape \[1, 13\], wanted \[1, 12\]"),
    ],
)
@pytest.mark.parametrize("constants", [(1, 2, 3, 7), ()])
def test_what_is_not_possible_is_named(attrs, inputs, message, constants):
    given = [f32(2, 1, 3), f32(1, 16, 3), f32(1, 16, 4), f32(1, 32), None, None, None, f32(1, 13)]
    with pytest.raises(ValueError, match=message):
        run("LSTM", given[:inputs], attrs, outputs=3, constants=constants)


def test_lengths_out_of_range_are_named():
    inputs = [f32(2, 1, 3), f32(1, 16, 3), f32(1, 16, 4), None, np.array([3], np.int32)]
    with pytest.raises(ValueError, match="sequence_lens has 3, X has 2 steps"):
        run("LSTM", inputs, outputs=3, constants=(1, 2))


def by_rows(x):
    """Quantize each row to u8 by its own range, as DynamicQuantizeLinear does, and back."""
    low, high = np.minimum(x.min(-1, keepdims=True), 0), np.maximum(x.max(-1, keepdims=True), 0)
    scale = np.where(high > low, (high - low) / 255, 1.0)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("width", [5, 64])
@pytest.mark.parametrize("lengths", [[6, 6, 6], [6, 2, 0]])
@pytest.mark.parametrize(
    ("cell", "own"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
def test_int8_weights_meet_rows_quantized_by_their_range(cell, own, lengths, width, direction):
    gates, step, states = CELLS[cell]
    directions, steps, batch, hidden = 1 + (direction == "bidirectional"), 6, 3, 33
    rows = gates * hidden
    x = f32(steps, batch, width)
    w, r = (RNG.integers(-127, 128, (directions, rows, k)).astype(np.int8) for k in (width, hidden))
    w_scale, r_scale = (RNG.uniform(0.2, 1, rows).astype(np.float32) / 400 for _ in range(2))
    b = f32(directions, 2 * rows)
    zeros = np.zeros((directions, batch, hidden), np.float32)
    options = {"direction": direction, **own}

    def quantized(x, h, c, w, r, b, options):
        return step(by_rows(x), Rows(h), c, w, r, b, options)

    wanted = definition(
        quantized, x, w * w_scale[:, None].astype(np.float64), r * r_scale[:, None].astype(np.float64),
        b, lengths, zeros, zeros, options,
    )  # fmt: skip
    attrs = {"cell": cell, "hidden_size": hidden, "w_scale": w_scale, "r_scale": r_scale, **options}
    inputs = [x, w, r, b, np.array(lengths, np.int32)]
    found = run("recurrent", inputs, attrs, outputs=1 + states, constants=(1, 2, 3))
    for y, expected in zip(found, wanted, strict=False):
        np.testing.assert_allclose(y, expected, atol=5e-3)  # a tie may fall to the other side


class Rows(np.ndarray):
    """A state whose products see it quantized by rows."""

    def __new__(cls, values):
        return np.asarray(values).view(cls)

    def __matmul__(self, other):
        return by_rows(np.asarray(self)) @ np.asarray(other)


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"cell": "SRU"}, "'cell' must be LSTM, GRU or RNN, found 'SRU'"),
        ({"cell": "LSTM", "w_scale": [1.0] * 3, "r_scale": [1.0]}, "'w_scale' has 3 numbers"),
        ({"cell": "LSTM", "w_scale": [1.0]}, "attribute 'r_scale' has 0 numbers, wanted 16"),
    ],
)
def test_bad_scales_are_named(attrs, message):
    w, r = np.ones((1, 16, 3), np.int8), np.ones((1, 16, 4), np.int8)
    with pytest.raises(ValueError, match=message):
        run("recurrent", [f32(2, 1, 3), w, r], attrs, outputs=3, constants=(1, 2))
