"""Running models: the lowering to native programs, and the session around them."""

from pycompress.runtime.fallback import FallbackWarning
from pycompress.runtime.session import InferenceSession, NodeTime, TensorInfo

__all__ = ["FallbackWarning", "InferenceSession", "NodeTime", "TensorInfo"]
