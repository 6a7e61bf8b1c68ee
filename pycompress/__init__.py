"""Compress deep-learning models to integers and run them fast on CPUs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what _HOME says, for type checkers and editors
    pass

__version__ = "0.1.0"

# Where each public name lives. It is imported at its first use, so that `import pycompress` costs
# next to nothing. The import of a submodule binds the submodule's own name here, so that no public
# name may be one: `compress`, the function, lives in compression.py.
_HOME: dict[str, str] = {}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 (the table holds strings)


def __getattr__(name: str) -> Any:  # noqa: ANN401 (the type of whatever the name stands for)
    """Import a public name's module and return what the name stands for there."""
    if name not in _HOME:
        msg = f"module 'pycompress' has no attribute '{name}'"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"pycompress.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
