"""The machine that was measured: what its CPU is called, its caches, and what runs on it."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pycompress
from pycompress.kernels.cpu import usable_cpus

DEFAULT_CACHES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 8 << 20}
"""For a system that does not tell."""

_SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")
_SYSCTL = {"L1": "hw.l1dcachesize", "L2": "hw.l2cachesize", "L3": "hw.l3cachesize"}


@dataclass(frozen=True)
class Machine:
    """Where figures come from.

    Attributes
    ----------
    cpu, system : str
        Such as "AMD EPYC" and "x86_64 linux".
    cpus : int
        That this process may use.
    isas : tuple of str
        Instruction sets that have kernels, best first.
    caches : dict
        Bytes of the data caches, "L1" to "L3"; a level that the CPU has not is missing.
    versions : dict
        Of this package, Python and NumPy.
    """

    cpu: str
    system: str
    cpus: int
    isas: tuple[str, ...]
    caches: dict[str, int]
    versions: dict[str, str]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Machine:
        """Read what ``dataclasses.asdict`` wrote."""
        return cls(**{**data, "isas": tuple(data["isas"])})

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.cpu} ({self.system}, {self.cpus} CPUs); {versions}"


def this_machine() -> Machine:
    """Describe the machine that this process runs on.

    Returns
    -------
    Machine
    """
    versions = {"pycompress": pycompress.__version__, "Python": platform.python_version()}
    versions |= {name: version(name) for name in ("numpy", "onnxruntime") if find_spec(name)}
    return Machine(
        cpu=_cpu_name(),
        system=f"{platform.machine()} {sys.platform}",
        cpus=usable_cpus(),
        isas=tuple(pycompress.available_isas()),
        caches=_caches(),
        versions=versions,
    )


def _cpu_name() -> str:
    """Return the name that the system knows, or what an ARM CPU says of its maker and part."""
    text = _text(Path("/proc/cpuinfo"))
    named = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(\S.*)$", text, re.MULTILINE)
    if named:
        return named[1]
    parts = dict(re.findall(r"^CPU (implementer|part)\s*:\s*(\w+)", text, re.MULTILINE))
    if parts:
        return f"ARM implementer {parts.get('implementer')} part {parts.get('part')}"
    return _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()


def _caches() -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in sorted(_SYSFS.glob("index*")):
        size = re.match(r"(\d+)([KM]?)", _text(folder / "size"))
        if size and _text(folder / "type") != "Instruction":
            unit = {"": 1, "K": 1 << 10, "M": 1 << 20}[size[2]]
            found[f"L{_text(folder / 'level')}"] = int(size[1]) * unit
    if not found:
        sizes = {level: _sysctl(key) for level, key in _SYSCTL.items()}
        found = {level: int(size) for level, size in sizes.items() if size and int(size) > 0}
    return {level: found[level] for level in DEFAULT_CACHES if level in found} or DEFAULT_CACHES


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _sysctl(key: str) -> str:
    """Return what macOS answers, or nothing elsewhere."""
    if sys.platform != "darwin":
        return ""
    done = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, check=False)
    return done.stdout.strip()
