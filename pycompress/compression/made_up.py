"""Agreement on inputs that were made up, where the caller gave no real ones."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pycompress.calibration import check_feed, random_feed
from pycompress.compression.sessions import make_run
from pycompress.convert import agreement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompress.calibration import Feed
    from pycompress.convert import Agreement
    from pycompress.graph import Graph

FEEDS = 4

SIZES = (64, 256, 1024)
"""What is taken for an open dimension: the next one where the model does not run on the first."""


def made_up(
    before: Graph, after: Graph, sizes: Sequence[int] = SIZES
) -> tuple[list[Feed], list[str], Agreement]:
    """Return inputs, a sentence for each assumption, and how much the answers of two graphs agree.

    Raises
    ------
    ValueError, TypeError
        Inputs can't be made up, or the model runs on none of them; the first reason.
    """
    try:
        feeds, assumed = made_up_feeds(before, sizes[0])
        return feeds, assumed, agreement_on(feeds, before, after)
    except (ValueError, TypeError):
        if len(sizes) > 1:
            with suppress(ValueError, TypeError):
                return made_up(before, after, sizes[1:])
        raise


def made_up_feeds(graph: Graph, size: int = SIZES[0]) -> tuple[list[Feed], list[str]]:
    """Return inputs that fit what a graph declares, and a sentence for each assumption.

    Raises
    ------
    ValueError
        They can't be made up.
    """
    made = [random_feed(graph.inputs, seed, size) for seed in range(FEEDS)]
    feeds: list[Feed] = [check_feed(feed, graph.inputs, "made-up inputs") for feed, _ in made]
    return feeds, made[0][1]


def agreement_on(feeds: list[Feed], before: Graph, after: Graph) -> Agreement:
    """Return how much the answers of two graphs agree."""
    wanted, found = make_run(before), make_run(after)
    return agreement(
        [v.name for v in before.outputs],
        [wanted(feed) for feed in feeds],
        [found(feed) for feed in feeds],
    )
