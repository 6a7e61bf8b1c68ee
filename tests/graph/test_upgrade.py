"""Each operator whose form changed: a model of the old opset answers the same in the new form."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper

from pycompress.graph import export
from pycompress.readers import ModelError, read
from pycompress.readers.onnx.upgrade import CANONICAL, UPGRADES
from tests.graph.models import INT64, Model, assert_same, ops, run


def upgraded(m, **tolerance):
    proto = m.proto()
    graph = read(proto)
    written = export(graph)
    onnx.checker.check_model(written)
    assert written.opset_import[0].version == CANONICAL
    assert_same(run(written, m.feeds), run(proto, m.feeds), **tolerance)
    return graph


def model(opset, op, *shape, inputs=(), kind=TensorProto.FLOAT, outputs=1, **attrs):
    """A model of one node; `inputs` are constants behind the first one."""
    m = Model(opset)
    x = m.input("x", list(shape))
    made = m.node(
        op, x, *(m.const(c) if c is not None else "" for c in inputs), outputs=outputs, **attrs
    )
    for name in [made] if outputs == 1 else made:
        m.output(name, kind=INT64 if op == "TopK" and name == made[1] else kind)
    return m


CASES = {
    "Squeeze": model(11, "Squeeze", 2, 1, 3, 1, axes=[1, -1]),
    "Squeeze all": model(11, "Squeeze", 2, 1, 3, 1),
    "Unsqueeze": model(11, "Unsqueeze", 2, 3, axes=[0, 3]),
    "Clip 7": model(7, "Clip", 3, 4, min=-0.5, max=0.25),
    "Clip 7, one bound": model(7, "Clip", 3, 4, max=0.25),
    "Pad 7": model(7, "Pad", 2, 3, pads=[0, 1, 2, 0], value=1.5),
    "Pad 7, reflect": model(7, "Pad", 2, 3, pads=[0, 1, 1, 0], mode="reflect"),
    "Slice 7": model(7, "Slice", 4, 5, starts=[1, -3], ends=[3, 100], axes=[0, 1]),
    "Slice 7, no axes": model(7, "Slice", 4, 5, starts=[1], ends=[3]),
    "Split 11": model(11, "Split", 6, 2, outputs=3, axis=0),
    "Split 11, sizes": model(11, "Split", 6, 2, outputs=2, axis=0, split=[1, 5]),
    "Split 13": model(13, "Split", 6, 2, outputs=2),
    "Split 13, sizes": model(13, "Split", 6, 2, inputs=[np.int64([4, 2])], outputs=2),
    "Dropout 7": model(7, "Dropout", 3, 4, ratio=0.9),
    "Dropout 10": model(10, "Dropout", 3, 4, ratio=0.9),
    "TopK 7": model(7, "TopK", 3, 7, k=2, outputs=2, axis=1),
    "Upsample 7": model(7, "Upsample", 1, 2, 3, 4, scales=[1.0, 1.0, 2.0, 3.0]),
    "Upsample 7, linear": model(
        7, "Upsample", 1, 2, 3, 4, scales=[1.0, 1.0, 2.0, 2.0], mode="linear"
    ),
    "Upsample 9": model(9, "Upsample", 1, 2, 3, 4, inputs=[np.float32([1, 1, 2, 2])]),
    "Resize 10": model(10, "Resize", 1, 2, 3, 4, inputs=[np.float32([1, 1, 2, 1.5])]),
    "Resize 10, smaller": model(10, "Resize", 1, 2, 6, 8, inputs=[np.float32([1, 1, 0.5, 0.4])]),
    "Resize 10, linear": model(
        10, "Resize", 1, 2, 3, 4, inputs=[np.float32([1, 1, 2, 1.5])], mode="linear"
    ),
    "Resize 11, sizes": model(
        11,
        "Resize",
        1,
        2,
        3,
        4,
        inputs=[np.zeros(0, np.float32), np.zeros(0, np.float32), np.int64([1, 2, 6, 6])],
    ),
    "Resize 11, tf": model(
        11,
        "Resize",
        1,
        2,
        3,
        4,
        inputs=[np.zeros(0, np.float32), np.float32([1, 1, 2, 2])],
        coordinate_transformation_mode="tf_half_pixel_for_nn",
        nearest_mode="floor",
    ),
    "Scatter": model(9, "Scatter", 3, 4, inputs=[np.int64([[0, 2]]), np.float32([[9, 8]])], axis=1),
    "BatchNormalization 7": model(
        7, "BatchNormalization", 2, 3, 4, inputs=[np.float32([1, 2, 3])] * 4, epsilon=0.01
    ),
    "Gemm 7": model(7, "Gemm", 2, 3, inputs=[np.ones((3, 4), np.float32), np.float32([1])]),
    "Sum 7": model(7, "Sum", 2, 3, inputs=[np.ones((2, 3), np.float32)] * 2),
    "AveragePool 7": model(7, "AveragePool", 1, 2, 5, 5, kernel_shape=[2, 2], strides=[2, 2]),
    "MaxPool 7": model(7, "MaxPool", 1, 2, 5, 5, kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
    "Cast 7": model(7, "Cast", 2, 3, to=TensorProto.INT32, kind=TensorProto.INT32),
    "PRelu 7": model(7, "PRelu", 2, 3, inputs=[np.float32([0.1, 0.2, 0.3])]),
    **{
        f"{op} {axis} of {rank}": model(11, op, *[2, 3, 4, 2][:rank], axis=axis)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for rank in (2, 3, 4)
        for axis in (0, 1, rank - 1)
    },
    "Softmax by default": model(7, "Softmax", 2, 3, 4),
    **{
        f"{op}, axes {axes}": model(
            opset, op, 2, 3, 4, keepdims=keep, **({"axes": axes} if axes else {})
        )
        for op, opset in [
            (f"Reduce{n}", 17) for n in ("L1", "L2", "Max", "Mean", "Min", "SumSquare")
        ]
        + [("ReduceProd", 13), ("ReduceLogSumExp", 11), ("ReduceSum", 11)]
        for axes, keep in ((None, 0), ([1], 1), ([0, -1], 0))
    },
}


@pytest.mark.parametrize("name", CASES)
def test_the_new_form_answers_the_same(name):
    upgraded(CASES[name])


def test_roi_align_keeps_its_old_default():
    m = Model(10)
    x, rois = m.input("x", [1, 2, 8, 8]), m.const(np.float32([[1, 1, 5, 5]]))
    m.output(m.node("RoiAlign", x, rois, m.const(np.int64([0])), output_height=2, output_width=2))
    upgraded(m)


def test_softmax_over_the_last_axis_stays_one_node():
    assert ops(read(model(11, "Softmax", 2, 3, axis=1).proto())) == ["Softmax"]


def test_branches_are_upgraded():
    m = Model(11)
    m.input("x", [2, 1, 3])
    m.input("c", [], np.array(True), kind=TensorProto.BOOL)
    info = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c"])
    one = [helper.make_node("Squeeze", ["x"], ["s"], axes=[1])]
    squeeze = helper.make_graph(
        [*one, helper.make_node("Unsqueeze", ["s"], ["y"], axes=[1])], "a", [], [info]
    )
    other = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=1)], "b", [], [info])
    m.output(m.node("If", "c", then_branch=squeeze, else_branch=other))
    upgraded(m)
    m.feeds["c"] = np.array(False)
    upgraded(m)


@pytest.mark.parametrize(
    ("m", "why"),
    [
        (
            model(7, "BatchNormalization", 2, 3, inputs=[np.ones(3, np.float32)] * 4, spatial=0),
            "spatial=0",
        ),
        (model(10, "Resize", 4, 4, inputs=[np.float32([2, 0.5])]), "enlarges one axis"),
        (
            model(9, "BatchNormalization", 2, 3, inputs=[np.ones(3, np.float32)] * 4, outputs=3),
            "training mode",
        ),
    ],
)
def test_old_forms_without_an_equal_are_refused(m, why):
    with pytest.raises(ModelError, match=why):
        read(m.proto())


def changed_forms():
    """Operators whose inputs or attributes changed between opsets 7 and 18, by ONNX's schemas."""
    versions = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= CANONICAL:
            versions.setdefault(schema.name, []).append(schema)
    for name, schemas in versions.items():
        schemas.sort(key=lambda s: s.since_version)
        for old, new in pairwise(schemas):
            if new.since_version <= 7:
                continue
            lost = set(old.attributes) - set(new.attributes)
            demanded = {k for k, a in new.attributes.items() if a.required} - set(old.attributes)
            if lost or demanded or new.min_input > old.max_input or new.deprecated:
                yield name


def test_every_operator_whose_form_changed_has_a_row():
    assert set(changed_forms()) <= set(UPGRADES)
