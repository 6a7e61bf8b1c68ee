"""The rules, in the order of use: each stage runs until none of its rules fits."""

from pycompress.graph.rules import (
    affine,
    contrib,
    contrib_attention,
    conv,
    dynamic,
    dynamic_lstm,
    embedding,
    epilogue,
    halves,
    linear,
    moves,
    onehot,
    qoperator,
    quantized,
    recurrent,
    spellings,
)

SIMPLIFY_RULES = (*spellings.RULES, *affine.RULES, conv.PAD)
"""What `simplify` looks for among the standard operators."""

UNIFYING_RULES = (
    *qoperator.RULES,
    *dynamic_lstm.RULES,
    *contrib.RULES,
    *contrib_attention.RULES,
)
"""What `to_formats` does first: bring the nodes of other tools into standard form."""

FORMAT_STAGES = (
    (*dynamic.RULES, *quantized.RULES, *halves.RULES, *spellings.RULES),
    onehot.RULES,
    (*linear.RULES, *conv.RULES, *embedding.RULES, *recurrent.RULES),
    (*epilogue.RULES, *moves.RULES, *embedding.EPILOGUE),
)
"""Stages of `to_formats`."""
