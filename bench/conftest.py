"""What every suite may count on: settings that one bench changed are undone after it."""

import os

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of NumPy, which reads it as it is imported

import pycompress


@pytest.fixture(autouse=True)
def settings():
    before = pycompress.isa(), pycompress.get_num_threads()
    yield
    pycompress.use_isa(before[0])
    pycompress.set_num_threads(before[1])
