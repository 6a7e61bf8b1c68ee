"""What is not a model is refused with a sentence that names what is wrong."""

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from onnx import TensorProto, helper, numpy_helper

from pycompress.readers import ModelError, read
from tests.graph.models import Model


def small():
    m = Model()
    m.output(m.node("MatMul", m.input("x", ["n", 40]), m.const(np.ones((40, 40), np.float32), "w")))
    return m.proto()


def refused(source, *parts):
    with pytest.raises(ModelError) as error:
        read(source)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("cut", [1, 100, 3000, 6400])
def test_truncated(tmp_path, cut):
    whole = small().SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: len(whole) - cut])
    refused(path, "cut.onnx")
    refused(whole[: len(whole) - cut])


@pytest.mark.parametrize("start", range(7))
def test_every_truncation_is_an_error_or_a_model(start):
    whole = small().SerializeToString()
    for size in range(start, len(whole), 49):
        with contextlib.suppress(ModelError):
            read(whole[:size])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_damage_is_an_error_or_a_model(data):
    whole = bytearray(small().SerializeToString())
    header = [i for i in range(len(whole)) if not 300 < i < 6400]  # not the weight's values
    for _ in range(3):
        whole[data.draw(st.sampled_from(header))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        read(bytes(whole))


@pytest.mark.parametrize("junk", [b"\x89PNG\r\n\x1a\n" * 99, b"hello world, I am text\n" * 99])
def test_not_a_protobuf(tmp_path, junk):
    path = tmp_path / "photo.onnx"
    path.write_bytes(junk)
    refused(path, "photo.onnx", "not an ONNX model")


def test_empty(tmp_path):
    path = tmp_path / "nothing.onnx"
    path.touch()
    refused(path, "nothing.onnx", "the file is empty")
    refused(b"", "empty")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.onnx")


def test_neither_path_nor_bytes():
    with pytest.raises(TypeError, match="not int"):
        read(3)


def test_no_graph():
    model = onnx.ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)])
    refused(model, "no graph")


@pytest.mark.parametrize(
    ("version", "found"), [(5, "opset 5"), (99, "opset 99"), (None, "no opset")]
)
def test_opset(version, found):
    model = small()
    del model.opset_import[:]
    if version:
        model.opset_import.append(helper.make_opsetid("", version))
    refused(model, found, "opsets 6 to 28 can be read")


def test_initializer_shorter_than_its_dims():
    model = small()
    model.graph.initializer[0].raw_data = b"\0" * 40
    refused(model, "initializer 'w'", "[40, 40]", "6400 bytes", "holds 40")


def test_initializer_bigger_than_the_file():
    model = small()
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    refused(model, "initializer 'w'", "[1048576, 1048576]", "holds 6400")


@pytest.mark.parametrize("dims", [[-1, 40], [1 << 62, 4], [1 << 62, 1 << 62]])
def test_impossible_dims(dims):
    model = small()
    model.graph.initializer[0].dims[:] = dims
    refused(model, "initializer 'w'", str(dims[0]))


@pytest.mark.parametrize("dim", [-2, 1 << 62])
def test_impossible_dims_of_an_input(dim):
    model = small()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = dim
    refused(model, "value 'x'", f"a dimension of {dim}")


def test_typed_field_of_the_wrong_length():
    model = small()
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].float_data.extend([1.0] * 7)
    refused(model, "1600 elements, but holds 7")


@pytest.mark.parametrize("kind", ["COMPLEX64", "COMPLEX128"])
def test_element_types(kind):
    model = small()
    model.graph.initializer[0].data_type = getattr(TensorProto, kind)
    refused(model, "initializer 'w'", kind, "supported are FLOAT")


def nodes(*made, opset=17):
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_cycle():
    model = nodes(
        helper.make_node("Add", ["x", "b"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "second"),
        helper.make_node("Relu", ["x"], ["y"]),
    )
    refused(model, "cycle through node")


def test_nodes_out_of_order_are_put_in_order():
    model = nodes(helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Abs", ["x"], ["a"]))
    assert [n.op for n in read(model).nodes] == ["Abs", "Relu"]


def test_value_that_nothing_defines():
    refused(nodes(helper.make_node("Relu", ["z"], ["y"], "act")), "node 'act' (Relu) reads 'z'")


def test_output_that_nothing_defines():
    refused(nodes(helper.make_node("Relu", ["x"], ["z"])), "returns 'y', which nothing defines")


def test_two_values_of_one_name():
    made = helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])
    refused(nodes(*made), "value 'y' is defined twice")


def test_two_initializers_of_one_name():
    model = small()
    model.graph.initializer.append(model.graph.initializer[0])
    refused(model, "two initializers of one name")


def test_unknown_operator():
    refused(
        nodes(helper.make_node("Blur", ["x"], ["y"], "b")), "node 'b' (Blur)", "has no operator"
    )


def test_operator_of_another_opset():
    refused(nodes(helper.make_node("Gelu", ["x"], ["y"])), "opset 17 has no operator 'Gelu'")


def test_counts_of_inputs_and_outputs():
    refused(nodes(helper.make_node("Relu", ["x", "x"], ["y"])), "2 inputs", "takes 1")
    refused(nodes(helper.make_node("Relu", ["x"], ["y", "z"])), "2 outputs", "makes 1")


def test_missing_attribute():
    refused(nodes(helper.make_node("Concat", ["x"], ["y"])), "lacks the attribute 'axis'")


@pytest.mark.parametrize("perm", [[0, 0], [1], [0, -1], [0, 2**40]])
def test_no_order_of_axes(perm):
    made = helper.make_node("Transpose", ["x"], ["y"], "turn", perm=perm)
    refused(nodes(made), "node 'turn' (Transpose): attribute 'perm'")


@pytest.mark.parametrize("to", [0, 27, -1])
def test_no_element_type(to):
    refused(nodes(helper.make_node("Cast", ["x"], ["y"], "c", to=to)), "node 'c' (Cast)", str(to))


def test_sparse_initializers():
    model = small()
    values = numpy_helper.from_array(np.float32([1]), "s")
    indices = numpy_helper.from_array(np.int64([0]), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    refused(model, "sparse initializers")


# -- external data


def external(folder, location="w.bin", **entries):
    """A model whose weight lies in a file of 6400 bytes beside it."""
    model = small()
    tensor = model.graph.initializer[0]
    (folder / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/hostname", "", ".", "a/../../w.bin", "x" * 999]
)
def test_external_data_outside_of_the_folder(tmp_path, location):
    inside = tmp_path / "inside"
    inside.mkdir()
    refused(external(inside, location), "initializer 'w'", "not inside the model's folder")


def test_external_data_behind_a_link(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 6400)
    (inside / "link.bin").symlink_to(tmp_path / "secret")
    refused(external(inside, "link.bin"), "not inside the model's folder")


def test_external_data_that_is_missing(tmp_path):
    refused(external(tmp_path, "other.bin"), "'other.bin', but there is no such file")


@pytest.mark.parametrize(
    "entries", [{"offset": 1}, {"length": 6401}, {"offset": 1 << 62}, {"offset": -1}]
)
def test_external_data_that_is_too_short(tmp_path, entries):
    refused(external(tmp_path, **entries), "initializer 'w' needs bytes", "which has 6400")


def test_external_data_with_malformed_offset(tmp_path):
    refused(external(tmp_path, offset="ten"), "not a number")


def test_external_data_without_a_path(tmp_path):
    path = external(tmp_path)
    refused(path.read_bytes(), "must be read from its path")
