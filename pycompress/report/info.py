"""What this installation is and what it runs on."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pycompress
from pycompress.kernels.cpu import usable_cpus
from pycompress.report.report import plain


@dataclass(frozen=True)
class Info:
    """The outcome of `pycompress.info`."""

    version: str
    python: str
    machine: str
    isa: str
    available_isas: tuple[str, ...]
    cpus: int
    packages: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain dicts, lists, numbers and strings."""
        result: dict[str, Any] = plain(self)
        return result


def info() -> Info:
    """Tell versions, the instruction set in use and the ones that this CPU can run.

    Returns
    -------
    Info
    """
    return Info(
        version=pycompress.__version__,
        python=platform.python_version(),
        machine=f"{platform.machine()} {sys.platform}",
        isa=pycompress.isa(),
        available_isas=tuple(pycompress.available_isas()),
        cpus=usable_cpus(),
        packages={name: _version(name) for name in ("numpy", "onnx", "onnxruntime", "magika")},
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
