"""Plan files: the programs of a session with their packed weights, to be mapped and run."""

from pycompress.runtime.plan.container import is_plan, load, save

__all__ = ["is_plan", "load", "save"]
