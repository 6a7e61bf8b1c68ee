"""The kernels beside their peers, on shapes of real networks.

    pytest bench                                       everything: minutes
    pytest bench -k "conv and 3x3"                     some of it
    pytest bench --benchmark-json=before.json          keep the figures
    pytest bench --benchmark-autosave --benchmark-compare      hold them against the last saved ones

A group is one shape on one number of threads; its rows are our instruction sets and the peers that
are installed. Every row gives the right answer before it is timed.
"""

from functools import lru_cache

import pytest

import pycompress
from bench.kernel_peers import PEERS, peers_of
from pycompress.bench.cases import KINDS, SETS
from pycompress.bench.work import make

THREADS = (1, 2)
LARGEST = {"scalar": 2e8, "numpy": 1e10}
"""Operations of the largest case for engines that are slow: not more than a tenth of a second."""

cached = lru_cache(maxsize=2)(make)


def rows():
    """Every case, thread count and engine; the engines of a case are neighbours."""
    params = []
    found = dict.fromkeys(case for cases in SETS.values() for case in cases)
    for case in sorted(found, key=lambda case: KINDS.index(case.kind)):
        for threads in THREADS:
            for engine in (*pycompress.available_isas(), *peers_of(case.kind, threads)):
                if case.operations <= LARGEST.get(engine, 1e12):
                    name = f"{case.kind} {case.name}-{threads}-{engine}"
                    params.append(pytest.param(case, threads, engine, id=name.replace(" ", "_")))
    return params


@pytest.mark.benchmark(max_time=0.25, min_rounds=5, warmup=False)
@pytest.mark.parametrize(("case", "threads", "engine"), rows())
def bench_kernel(benchmark, case, threads, engine):
    work = cached(case)
    benchmark.group = f"{case.kind} {case.name}, {threads} thread{'s' * (threads > 1)}"
    benchmark.extra_info.update(engine=engine, operations=case.operations, bytes=case.bytes)
    if engine in PEERS:
        entry = PEERS[engine][case.kind](case, work, threads)
        work.check(entry.answer(entry.call()), benchmark.name, entry.off)
        benchmark(entry.call)
    else:
        pycompress.use_isa(engine)
        pycompress.set_num_threads(threads)
        call = work.prepare()
        work.check(call(), benchmark.name)
        benchmark(call)
