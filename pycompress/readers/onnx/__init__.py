"""ONNX: a file, its bytes or a ModelProto -> Graph."""

from pycompress.readers.onnx.model import read_onnx as read_onnx
