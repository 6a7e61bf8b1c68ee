"""The ONNX backend face: ``onnx.backend.base.Backend`` over InferenceSession."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper
from onnx.backend.base import Backend, BackendRep, namedtupledict
from onnx.defs import onnx_opset_version

from pycompress.runtime import InferenceSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto, NodeProto

_OPSET = 23  # of a single node, where onnx knows as much


class PycompressRep(BackendRep):
    """A prepared model."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session

    def run(self, inputs: Any, **_: Any) -> tuple[np.ndarray, ...]:  # noqa: ANN401 - ONNX's own face
        """Run the model on one array, a sequence of arrays, or a dict of them by name."""
        names = [info.name for info in self.session.get_inputs()]
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        feed = inputs if isinstance(inputs, dict) else dict(zip(names, inputs, strict=True))
        outputs = [info.name for info in self.session.get_outputs()]
        results = self.session.run(None, feed)
        return namedtupledict("Outputs", outputs)(*results)


class PycompressBackend(Backend):
    """Runs ONNX models on the CPU with this package's engine."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> PycompressRep:  # noqa: ANN401
        """Build a session for a model; keywords go to `InferenceSession`.

        Raises
        ------
        ValueError
            When the device is not a CPU, or the model cannot be read or run.
        """
        if not cls.supports_device(device):
            msg = f"device: found '{device}', wanted 'CPU'"
            raise ValueError(msg)
        # What ONNX's suite judges should be ours or ONNX's, never another runtime's.
        kwargs.setdefault("fallback", "onnx.reference")
        return PycompressRep(InferenceSession(model, **kwargs))

    @classmethod
    def run_model(
        cls,
        model: ModelProto,
        inputs: Any,  # noqa: ANN401
        device: str = "CPU",
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[np.ndarray, ...]:
        """Prepare a model and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Sequence[np.ndarray] | Mapping[str, np.ndarray],
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, Sequence[int]]] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[np.ndarray, ...]:
        """Run one node: its inputs by name, or in order.

        Parameters
        ----------
        outputs_info : sequence of (dtype, shape), optional
            What the outputs are, where ONNX cannot infer it.
        """
        names = [name for name in dict.fromkeys(node.input) if name]
        pairs = inputs.items() if isinstance(inputs, Mapping) else zip(names, inputs, strict=True)
        arrays = {name: np.asarray(array) for name, array in pairs}
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in arrays.items()
        ]
        unknown: list[tuple[Any, Any]] = [(None, None)] * len(node.output)
        infos = unknown if outputs_info is None else list(outputs_info)
        wanted = [
            helper.make_tensor_value_info(name, _element(dtype), shape)
            for name, (dtype, shape) in zip(node.output, infos, strict=True)
            if name
        ]
        graph = helper.make_graph([node], "node", given, wanted)
        opsets = [helper.make_opsetid("", min(onnx_opset_version(), _OPSET))]
        model = helper.make_model(graph, opset_imports=kwargs.pop("opset_imports", opsets))
        return cls.run_model(model, arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Tell whether this is the CPU."""
        return device.partition(":")[0] == "CPU"


def _element(dtype: Any) -> int:  # noqa: ANN401
    if dtype is None:
        return int(TensorProto.UNDEFINED)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


prepare = PycompressBackend.prepare
run_model = PycompressBackend.run_model
run_node = PycompressBackend.run_node
supports_device = PycompressBackend.supports_device
