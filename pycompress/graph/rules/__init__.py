"""The rules, in the order in which they are applied: each stage runs until none of its rules fits."""

from pycompress.graph.rules import (
    conv,
    dynamic,
    embedding,
    epilogue,
    linear,
    qoperator,
    quantized,
)

FORMAT_STAGES = (
    qoperator.RULES,
    (*dynamic.RULES, *quantized.RULES),
    (*linear.RULES, *conv.RULES, *embedding.RULES),
    epilogue.RULES,
)
"""Stages of `to_formats`."""
