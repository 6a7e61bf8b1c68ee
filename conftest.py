"""Runs the tests against the installed package, unless this checkout was built in place.

``python -m pytest`` puts the working directory first on the path, where the package folder of a
checkout without its extension would hide the one that pip installed.
"""

import sys
from collections import Counter
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).parent

if not any((ROOT / "pycompress" / f"_core{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--every``, with which an emulated CPU is through in minutes."""
    parser.addoption(
        "--every", type=int, default=1, metavar="N",
        help="of the cases of a test, run the first and every Nth after it",
    )  # fmt: skip


@pytest.hookimpl(trylast=True)  # after -k and --deselect: it counts the cases that would run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all but every Nth case of each test; digests of other machines stay."""
    every = config.getoption("--every")
    seen: Counter[str] = Counter()
    chosen: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        name = item.nodeid.partition("[")[0]
        sampled = item.path.stem != "test_digests" and seen[name] % every
        (left_out if sampled else chosen).append(item)
        seen[name] += 1
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen
