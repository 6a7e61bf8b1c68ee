"""Writes tests/digests.json: SHA-256 of what kernels and quantized models give on this machine.

PYTHONPATH=. python tools/digests.py

Every set of this machine must agree before anything is written. A digest changes only where a
result does, which CHANGELOG.md then says under *Numerics*.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pycompress as pc
from tests import digest_cases as cases


def main() -> int:
    """Write the digests; return 1 where the instruction sets of this machine disagree."""
    found: dict[str, str] = {}
    for isa in pc.available_isas():
        pc.use_isa(isa)
        for name, case in [*cases.kernel_cases(), *cases.model_cases()]:
            value = cases.digest(case())
            if found.setdefault(cases.key(name), value) != value:
                sys.stderr.write(f"{name}: {isa} differs from {pc.available_isas()[0]}\n")
                return 1
    cases.FILE.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"{len(found)} digests, {platform.machine()}, {pc.available_isas()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
