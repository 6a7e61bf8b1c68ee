"""Models are read without copying what is big, and completely."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pycompress.graph import export
from pycompress.readers import read
from tests.graph.models import Model, assert_same, ops, run
from tests.graph.test_reader_errors import external


def big(size=64, opset=17):
    m = Model(opset=opset)
    m.output(m.node("MatMul", m.input("x", ["n", size]), m.const(m.random(size, size), "w")))
    return m


def constant(graph, name="w"):
    return next(v.const for v in graph.constants() if v.name == name)


def test_path_bytes_and_proto_give_the_same(tmp_path):
    m = big()
    path = tmp_path / "m.onnx"
    onnx.save(m.proto(), path)
    wanted = numpy_helper.to_array(m.constants[0])
    for source in (path, str(path), path.read_bytes(), memoryview(path.read_bytes()), m.proto()):
        graph = read(source)
        np.testing.assert_array_equal(constant(graph), wanted)
        assert graph.opset == 18
        assert graph.inputs[0].shape == ("n", 64)
        assert graph.outputs[0].shape == ("n", 64)


def test_big_tensors_are_views_of_the_file_or_aligned_copies():
    for shift in range(4):
        model = big().proto()
        model.producer_name = "p" * shift
        array = constant(read(model.SerializeToString()))
        assert array.flags.aligned
        assert array.flags.c_contiguous


def test_external_data_is_mapped(tmp_path):
    graph = read(external(tmp_path))
    array = constant(graph)
    np.testing.assert_array_equal(array, np.ones((40, 40), np.float32))
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize("location", [None, 0])
def test_a_tensor_that_says_where_it_is(location):
    """The field may stand behind the bytes, and of two such fields the last one counts."""
    model = big().proto()
    if location is not None:
        model.graph.initializer[0].data_location = location
    assert constant(read(model)).shape == (64, 64)


@pytest.mark.parametrize(
    "kind", ["float16", "bfloat16", "float64", "int8", "uint8", "int64", "bool"]
)
@pytest.mark.parametrize("size", [3, 3000])
def test_element_types_are_kept(kind, size):
    code = getattr(TensorProto, {"float64": "DOUBLE"}.get(kind, kind.upper()))
    dtype = helper.tensor_dtype_to_np_dtype(code)
    array = np.arange(size).astype(dtype)
    m = Model()
    m.constants.append(numpy_helper.from_array(array, "c"))
    m.output(m.node("Identity", "c"), kind=code)
    found = read(m.proto()).nodes[0].inputs[0].const
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        ("FLOAT", "float_data", [1.5, -2.0]),
        ("DOUBLE", "double_data", [1.5, -2.0]),
        ("INT64", "int64_data", [-(1 << 40), 3]),
        ("UINT64", "uint64_data", [1 << 63, 3]),
        ("INT8", "int32_data", [-128, 127]),
        ("BOOL", "int32_data", [0, 1]),
        ("FLOAT16", "int32_data", [0x3E00, 0xC000]),
    ],
)
def test_typed_fields(kind, field, values):
    tensor = TensorProto(name="c", dims=[2], data_type=getattr(TensorProto, kind))
    getattr(tensor, field).extend(values)
    m = Model()
    m.constants.append(tensor)
    m.output(m.node("Identity", "c"), kind=tensor.data_type)
    np.testing.assert_array_equal(
        read(m.proto()).nodes[0].inputs[0].const, numpy_helper.to_array(tensor)
    )


@pytest.mark.parametrize(
    "attr",
    [
        {"value": numpy_helper.from_array(np.float32([[1, 2]]))},
        {"value_float": 1.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 3},
        {"value_ints": [3, 4]},
    ],
)
def test_constant_nodes_are_constants(attr):
    m = Model()
    c = m.node("Constant", **attr)
    m.output(m.node("Cast", c, to=TensorProto.FLOAT))
    graph = read(m.proto())
    assert ops(graph) == ["Cast"]
    assert graph.nodes[0].inputs[0].const is not None


def test_initializers_listed_as_inputs_are_constants():
    model = big().proto()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [64, 64]))
    assert [v.name for v in read(model).inputs] == ["x"]


def test_dimensions_that_mean_any_are_unknown():
    m = Model()
    m.output(m.node("Relu", m.input("x", [-1, "?", "n", None], np.zeros((1, 2, 3, 4), np.float32))))
    assert read(m.proto()).inputs[0].shape == (None, None, "n", None)


def branch(name, value):
    """A branch that reads the value `x` of the graph around it."""
    node = helper.make_node("Mul", ["x", f"k_{name}"], ["inner"], "shared_name")
    constant = numpy_helper.from_array(np.float32(value), f"k_{name}")
    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    return helper.make_graph([node], name, [], [output], [constant])


def conditional():
    m = Model()
    m.input("x", [3])
    m.input("c", [], np.array(True), kind=TensorProto.BOOL)
    m.output(m.node("If", "c", then_branch=branch("a", 2), else_branch=branch("b", 3)))
    return m


@pytest.mark.parametrize("condition", [True, False])
def test_branches(condition):
    m = conditional()
    m.feeds["c"] = np.array(condition)
    graph = read(m.proto())
    names = [v.name for n in graph.nodes for sub in n.subgraphs() for v in sub.outputs]
    assert len(set(names)) == 2  # both branches called it 'inner'
    assert_same(run(export(graph), m.feeds), run(m.proto(), m.feeds))


def test_functions_are_inlined():
    m = Model(domains=["local"])
    m.output(m.node("Twice", m.input("x", [3]), domain="local"))
    model = m.proto()
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    model.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, opsets))
    assert ops(read(model)) == ["Add"]


def test_other_domains_are_carried_along():
    m = Model(domains=["com.example"])
    x = m.input("x", [3])
    m.nodes.append(
        helper.make_node("Magic", [x, ""], ["y"], domain="com.example", strength=3, names=["a"])
    )
    m.output("y")
    graph = read(m.proto())
    assert (graph.nodes[0].domain, graph.nodes[0].attrs) == (
        "com.example",
        {"strength": 3, "names": ["a"]},
    )
    written = export(graph)
    assert {o.domain: o.version for o in written.opset_import} == {"": 18, "com.example": 1}
    (strength,) = (a.i for a in written.graph.node[0].attribute if a.name == "strength")
    assert strength == 3


@pytest.mark.parametrize("opset", range(18, onnx.defs.onnx_opset_version() + 1))
def test_newer_models_keep_their_opset(opset):
    m = big(opset=opset)
    graph = read(m.proto())
    assert graph.opset == opset
    assert export(graph).opset_import[0].version == opset


@pytest.mark.parametrize("count", [0, 3, 5001])
@pytest.mark.parametrize("kind", ["int4", "uint4", "float4_e2m1fn", "float8_e4m3fn", "bfloat16"])
def test_narrow_elements_are_unpacked(kind, count):
    """Both inside the protobuf and left in the file, which is where large tensors stay."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="onnx before 1.17 does not bring it")
    array = (np.arange(count) % 7).astype(np.float32).astype(getattr(ml_dtypes, kind))
    node = helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [count])
    graph = helper.make_graph([node], "g", [], [output], [numpy_helper.from_array(array, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    (read_back,) = [v.array() for v in read(model.SerializeToString()).constants()]
    assert read_back.dtype == array.dtype
    np.testing.assert_array_equal(read_back.astype(np.float32), array.astype(np.float32))
