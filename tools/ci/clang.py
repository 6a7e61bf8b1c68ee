"""Look at every source with clang, warnings being errors; nothing is compiled.

python tools/ci/clang.py WORK     WORK is a folder to fill; pybind11 is that of this Python
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]
# Those of the last set: a file of an older one is the same source with fewer instructions.
ARM = ["clang++", "--target=aarch64-linux-gnu", "-march=armv8.2-a+dotprod+i8mm", "-std=c++17"]


def commands(work: Path) -> list[list[str]]:
    """Return the command for each file: x86-64's as CMake gives them, and AArch64's own files."""
    import pybind11

    subprocess.run(
        ["cmake", "-S", ROOT, "-B", work, "-G", "Ninja", "-DCMAKE_CXX_COMPILER=clang++",
         "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", f"-DPython_EXECUTABLE={sys.executable}",
         f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    found = []
    for entry in json.loads((work / "compile_commands.json").read_text()):
        # Without the compiler's cache, the object and its name.
        words = shlex.split(entry["command"])
        words = words[next(i for i, word in enumerate(words) if word.endswith("clang++")) :]
        at = words.index("-o")
        found.append([word for word in words[:at] + words[at + 2 :] if word != "-c"])
    arm = [*ROOT.glob("csrc/*/neon*.cpp"), *ROOT.glob("csrc/*/*/neon*.cpp")]
    arm += ROOT.glob("csrc/dispatch/*.cpp")
    return found + [[*ARM, "-O3", f"-I{ROOT / 'csrc'}", str(path)] for path in arm]


def main() -> int:
    """Return 0 when clang has nothing to say."""
    every = commands(Path(sys.argv[1]))

    def look(command: list[str]) -> str:
        done = subprocess.run([*command, *WARNINGS], capture_output=True, text=True, check=False)
        return done.stderr if done.returncode or done.stderr else ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = [text for text in pool.map(look, every) if text]
    sys.stdout.write("".join(said) + f"{len(every)} files, {len(said)} with warnings\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
