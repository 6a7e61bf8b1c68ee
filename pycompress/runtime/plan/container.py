"""The file around a plan.

    64 bytes      magic, format, length of the description, start of the data, length of the file,
                  checksum of all that follows
    description   JSON: inputs and outputs, and the calls that build each program
    data          constants and packed weights, each on a multiple of 64 bytes

Opening one copies no weights: the programs read them where the file is mapped, and processes that
open the same file share its pages.
"""

from __future__ import annotations

import json
import mmap
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pycompress import _core
from pycompress.readers.errors import ModelError
from pycompress.runtime.notices import PlanWarning
from pycompress.runtime.plan.rebuild import Rebuilder
from pycompress.runtime.tensor_info import TensorInfo

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from pycompress.runtime.steps import Executable

MAGIC = b"PYCPLAN\n"
FORMAT = 2
"""Grows when what is written, or what an operator makes of its attributes, changes."""

_HEAD = struct.Struct("<8s5Q16x")
ALIGNMENT = 64
_SLACK = 256  # kernels may read so far behind packed weights


def is_plan(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file says that it is a plan."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - importing pathlib takes longer than this
        return file.read(len(MAGIC)) == MAGIC


def save(path: str | os.PathLike[str], executable: Executable, about: Mapping[str, Any]) -> int:
    """Write a plan file, whole or not at all, and return its bytes.

    Parameters
    ----------
    about : dict
        What JSON can hold; `load` gives it back.

    Raises
    ------
    ValueError
        When a node runs through onnx.reference: there is no program of it.
    OSError
        When the file cannot be written.
    """
    # Opening a plan, the first thing that a process does, needs none of these.
    from pathlib import Path

    from pycompress.graph.beside import beside
    from pycompress.runtime.plan.describe import Describer

    describer = Describer()
    steps = describer.executable(executable)
    whole = {"isa": _core.isa(), "about": about, "executable": steps}
    description = json.dumps(whole, separators=(",", ":")).encode()
    start = _start(len(description))
    with beside(Path(path)) as file:
        file.write(bytes(_HEAD.size) + description)
        for offset, array in describer.arrays:
            file.write(bytes(start + offset - file.tell()))
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        file.write(bytes(max(0, start - file.tell()) + _SLACK))
        size = file.tell()
        file.flush()
        checksum = _core.checksum(np.memmap(file.name, np.uint8, "r")[_HEAD.size :])
        file.seek(0)
        file.write(_HEAD.pack(MAGIC, FORMAT, len(description), start, size, checksum))
    return size


def load(path: str | os.PathLike[str], threads: int) -> tuple[Executable, dict[str, Any]]:
    """Open a plan file.

    Returns
    -------
    executable : Executable
    about : dict
        As `save` was given it, with a TensorInfo for each of its inputs and outputs.

    Raises
    ------
    ModelError
        When the file is no plan, of another format, truncated or damaged.
    OSError
        When the file cannot be read.

    Warns
    -----
    PlanWarning
        When it was made for another instruction set.
    """
    data = _mapped(path)
    description, start = _checked(path, data)
    try:
        whole = json.loads(description)
        executable = Rebuilder(data[start:], threads).executable(whole["executable"])
        made_for, about = whole["isa"], whole["about"]
        for side in ("inputs", "outputs"):
            about[side] = [TensorInfo.from_row(row) for row in about[side]]
            if len(about[side]) != len(getattr(executable, side)):
                msg = f"it describes {len(about[side])} {side}"
                raise ValueError(msg)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        msg = f"plan '{path}' is malformed: {error}"
        raise ModelError(msg) from error
    if made_for != _core.isa():
        message = (
            f"plan '{path}' was made for {made_for} and runs on {_core.isa()}: its weights are "
            "packed anew, which takes time and memory"
        )
        warnings.warn(message, PlanWarning, stacklevel=4)
    return executable, about


def _start(length: int) -> int:
    """Return where the data start behind a description of so many bytes."""
    return -(-(_HEAD.size + length) // ALIGNMENT) * ALIGNMENT


def _mapped(path: str | os.PathLike[str]) -> np.ndarray:
    with open(path, "rb") as file:  # noqa: PTH123
        size = file.seek(0, 2)
        if size < _HEAD.size:
            msg = f"plan '{path}' is truncated: it has {size} bytes"
            raise ModelError(msg)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _checked(path: str | os.PathLike[str], data: np.ndarray) -> tuple[bytes, int]:
    """Return the description, and where the data start."""
    magic, version, length, start, size, checksum = _HEAD.unpack(data[: _HEAD.size].tobytes())
    if magic != MAGIC:
        msg = f"'{path}' is not a plan file: it starts with {magic!r}"
        raise ModelError(msg)
    if version != FORMAT:
        msg = (
            f"plan '{path}' has format {version}, this version of pycompress reads {FORMAT}; "
            "save it again from the model"
        )
        raise ModelError(msg)
    if size != len(data):
        msg = f"plan '{path}' is truncated: it has {len(data)} bytes, wanted {size}"
        raise ModelError(msg)
    fits = start == _start(length) and start <= size
    if not fits or _core.checksum(data[_HEAD.size :]) != checksum:
        msg = f"plan '{path}' is damaged: its checksum does not fit"
        raise ModelError(msg)
    return data[_HEAD.size : _HEAD.size + length].tobytes(), start
