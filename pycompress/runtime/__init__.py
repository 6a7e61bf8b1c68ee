"""Running models: the lowering to native programs, and the session around them."""

from pycompress.runtime.notices import FallbackWarning, PlanWarning
from pycompress.runtime.profile import NodeTime, Profile
from pycompress.runtime.session import InferenceSession, TensorInfo

__all__ = [
    "FallbackWarning",
    "InferenceSession",
    "NodeTime",
    "PlanWarning",
    "Profile",
    "TensorInfo",
]
