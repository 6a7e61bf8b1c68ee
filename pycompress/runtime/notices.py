"""What a session warns of."""

from __future__ import annotations


class FallbackWarning(UserWarning):
    """An operator has no native kernel and runs in Python, slowly."""


class PlanWarning(UserWarning):
    """A plan file was made for another instruction set: its weights are packed anew."""
