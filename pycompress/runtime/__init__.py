"""Running models: the lowering to native programs, and the session around them."""

from pycompress.runtime.notices import FallbackWarning, PlanWarning
from pycompress.runtime.session import InferenceSession, NodeTime, TensorInfo

__all__ = ["FallbackWarning", "InferenceSession", "NodeTime", "PlanWarning", "TensorInfo"]
