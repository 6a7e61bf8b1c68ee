"""The whole way: a float model file in, a smaller and faster one out, and a report."""

from pycompress.compression.face import compress

__all__ = ["compress"]
