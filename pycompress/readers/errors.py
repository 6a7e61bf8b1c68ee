"""What a reader raises when a file is not a model that can be read."""

from __future__ import annotations


class ModelError(ValueError):
    """The input is not a model that can be read; the message says what is wrong with it."""
