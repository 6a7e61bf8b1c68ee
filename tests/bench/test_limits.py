"""The loops that measure ceilings: what they say they do is what they do."""

import numpy as np
import pytest

import pycompress as pc
from pycompress.kernels import limits


@pytest.fixture
def threads():
    before = pc.get_num_threads()
    yield pc.set_num_threads
    pc.set_num_threads(before)


def test_every_set_but_the_portable_one_has_a_peak_of_integers_and_one_of_floats():
    have = {(loop.isa, loop.type) for loop in limits.peak_loops()}
    named = [name for name in pc.available_isas() if name != "scalar"]
    assert have >= {(name, kind) for name in named for kind in ("int8", "float32")}


def test_every_set_has_loops_over_memory():
    have = limits.traffic_loops()
    assert (pc.available_isas()[0], "read") in have
    assert {kind for isa, kind in have if isa == "scalar"} == {"read", "write", "narrow"}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("loop", limits.peak_loops(), ids=lambda p: f"{p.isa}-{p.type}")
def test_a_peak_takes_as_long_as_its_passes(threads, loop, count):
    threads(count)
    rates = limits.peak_rates(loop, 2000, 3)
    assert len(rates) == 3
    # No CPU makes 100 vectors of products in a cycle of 0.1 ns: a loop that was optimized away does.
    assert 0 < min(rates) <= max(rates) < count * loop.operations * 1e12 / 100


@pytest.mark.parametrize(("isa", "kind"), limits.traffic_loops())
def test_a_sweep_moves_what_it_says(threads, isa, kind):
    threads(1)
    rates = limits.traffic_rates(isa, kind, 4 * limits.TRAFFIC_STEP, 50, 4)
    assert len(rates) == 4
    assert all(np.isfinite(rates))
    assert 0 < min(rates) <= max(rates) < 1e14


def test_what_is_not_there_is_named():
    with pytest.raises(ValueError, match="instruction set 'mmx' is not available"):
        limits.traffic_rates("mmx", "read", 1024, 1, 1)
    with pytest.raises(ValueError, match="no traffic loop 'narrow_past_cache'"):
        limits.traffic_rates("scalar", "narrow_past_cache", 1024, 1, 1)
    with pytest.raises(ValueError, match="scalar has no peak loop for 'int8'"):
        limits.peak_rates(limits.PeakLoop("scalar", "int8", "", 1), 1, 1)


@pytest.mark.parametrize("size", [0, -1024, 1000])
def test_a_size_that_is_no_multiple_is_refused(size):
    with pytest.raises(ValueError, match=f"multiple of 1024, found {size}"):
        limits.traffic_rates("scalar", "read", size, 1, 1)
