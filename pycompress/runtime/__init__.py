"""Running models: the lowering to native programs, and the session around them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pycompress.runtime.notices import FallbackWarning, PlanWarning
from pycompress.runtime.session import InferenceSession
from pycompress.runtime.tensor_info import TensorInfo

if TYPE_CHECKING:
    from pycompress.runtime.profile import NodeTime, Profile

__all__ = [
    "FallbackWarning",
    "InferenceSession",
    "NodeTime",
    "PlanWarning",
    "Profile",
    "TensorInfo",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class
    """Import what only profiling needs when it is asked for."""
    if name not in {"NodeTime", "Profile"}:
        msg = f"module 'pycompress.runtime' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(import_module("pycompress.runtime.profile"), name)
