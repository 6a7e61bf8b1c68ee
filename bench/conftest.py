"""Fixtures of the suites: one thread, every instruction set, onnxruntime as the peer."""

import numpy as np
import pytest

import pycompress


@pytest.fixture(autouse=True)
def one_thread():
    before = pycompress.get_num_threads()
    pycompress.set_num_threads(1)
    yield
    pycompress.set_num_threads(before)


@pytest.fixture(params=pycompress.available_isas())
def isa(request):
    before = pycompress.isa()
    pycompress.use_isa(request.param)
    yield request.param
    pycompress.use_isa(before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def peer():
    """A function that makes a callable of a model's bytes and its feed, run by onnxruntime."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def session(model, feed):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda: made.run(None, feed)[0]

    return session
