"""Cast of a bfloat16 constant -> a constant that is kept in bfloat16, half of its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pycompress.graph.ir import Node, Value, in_halves
from pycompress.graph.pattern import Match, Rule
from pycompress.graph.survey import survey

if TYPE_CHECKING:
    from pycompress.graph.edit import Edit

_FLOAT = 1  # TensorProto.FLOAT


def _refuse(edit: Edit, match: Match) -> str | None:
    if not in_halves(match["DATA"].const) or match.root.attrs.get("to") != _FLOAT:
        return "it does not make float32 of bfloat16"
    if edit.is_output(match.root.output):
        return "its result is an output of the graph"
    return None


def _replace(edit: Edit, match: Match) -> None:
    edit.make_constant(match.root.output, match.array("DATA"))


RULES = (Rule("Cast of a bfloat16 constant -> constant", ("Cast", "DATA"), _replace, _refuse),)


def restore(edit: Edit) -> None:
    """Give nodes outside of the preset formats such constants back as Cast."""
    nodes = edit.nodes()
    for node in nodes if survey(nodes).foreign else ():
        if node.is_preset() and node.op != "activation":
            continue
        constants = [v for v in node.inputs if v is not None and v.const is not None]
        for value in dict.fromkeys(constants):
            if in_halves(value.const) and value.dtype == np.float32:
                data = edit.constant(f"{value.name}_halves", value.array())
                out = Value(edit.names.fresh(f"{value.name}_float"), value.dtype, value.shape)
                name = edit.names.fresh(f"{value.name}_cast")
                edit.add(Node("Cast", [data], [out], {"to": _FLOAT}, name=name))
                edit.set_inputs(node, [out if v is value else v for v in node.inputs])
