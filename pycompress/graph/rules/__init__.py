"""The rules, in the order in which they are applied: each stage runs until none of its rules fits."""

from pycompress.graph.rules import conv, embedding, epilogue, linear

FORMAT_STAGES = (
    (*linear.RULES, *conv.RULES, *embedding.RULES),
    epilogue.RULES,
)
"""Stages of `to_formats`."""
