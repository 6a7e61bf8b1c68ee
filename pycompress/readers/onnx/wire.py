"""Taking the big tensors out of an ONNX file before it is parsed.

A protobuf parser copies every tensor, and asking the parsed message for its bytes copies once more.
Walking the wire format here (tag, length, payload) finds where the big tensors lie in the file. The
parser is given the same message without them, each tensor saying "my bytes are external, at this
offset", and the arrays are views of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pycompress.readers.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

INSIDE = "\0this file"
"""The location of a tensor whose bytes lie in the model file itself; no path can hold a NUL."""

BIG = 4096
"""Bytes from which a tensor is left in the file; shape inference looks into small ones."""

_DEPTH = 64  # nested messages; an If in an If in an If takes three each

Kind: TypeAlias = dict[int, str]
# Which fields of which message can hold a tensor, however deep (numbers of onnx.proto).
_MESSAGES: dict[str, Kind] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def without_big_tensors(buffer: memoryview) -> bytes:
    """Return the model message with its big tensors replaced by references into `buffer`.

    Raises
    ------
    ModelError
        When the buffer is not a whole protobuf message.
    """
    return b"".join(_slim(buffer, 0, len(buffer), "model", 0))


def _slim(
    buffer: memoryview, start: int, end: int, kind: str, depth: int
) -> list[bytes | memoryview]:
    if depth > _DEPTH:
        msg = f"its graphs are nested more than {_DEPTH} messages deep"
        raise ModelError(msg)
    inner = _MESSAGES.get(kind, {})
    chunks: list[bytes | memoryview] = []
    tail: list[bytes | memoryview] = []
    kept = start  # everything from here to the current field is copied as it is
    for number, wire, tag, begin, stop in _fields(buffer, start, end):
        if wire != _BYTES or stop - begin < BIG:
            continue
        if number in inner:
            body = _slim(buffer, begin, stop, inner[number], depth + 1)
            chunks += [buffer[kept:tag], _delimited(number, body)]
        elif kind == "tensor" and number == _RAW_DATA:
            chunks.append(buffer[kept:tag])
            tail = [_reference(begin, stop - begin)]  # last, or the tensor's own location wins
        else:
            continue
        kept = stop
    return [*chunks, buffer[kept:end], *tail]


def _fields(buffer: memoryview, pos: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Iterate over fields: number, wire type, start of tag, start and end of payload."""
    while pos < end:
        tag = pos
        key, pos = _varint(buffer, pos, end)
        number, wire = key >> 3, key & 7
        begin = pos
        if wire == _BYTES:
            size, begin = _varint(buffer, pos, end)
            pos = begin + size
        elif wire == _VARINT:
            _, pos = _varint(buffer, pos, end)
        elif wire == _FIXED64:
            pos += 8
        elif wire == _FIXED32:
            pos += 4
        else:
            msg = f"not an ONNX model: wire type {wire} at byte {tag}"
            raise ModelError(msg)
        if number == 0:
            msg = f"not an ONNX model: field number 0 at byte {tag}"
            raise ModelError(msg)
        if pos > end:
            msg = f"truncated: a field at byte {tag} needs {pos - end} bytes more than there are"
            raise ModelError(msg)
        yield number, wire, tag, begin, pos


def _varint(buffer: memoryview, pos: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while pos < end and shift < 70:
        byte = buffer[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
    msg = f"truncated or not an ONNX model: no end of a number at byte {pos}"
    raise ModelError(msg)


def _encode(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(number: int, body: list[bytes | memoryview]) -> bytes:
    return b"".join([_encode(number << 3 | _BYTES), _encode(sum(map(len, body))), *body])


def _reference(offset: int, length: int) -> bytes:
    """Return the fields of a TensorProto that say: in this file, `length` bytes at `offset`."""
    entries = (("location", INSIDE), ("offset", str(offset)), ("length", str(length)))
    pairs = [_delimited(1, [k.encode()]) + _delimited(2, [v.encode()]) for k, v in entries]
    external = b"".join(_delimited(_EXTERNAL_DATA, [pair]) for pair in pairs)
    return external + _encode(_DATA_LOCATION << 3 | _VARINT) + _encode(1)
