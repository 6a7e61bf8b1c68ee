"""InferenceSession: a model, ready to run; the face is onnxruntime's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from pycompress.kernels.cpu import usable_cpus
from pycompress.runtime import plan
from pycompress.runtime.collector import collector_at_rest
from pycompress.runtime.tensor_info import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import ArrayLike

    from pycompress.graph.ir import Graph, Value
    from pycompress.runtime.profile import Profile
    from pycompress.runtime.steps import Executable

Fallback: TypeAlias = Literal["auto", "onnxruntime", "onnx.reference"]


class InferenceSession:
    """A model, ready to run.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto or Graph
        Float, QDQ, QOperator and dynamically quantized models alike; or the path of a plan that
        `save` wrote.
    num_threads : int, optional
        Size of the session's pool; by default the number of CPUs that the process may use.
    outputs : iterable of str, optional
        Names of further values of the graph, which are returned after the model's outputs.
    profiling : bool
        Time every node of every run, for `profile`.
    fallback : "auto", "onnxruntime" or "onnx.reference"
        What runs nodes that have no native kernel: onnxruntime, a session for each group of such
        nodes that follow each other, or onnx.reference, node by node. "auto" takes onnxruntime
        where it is installed (the extra ``ort``). What onnxruntime does not take goes to
        onnx.reference.
    float_format : "float32" or "bfloat16"
        bfloat16: linear layers and convolutions (of one group) that are not of integers round their
        operands to bfloat16 and add in float32. Twice as fast where the CPU has the instruction
        (`pycompress.bf16_isa`), and weights of half the size everywhere. A plan has what it was
        saved with.

    Attributes
    ----------
    fallbacks : list of str
        Operators that have no native kernel and run some other way. Each is warned of once
        (`FallbackWarning`), with the reason and what runs it; `profile` names it, too.

    Raises
    ------
    ValueError
        When the model cannot be read or run (`readers.ModelError` is one); names the node or value.
        When `outputs` are asked of a plan; when `fallback` is none of the three.
    ModuleNotFoundError
        When `fallback` is "onnxruntime" and that is not installed.

    Notes
    -----
    `run` may be called from many threads at once. A feed that is not C-contiguous is copied.

    Examples
    --------
    >>> session = InferenceSession("model.onnx")
    >>> (y,) = session.run(None, {"x": x})
    """

    def __init__(
        self,
        model: str | Path | bytes | onnx.ModelProto | Graph,
        num_threads: int | None = None,
        *,
        outputs: Iterable[str] = (),
        profiling: bool = False,
        fallback: Fallback = "auto",
        float_format: str = "float32",
    ) -> None:
        if num_threads is not None and num_threads < 1:
            msg = f"num_threads must be at least 1, got {num_threads}"
            raise ValueError(msg)
        if float_format not in {"float32", "bfloat16"}:
            msg = f"float_format must be 'float32' or 'bfloat16', got {float_format!r}"
            raise ValueError(msg)
        self.num_threads = num_threads or usable_cpus()
        self._inputs: list[TensorInfo]
        self._outputs: list[TensorInfo]
        self._held: dict[str, np.dtype[Any]] = {}  # inputs that the steps take in another type
        self.fallbacks: list[str] = []
        if isinstance(model, str | os.PathLike) and plan.is_plan(model):
            self._executable = self._open(model, outputs)
        else:
            self._executable = self._build(model, outputs, _engine(fallback), float_format)
        self._profiling = profiling
        self._executable.set_profiling(profiling)

    def _open(self, path: str | os.PathLike[str], outputs: Iterable[str]) -> Executable:
        if list(outputs):
            msg = f"'{path}' is a plan; it has the outputs that it was saved with and no others"
            raise ValueError(msg)
        executable, about = plan.load(path, self.num_threads)
        self._inputs, self._outputs = about["inputs"], about["outputs"]
        return executable

    def _build(
        self,
        model: str | Path | bytes | onnx.ModelProto | Graph,
        outputs: Iterable[str],
        engine: str,
        float_format: str,
    ) -> Executable:
        # A plan needs none of them.
        from pycompress.graph.ir import Graph, Value
        from pycompress.readers import read
        from pycompress.runtime.executable import Fallbacks, build

        fallbacks = Fallbacks(engine)
        with collector_at_rest():
            graph = model.copy() if isinstance(model, Graph) else read(model)
            graph.outputs = [*graph.outputs, *_named(graph, outputs)]
            self._inputs = [TensorInfo.of(v) for v in graph.inputs]
            executable = build(graph, self.num_threads, fallbacks, float_format)
            declared = graph.outputs
            del graph  # before the collector looks at what there is
        self.fallbacks = list(fallbacks.reasons)
        self._held = {
            info.name: held
            for info, taken in zip(self._inputs, executable.inputs, strict=True)
            if (held := getattr(taken, "dtype", None)) is not None and held != info.dtype
        }
        self._outputs = [
            TensorInfo.of(v)
            if v.dtype is not None
            else TensorInfo.of(Value(v.name, getattr(made, "dtype", None), v.shape))
            for v, made in zip(declared, executable.outputs, strict=True)
        ]
        return executable

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write the session as a plan: packed weights and programs, ready to be mapped and run.

        ``InferenceSession(path)`` opens it without a copy of the weights and without the onnx
        package; processes that open the same file share its pages.

        Returns
        -------
        int
            Bytes written.

        Raises
        ------
        ValueError
            When a node has no native kernel (`fallbacks` names them).
        OSError
            When the file cannot be written.

        Notes
        -----
        The file is for this version of pycompress and for the instruction set in use; another one
        packs the weights anew (`PlanWarning`). Keep the model: it is what other versions read.
        """
        for info in [*self._inputs, *self._outputs]:
            if info.dtype is not None and info.dtype.isbuiltin == 2:  # of ml_dtypes
                msg = f"'{info.name}' is {info.dtype}, which a plan does not hold"
                raise ValueError(msg)
        about = {
            "inputs": [info.row() for info in self._inputs],
            "outputs": [info.row() for info in self._outputs],
        }
        return plan.save(path, self._executable, about)

    def get_inputs(self) -> list[TensorInfo]:
        """Return name, shape and type of every input."""
        return list(self._inputs)

    def get_outputs(self) -> list[TensorInfo]:
        """Return name, shape and type of every output."""
        return list(self._outputs)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, ArrayLike]
    ) -> list[np.ndarray]:
        """Run the model.

        Parameters
        ----------
        output_names : sequence of str, or None for all
        input_feed : dict of arrays by input name

        Returns
        -------
        list of ndarray
            In the order of `output_names`; the caller owns them.

        Raises
        ------
        TypeError
            When an array has another dtype than the model's input, or `input_feed` is no dict.
        ValueError
            When an input is missing, unknown, or of another rank or fixed dimension; or an output
            name is unknown.
        """
        wanted = self._positions(output_names)
        results = self._executable.run(self._feeds(input_feed))
        return [self._finished(results[i], self._outputs[i]) for i in wanted]

    def profile(self, feeds: Mapping[str, ArrayLike] | None = None, repeats: int = 10) -> Profile:
        """Return what each node takes.

        Parameters
        ----------
        feeds : dict of arrays by input name, optional
            Run the model on them `repeats` times, after one run to warm up, and report these runs.
            Without: report every run since the session was made, which needs ``profiling=True``
            there.
        repeats : int

        Returns
        -------
        Profile
            Its `rows` are the nodes, the most expensive first; `to_chrome_trace` writes the last
            run.

        Raises
        ------
        ValueError
            When `repeats` is below 1; without feeds, when the session was not made with
            ``profiling=True``.

        Examples
        --------
        >>> profile = session.profile({"x": x})
        >>> profile.rows[0].name, profile.rows[0].ms
        >>> profile.to_chrome_trace("run.json")
        """
        from pycompress.runtime.profile import Profile, since

        if feeds is None:
            if not self._profiling:
                msg = "profile() needs feeds to run, or a session made with profiling=True"
                raise ValueError(msg)
            return Profile(self._executable.profile())
        if repeats < 1:
            msg = f"repeats must be at least 1, got {repeats}"
            raise ValueError(msg)
        arrays = self._feeds(feeds)
        self._executable.run(arrays)
        self._executable.set_profiling(True)
        before, begin = self._executable.profile(), 0.0
        for _ in range(repeats):
            begin = perf_counter()
            self._executable.run(arrays)
        after = self._executable.profile()
        self._executable.set_profiling(self._profiling)
        return Profile(since(before, after), begin)

    def _positions(self, names: Sequence[str] | None) -> list[int]:
        known = [info.name for info in self._outputs]
        if names is None:
            return list(range(len(known)))
        for name in names:
            if name not in known:
                msg = f"unknown output '{name}'; the model's outputs are {', '.join(known)}"
                raise ValueError(msg)
        return [known.index(name) for name in names]

    def _feeds(self, feed: Mapping[str, ArrayLike]) -> list[np.ndarray]:
        known = [info.name for info in self._inputs]
        if not isinstance(feed, Mapping):
            msg = f"input_feed: found a {type(feed).__name__}, wanted a dict of arrays by name"
            raise TypeError(msg)
        for name in feed:
            if name not in known:
                msg = f"unknown input '{name}'; the model's inputs are {', '.join(known)}"
                raise ValueError(msg)
        missing = [name for name in known if name not in feed]
        if missing:
            found, wanted = ", ".join(feed) or "none", ", ".join(known)
            msg = f"missing input '{missing[0]}'; found {found}, wanted {wanted}"
            raise ValueError(msg)
        arrays = [_checked(feed[info.name], info) for info in self._inputs]
        if self._held:
            for i, info in enumerate(self._inputs):
                arrays[i] = arrays[i].astype(self._held.get(info.name, arrays[i].dtype), copy=False)
        return arrays

    @staticmethod
    def _finished(array: np.ndarray, info: TensorInfo) -> np.ndarray:
        if info.dtype is None or not isinstance(array, np.ndarray) or array.dtype == info.dtype:
            return array
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            return array.astype(info.dtype)


def _checked(feed: ArrayLike, info: TensorInfo) -> np.ndarray:
    if info.dtype is None and (feed is None or isinstance(feed, list)):
        return feed  # type: ignore[return-value]  # a sequence or an optional: onnx.reference's own
    array = np.asarray(feed)
    if info.dtype is not None and array.dtype != info.dtype:
        msg = f"input '{info.name}': found dtype {array.dtype}, wanted {info.dtype}"
        raise TypeError(msg)
    if info.shape is not None:
        fits = array.ndim == len(info.shape) and all(
            not isinstance(want, int) or have == want
            for have, want in zip(array.shape, info.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("?" if dim is None else str(dim) for dim in info.shape)
            msg = f"input '{info.name}': found shape {list(array.shape)}, wanted [{wanted}]"
            raise ValueError(msg)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array).reshape(array.shape)


def _named(graph: Graph, names: Iterable[str]) -> list[Value]:
    found = []
    values: dict[str, Value] = {}
    for name in names:
        values = values or {v.name: v for v in graph.values()}
        if name not in values:
            msg = f"outputs: the model has no value named '{name}'"
            raise ValueError(msg)
        found.append(values[name])
    return found


def _engine(fallback: str) -> str:
    from pycompress.runtime import peer

    if fallback not in {"auto", peer.PEER, peer.REFERENCE}:
        msg = f"fallback: found '{fallback}', wanted auto, {peer.PEER} or {peer.REFERENCE}"
        raise ValueError(msg)
    if fallback == "auto":
        return peer.PEER if peer.is_installed() else peer.REFERENCE
    if fallback == peer.PEER and not peer.is_installed():
        msg = "fallback 'onnxruntime' needs onnxruntime: pip install 'pycompress[ort]'"
        raise ModuleNotFoundError(msg)
    return fallback
