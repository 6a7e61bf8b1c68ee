"""The native parser reads what the onnx package reads, and refuses what is no message."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from onnx import AttributeProto, TensorProto, helper

from pycompress.readers import ModelError
from pycompress.readers.onnx.messages import parse

NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=32)
TEXT = st.text(max_size=6)


def parsed(proto):
    return parse(np.frombuffer(proto.SerializeToString(), np.uint8))


def model_of(node):
    return helper.make_model(helper.make_graph([node], "g", [], []), ir_version=8)


@given(st.lists(NUMBERS, max_size=4), st.lists(FLOATS, max_size=4), NUMBERS, FLOATS, TEXT)
@settings(max_examples=40, deadline=None)
def test_attributes(ints, floats, i, f, text):
    node = helper.make_node(text, [text, ""], ["y"], name=text, domain="d")
    node.attribute.append(
        AttributeProto(name=text, i=i, f=f, s=text.encode(), ints=ints, floats=floats, type=2)
    )
    found = parsed(model_of(node)).graph.nodes[0]
    assert (found.inputs, found.outputs) == ([text, ""], ["y"])
    assert (found.op or "", found.name or "", found.domain) == (text, text, "d")
    (attribute,) = found.attributes
    assert (attribute.i, attribute.s, list(attribute.ints), attribute.type) == (i, text, ints, 2)
    np.testing.assert_array_equal(
        np.float32([attribute.f, *attribute.floats]), np.float32([f, *floats])
    )


@given(st.lists(NUMBERS, max_size=4), st.lists(FLOATS, max_size=4), st.binary(max_size=9))
@settings(max_examples=40, deadline=None)
def test_tensors(numbers, floats, raw):
    tensor = TensorProto(
        name="t",
        dims=numbers,
        float_data=floats,
        double_data=floats,
        int64_data=numbers,
        int32_data=[n >> 32 for n in numbers],
        uint64_data=[n + 2**63 for n in numbers],
        string_data=[raw],
        raw_data=raw,
    )
    model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
    found = parsed(model).graph.initializers[0]
    assert list(found.dims) == numbers
    begin, end = found.raw_data
    assert model.SerializeToString()[begin:end] == raw
    (text,) = found.string_data
    assert (text.encode() if isinstance(text, str) else text) == raw
    for field in ("float_data", "double_data", "int64_data", "int32_data", "uint64_data"):
        array = getattr(found, field)
        wanted = np.array(getattr(tensor, field), None if array is None else array.dtype)
        np.testing.assert_array_equal([] if array is None else array, wanted)


def test_numbers_that_are_not_packed():
    """A writer may give each element of a repeated number a field of its own."""
    dims, floats = b"\x08\x05\x08\x07", b"\x25\x00\x00\x80\x3f\x25\x00\x00\x00\x40"
    tensor = dims + floats
    graph = bytes([5 << 3 | 2, len(tensor)]) + tensor
    found = parse(np.frombuffer(bytes([7 << 3 | 2, len(graph)]) + graph, np.uint8))
    assert found.graph.initializers[0].dims == [5, 7]
    np.testing.assert_array_equal(found.graph.initializers[0].float_data, np.float32([1, 2]))


def test_fields_that_are_not_known_are_skipped():
    known = model_of(helper.make_node("Relu", ["x"], ["y"])).SerializeToString()
    others = b"\xf8\x07\x05" + b"\xfa\x07\x02ab" + b"\xf9\x07" + b"\0" * 8 + b"\xfd\x07" + b"\0" * 4
    wrong_wire_type = b"\x38\x01"  # a graph that is a number
    found = parse(np.frombuffer(others + known + wrong_wire_type, np.uint8))
    assert found == parse(np.frombuffer(known, np.uint8))


@pytest.mark.parametrize(
    ("junk", "what"),
    [
        (b"\x3a\x05\x0a", "longer than what is left"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "longer than what is left"),
        (b"\x38" + b"\x80" * 11, "no end of a number"),
        (b"\x3b\x3c", "impossible wire type"),
        (b"\x00\x00", "impossible field"),
        (b"\x39\x00\x00", "truncated: a field"),
        (b"\x3a\x00\x3a\x00", "twice what it may have once"),
        (b"\x3a\x04\x12\x02\xff\xfe", "a name is not text"),
    ],
)
def test_what_is_no_message(junk, what):
    with pytest.raises(ModelError, match=what):
        parse(np.frombuffer(junk, np.uint8))


def test_depth():
    inner = b""
    for _ in range(40):  # a graph in an attribute of a node in a graph ...
        for number in (6, 5, 1):
            inner = bytes([number << 3 | 2]) + _size(inner)
    with pytest.raises(ModelError, match="nested more than 64"):
        parse(np.frombuffer(bytes([7 << 3 | 2]) + _size(inner), np.uint8))


def _size(body):
    length, out = len(body), bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*out, length]) + body
