"""Which of two outcomes is taken: on the evened graph, or on the one before."""

from types import SimpleNamespace

import pytest

from pycompress.compression import judged
from pycompress.convert import BudgetError


class Found(judged.Outcome):
    """What a search came to, as far as the choice between two of them looks at it."""

    def __init__(self, price, share=0.9, moved=1):
        verdict = SimpleNamespace(kept=share <= 1, share=share)
        self.chosen = SimpleNamespace(verdict=verdict)
        self.budget = SimpleNamespace(costs=SimpleNamespace(share_of=lambda _: price))
        self.search, self.plan = SimpleNamespace(moved=moved), None


BROKEN = BudgetError("the bounds can't be kept: at best")


@pytest.mark.parametrize(
    ("evened", "plain", "wanted"),
    [
        (Found(0.5, moved=0), None, "evened"),  # nobody looks at the other one
        (Found(0.5), Found(0.4), "plain"),
        (Found(0.4), Found(0.5), "evened"),
        (Found(0.5), Found(0.499), "evened"),  # no dearer than can be told
        (Found(0.5, share=1.1), Found(0.9), "plain"),
        (Found(0.9), Found(0.5, share=1.1), "evened"),
        (Found(0.9, share=1.2), Found(0.5, share=1.4), "evened"),
        (Found(0.5, share=1.4), Found(0.9, share=1.2), "plain"),
        (Found(0.5), BROKEN, "evened"),
        (BROKEN, Found(0.5), "plain"),
        (BROKEN, BROKEN, ""),
    ],
)
def test_the_cheaper_of_two_outcomes_is_taken(monkeypatch, evened, plain, wanted):
    outcomes = {"evened": evened, "plain": plain}

    def searched(fit, *_):
        found = outcomes[fit]
        if isinstance(found, BudgetError):
            raise found
        return found

    monkeypatch.setattr(judged, "_searched", searched)
    given_up = []
    evening = SimpleNamespace(give_up=given_up.append)

    def best():
        return judged._best(["evened", "plain"], evening, None, None, lambda _: None)

    if not wanted:
        with pytest.raises(BudgetError, match="at best"):
            best()
        return
    assert best() is outcomes[wanted]
    assert bool(given_up) == (wanted == "plain")
