"""Which of two outcomes is taken: on the evened graph, or on the one before."""

from types import SimpleNamespace

import pytest

from pycompress.compression import judged
from pycompress.compression.ways import Way
from pycompress.convert import BudgetError


def found(price, share=0.9, moved=1):
    """What a search came to, as far as the choice between two of them looks at it."""
    budget = SimpleNamespace(costs=SimpleNamespace(share_of=lambda _: price))
    verdict = SimpleNamespace(kept=share <= 1, share=share)
    chosen = Way("as written", None, None, verdict)
    return judged.Outcome(None, budget, SimpleNamespace(moved=moved), chosen, None, "")


BROKEN = BudgetError("the bounds can't be kept: at best")


@pytest.mark.parametrize(
    ("evened", "plain", "wanted"),
    [
        (found(0.5, moved=0), None, "evened"),  # nobody looks at the other one
        (found(0.5), found(0.4), "plain"),
        (found(0.4), found(0.5), "evened"),
        (found(0.5), found(0.499), "evened"),  # no dearer than can be told
        (found(0.5, share=1.1), found(0.9), "plain"),
        (found(0.9), found(0.5, share=1.1), "evened"),
        (found(0.9, share=1.2), found(0.5, share=1.4), "evened"),
        (found(0.5, share=1.4), found(0.9, share=1.2), "plain"),
        (found(0.5), BROKEN, "evened"),
        (BROKEN, found(0.5), "plain"),
        (BROKEN, BROKEN, ""),
    ],
)
def test_the_cheaper_of_two_outcomes_is_taken(monkeypatch, evened, plain, wanted):
    outcomes = {"evened": evened, "plain": plain}

    def searched(fit, *_):
        outcome = outcomes[fit]
        if isinstance(outcome, BudgetError):
            raise outcome
        return outcome

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
