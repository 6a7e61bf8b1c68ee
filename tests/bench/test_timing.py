"""Samples in turns, ceilings and what they bound; with made-up clocks and figures."""

import pytest

from pycompress.bench import timing
from pycompress.bench.cases import Case
from pycompress.bench.ceilings import MEMORY, Bandwidth, Ceilings, Peak, levels
from pycompress.bench.timing import Times, Turn, in_turns


class Clock:
    """Time that passes only while something is called."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def takes(self, seconds):
        def call():
            self.now += seconds

        return call


def test_calls_take_turns_and_each_has_its_own_time(monkeypatch):
    clock = Clock(monkeypatch)
    order = []
    turns = [
        Turn(lambda: order.append("a"), clock.takes(1e-4)),
        Turn(lambda: order.append("b"), clock.takes(5e-3)),
    ]
    rounds = []
    a, b = in_turns(turns, 0.1, lambda: rounds.append(1))
    assert a == pytest.approx([1e-4] * len(rounds))
    assert b == pytest.approx([5e-3] * len(rounds))
    assert len(rounds) >= timing.FEWEST
    assert order[2:6] == ["a", "b", "a", "b"]


def test_the_fewest_samples_are_taken_however_long_they_last(monkeypatch):
    clock = Clock(monkeypatch)
    (samples,) = in_turns([Turn(lambda: None, clock.takes(3.0))], 0.0, lambda: None)
    assert len(samples) == timing.FEWEST


def test_times_are_summed_up_by_quartiles():
    times = Times.of([5.0, 1.0, 2.0, 3.0, 4.0])
    assert times == Times(3.0, 2.0, 4.0, 1.0, 5)
    assert times.spread == pytest.approx(1 / 3)
    assert Times.of([2.0]) == Times(2.0, 2.0, 2.0, 2.0, 1)


CEILINGS = Ceilings(
    (Peak("avx2", "int8", "vpmaddubsw", 1, 1e11), Peak("avx2", "int8", "vpmaddubsw", 2, 2e11)),
    tuple(
        Bandwidth(level, size, kind, 1, rate * (2 if kind == "narrow" else 1))
        for kind in ("read", "narrow")
        for level, size, rate in (
            ("L1", 10_000, 1e11),
            ("L2", 100_000, 5e10),
            (MEMORY, 1 << 62, 1e10),
        )
    ),
)


@pytest.mark.parametrize(
    ("case", "seconds", "bound"),
    [
        (Case("gemm", (100, 100, 100)), 2e6 / 1e11, "int8"),
        (Case("gemm", (4, 90, 90)), 64_800 / 1e11, "int8"),
        (Case("gemm", (1, 1000, 1000)), 1_005_000 / 1e10, MEMORY),
        (Case("quantize", (1000,)), 5000 / 2e11, "L1"),
        (Case("quantize", (3000,)), 15_000 / 1e11, "L2"),
    ],
)
def test_the_slower_of_two_ceilings_is_the_bound(case, seconds, bound):
    found = CEILINGS.seconds(case, "avx2", 1)
    assert found == (pytest.approx(seconds), bound)


def test_a_set_without_a_peak_has_no_ceiling_but_that_of_memory():
    assert CEILINGS.seconds(Case("gemm", (2, 2, 2)), "scalar", 1) is None
    assert CEILINGS.seconds(Case("quantize", (9,)), "scalar", 1) is not None


def test_levels_fit_their_caches():
    caches = {"L1": 32 << 10, "L2": 1 << 20, "L3": 8 << 20}
    for threads in (1, 2):
        found = {name: (size, sweep) for name, size, sweep in levels(caches, threads)}
        assert list(found) == ["L1", "L2", "L3", MEMORY]
        for level in ("L1", "L2"):
            assert found[level][0] == threads * caches[level]
            assert found[level][1] < caches[level] / 2
        assert found["L3"][0] == caches["L3"]
        assert threads * found["L3"][1] < caches["L3"] / 2
        assert all(sweep % 1024 == 0 for _, sweep in found.values())
