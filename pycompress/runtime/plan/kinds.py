"""The steps beside native programs that a plan can hold, by the names that they have there."""

from __future__ import annotations

from typing import Any

from pycompress.runtime.control import BranchStep, LoopStep, ScanStep
from pycompress.runtime.data import DataStep
from pycompress.runtime.sequences import SequenceStep

KINDS: dict[str, Any] = {
    "branch": BranchStep,
    "loop": LoopStep,
    "scan": ScanStep,
    "sequence": SequenceStep,
    "data": DataStep,
}
"""Each is made of inputs, outputs, bodies, and its ``FIELDS``, which JSON can hold."""

NAMES = {kind: name for name, kind in KINDS.items()}
