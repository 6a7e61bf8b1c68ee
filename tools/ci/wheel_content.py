"""Checks what a wheel carries: the package, its stub, one extension, the licence, nothing else.

python tools/ci/wheel_content.py WHEEL
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LARGEST = 8 << 20
"""Bytes that a wheel may have: nothing but code is in it."""


def faults(wheel: Path) -> list[str]:
    """Return a sentence for each thing that is missing or does not belong."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    package = ROOT / "pycompress"
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.pyi", "py.typed", "*.html", "*.j2")
        for path in package.rglob(pattern)
    }
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    extensions = {
        name for name in names if name.startswith("pycompress/_core.") and name.endswith(".so")
    }
    found = [f"missing: {name}" for name in sorted(wanted - names)]
    found += [f"does not belong: {name}" for name in sorted(names - wanted - metadata - extensions)]
    if len(extensions) != 1:
        found.append(f"one extension wanted, found {sorted(extensions)}")
    if not any(name.endswith("/licenses/LICENSE") for name in metadata):
        found.append("missing: the licence")
    if wheel.stat().st_size > LARGEST:
        found.append(f"{wheel.stat().st_size} bytes, more than {LARGEST}")
    return found


def main() -> int:
    """Print the faults of the wheel that the command line names; return the exit code."""
    found = faults(Path(sys.argv[1]))
    sys.stdout.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
