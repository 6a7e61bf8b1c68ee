"""What the compiler made of the kernels: looked up in a build tree with nm and objdump.

The build tree is the folder that PYCOMPRESS_BUILD names, or the one that tools/build_inplace.sh
leaves in the checkout; without one there is nothing to look at, and the tests are skipped.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.codebase.test_sources import ROOT, kernel_files

TREE = Path(os.environ.get("PYCOMPRESS_BUILD", ROOT / "build")) / "CMakeFiles" / "_core.dir"

pytestmark = [
    pytest.mark.skipif(not TREE.is_dir(), reason="no build tree: set PYCOMPRESS_BUILD"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="no binutils"),
]

# What a kernel may call: memory and mathematics of the C library, which suit every CPU.
CALLS = re.compile(r"_GLOBAL_OFFSET_TABLE_|mem(cpy|set|move)|[a-z0-9]+f?")
PRODUCT = re.compile(
    r"(?:\{vex\} )?v?pdpbusds?|v?pmaddubsw|v?pmaddwd|vdpbf16ps|v?fmadd\w+|u?s?dot|u?s?mmla"
    r"|[su]mlal2?|fmla"
)


def objects():
    """Objects of the kernel files that this architecture builds."""
    found = {path: TREE / f"{path.relative_to(ROOT)}.o" for path in kernel_files()}
    return [pytest.param(o, id=f"{p.parent.name}/{p.name}") for p, o in found.items() if o.exists()]


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def functions(path):
    """Name and instructions, (address, text), of each function of an object."""
    listing = tool("objdump", "-d", "-C", "--no-show-raw-insn", str(path))
    for block in re.split(r"\n(?=[0-9a-f]+ <)", listing):
        head = re.match(r"[0-9a-f]+ <(.*)>:\n", block)
        if head:
            lines = re.findall(r"^\s*([0-9a-f]+):\s+(.*?)\s*$", block, re.MULTILINE)
            yield head[1], [(int(address, 16), text) for address, text in lines]


def innermost_loops(instructions):
    """Instructions between a backward jump and its target, for the jumps around no other."""
    spans = []
    for address, text in instructions:
        jump = re.match(r"(?:j\w+|b(?:\.\w+)?|cbn?z\s+\w+,|tbn?z\s+\S+ \S+)\s+([0-9a-f]+) <", text)
        if jump and int(jump[1], 16) <= address:
            spans.append((int(jump[1], 16), address))
    for first, last in spans:
        if not any((a, z) != (first, last) and first <= a and z <= last for a, z in spans):
            yield [text for address, text in instructions if first <= address <= last]


def touches_stack(text, frame):
    return "(%rsp" in text or "[sp" in text or (frame and "(%rbp" in text)


def test_every_kernel_file_was_found():
    assert any(not path.stem.startswith("scalar") for path in kernel_files())
    assert objects()


@pytest.mark.parametrize("path", objects())
def test_an_object_defines_its_table_and_nothing_else(path):
    """A weak or shared function compiled for one CPU may be the one that another CPU runs."""
    symbols = [line.split() for line in tool("nm", str(path)).splitlines()]
    family = path.parent.name
    defined = [(kind, name) for *_, kind, name in symbols if kind.isupper() and kind not in "UN"]
    assert len(defined) == 1, defined
    kind, name = defined[0]
    assert kind in "RD"
    assert family in name
    assert [name for *_, kind, name in symbols if kind in "wvuW"] == []
    calls = [name for *_, kind, name in symbols if kind == "U"]
    assert [name for name in calls if not CALLS.fullmatch(name)] == []


@pytest.mark.parametrize("path", objects())
def test_loading_an_object_runs_no_code_of_it(path):
    """A static initialiser would run before anybody asked what this CPU can do."""
    assert not re.search(r"\.(init_array|ctors)", tool("objdump", "-h", str(path)))


@pytest.mark.parametrize(
    "path", [o for o in objects() if re.match("(gemm|int4|bf16|limits)/(?!scalar)", o.id)]
)
def test_inner_loops_of_tiles_stay_in_registers(path):
    """A tile whose accumulators live in memory is many times slower, and as right as ever."""
    products = 0
    for name, instructions in functions(path):
        if not re.search("gemm_tile_|peak_", name):
            continue
        frame = any(re.match(r"mov\s+%rsp,%rbp", text) for _, text in instructions)
        for loop in innermost_loops(instructions):
            if any(PRODUCT.match(text) for text in loop):
                products += 1
                spills = [text for text in loop if touches_stack(text, frame)]
                assert spills == [], f"{name}: {spills}"
    assert products > 0
