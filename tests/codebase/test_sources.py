"""The sources: their length, who may include whom, and no path of anybody's machine."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400
SUFFIXES = {".py", ".pyi", ".cpp", ".h", ".sh"}
FOLDERS = ("csrc", "pycompress", "tests", "bench", "tools")

# Who may include whom: a file of a folder includes files of the folders in its row, and of its own.
MAY_INCLUDE = {
    "kernels.h": set(),
    "simd": set(),
    "dispatch": {"kernels.h"},
    "threads": set(),
    "onnx": set(),
    "pack": set(),
    "gemm": {"kernels.h", "threads", "simd", "dispatch", "pack"},
    "quantize": {"kernels.h", "threads", "simd", "dispatch"},
    "pointwise": {"kernels.h", "threads", "simd", "dispatch"},
    "limits": {"threads", "dispatch"},
    "conv": {"kernels.h", "threads", "simd", "dispatch", "gemm", "bf16"},
    "int4": {"kernels.h", "threads", "dispatch", "gemm"},
    "bf16": {"kernels.h", "threads", "dispatch", "gemm"},
    "engine": {
        "kernels.h",
        "threads",
        "dispatch",
        "gemm",
        "quantize",
        "pointwise",
        "conv",
        "int4",
        "bf16",
    },
}
INTRINSICS = {"immintrin.h", "arm_neon.h", "stddef.h", "stdint.h", "string.h"}


def sources(*folders):
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and path.is_file()
    )


def kernel_files():
    """Sources that CMakeLists.txt compiles with flags of an instruction set."""
    text = (ROOT / "CMakeLists.txt").read_text()
    calls = re.findall(r'add_kernels\("[^"]*"\s+([^)]*)\)', text)
    return sorted({ROOT / name for call in calls for name in call.split()})


def includes(path):
    return re.findall(r'^\s*#\s*include\s+([<"][^>"]+)[>"]', path.read_text(), re.MULTILINE)


def part(name):
    """The folder of csrc that a path below it belongs to."""
    return Path(name).parts[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_file_is_one_thing(folder):
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in sources(folder)
        if path.name != "_core.pyi"
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


@pytest.mark.parametrize("owner", sorted(MAY_INCLUDE))
def test_includes_point_downwards(owner):
    allowed = MAY_INCLUDE[owner] | {owner}
    files = [ROOT / "csrc" / owner] if "." in owner else sources(f"csrc/{owner}")
    upward = [
        f"{path.relative_to(ROOT)} includes {name[1:]}"
        for path in files
        for name in includes(path)
        if name.startswith('"') and part(name[1:]) not in allowed
    ]
    assert upward == []


def test_only_bindings_see_pybind11():
    outside = [
        str(path.relative_to(ROOT))
        for path in sources("csrc")
        if "bindings" not in path.parts and any("pybind11" in name for name in includes(path))
    ]
    assert outside == []


@pytest.mark.parametrize("path", kernel_files(), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_kernels_include_no_stl(path):
    """One STL header under -mavx512f emits weak symbols that crash an older CPU."""
    seen, queue = set(), [path]
    while queue:
        current = queue.pop()
        for name in includes(current):
            if name.startswith("<"):
                assert name[1:] in INTRINSICS, f"{current.relative_to(ROOT)}: {name}>"
                continue
            header = ROOT / "csrc" / name[1:]
            if header not in seen:
                seen.add(header)
                queue.append(header)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_path_of_a_machine(folder):
    pattern = re.compile(r"""(?:^|[\s"'(=])/(?:home|root|work|Users)/""", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT)) for path in sources(folder) if pattern.search(path.read_text())
    ]
    assert found == []
