"""NumPy definitions that the quantize and pointwise kernels are held against."""

import math

import numpy as np

LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}


def along(parameter, x, axis):
    """Shape a parameter so that it broadcasts along `axis` of `x`."""
    parameter = np.asarray(parameter)
    if axis is None or parameter.ndim == 0:
        return parameter
    return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def quantize(x, scale, zero_point=0, axis=None, dtype="int8"):
    """ONNX QuantizeLinear: the quotient is a float32; NaN is the low end."""
    lo, hi = LIMITS[dtype]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        v = np.rint(x / along(np.float32(scale), x, axis)).astype(np.float64)
        v += along(zero_point, x, axis)
        return np.clip(np.where(np.isnan(v), lo, v), lo, hi).astype(dtype)


def dequantize(q, scale, zero_point=0, axis=None):
    """ONNX DequantizeLinear."""
    shifted = q.astype(np.int64) - along(zero_point, q, axis)
    return shifted.astype(np.float32) * along(np.float32(scale), q, axis)


def add_q8(a, b, a_scale, b_scale, a_zero, b_zero, y_zero, lo, hi):
    """Quantized sum, every step rounded to float32."""
    left = (a.astype(np.int32) - a_zero).astype(np.float32) * np.float32(a_scale)
    right = (b.astype(np.int32) - b_zero).astype(np.float32) * np.float32(b_scale)
    v = np.rint(np.clip(left + right, np.float32(lo), np.float32(hi))).astype(np.float64) + y_zero
    return np.clip(v, *LIMITS[a.dtype.name]).astype(a.dtype)


def _sigmoid(x, _alpha, _beta):
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


def _tail(t):
    return 0.5 * np.vectorize(math.erfc, otypes=[float])(t / math.sqrt(2))


UNARY = {
    "identity": lambda x, _a, _b: x,
    "abs": lambda x, _a, _b: np.abs(x),
    "neg": lambda x, _a, _b: -x,
    "relu": lambda x, _a, _b: np.maximum(x, 0),
    "leaky_relu": lambda x, a, _b: np.where(x < 0, a * x, x),
    "clip": np.clip,
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "hard_swish": lambda x, _a, _b: x * np.clip(x / 6 + 0.5, 0, 1),
    "silu": lambda x, a, b: x * _sigmoid(x, a, b),
    "tanh": lambda x, _a, _b: np.tanh(x),
    "gelu": lambda x, _a, _b: x * _tail(-x),
    "gelu_tanh": lambda x, a, b: (
        x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3), a, b)
    ),
    "erf": lambda x, _a, _b: np.vectorize(math.erf, otypes=[float])(x),
    "exp": lambda x, _a, _b: np.exp(x),
    "log": lambda x, _a, _b: np.log(x),
    "sqrt": lambda x, _a, _b: np.sqrt(x),
    "reciprocal": lambda x, _a, _b: 1 / x,
    "square": lambda x, _a, _b: x * x,
    "floor": lambda x, _a, _b: np.floor(x),
    "ceil": lambda x, _a, _b: np.ceil(x),
    "round": lambda x, _a, _b: np.rint(x),
    "sign": lambda x, _a, _b: np.sign(x),
    "softplus": lambda x, _a, _b: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "elu": lambda x, a, _b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "sin": lambda x, _a, _b: np.sin(x),
    "cos": lambda x, _a, _b: np.cos(x),
}

BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
}

REDUCE = {
    "sum": lambda x: x.sum(),
    "max": lambda x: x.max(initial=-np.inf),
    "min": lambda x: x.min(initial=np.inf),
    "sum_square": lambda x: (x * x).sum(),
    "sum_abs": lambda x: np.abs(x).sum(),
}


def unary(op, x, alpha=0.0, beta=0.0):
    """A float function, in float64."""
    alpha, beta = float(np.float32(alpha)), float(np.float32(beta))
    with np.errstate(all="ignore"):
        return UNARY[op](x.astype(np.float64), alpha, beta)


def softmax(x):
    """Softmax of the last axis, in float64."""
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x, gamma, beta, eps):
    """Layer normalisation of the last axis, in float64."""
    x = x.astype(np.float64)
    y = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    return y * (1 if gamma is None else gamma) + (0 if beta is None else beta)
