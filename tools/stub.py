"""Writes pycompress/_core.pyi from the built extension, or checks that it has not drifted.

python tools/stub.py           writes the stub
python tools/stub.py --check   exits 1 and prints the difference when they differ
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pycompress

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "pycompress" / "_core.pyi"


class _Parameters(ast.NodeTransformer):
    """Gives the bare containers of pybind11's signatures the parameters that mypy asks for."""

    WANTED = {  # noqa: RUF012
        "list": "list[typing.Any]",
        "dict": "dict[typing.Any, typing.Any]",
        "set": "set[typing.Any]",
        "tuple": "tuple[typing.Any, ...]",
    }

    def visit_Subscript(self, node: ast.Subscript) -> ast.Subscript:
        node.slice = self.visit(node.slice)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(self.WANTED.get(node.id, node.id), mode="eval").body


def generate() -> str:
    """Return the stub of the extension that this interpreter imports, formatted."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("pybind11_stubgen", "pycompress._core", "--exit-code", "--output-dir", folder)
        _run(*command, cwd=folder)
        stub = Path(folder) / "pycompress" / "_core.pyi"
        stub.write_text(ast.unparse(_Parameters().visit(ast.parse(stub.read_text()))))
        options = ("--config", str(ROOT / "pyproject.toml"), str(stub))
        _run("ruff", "check", "--quiet", "--select", "I,F401,UP", "--fix", *options)
        _run("ruff", "format", "--quiet", *options)
        return stub.read_text()


def _run(module: str, *arguments: str, cwd: str | Path = ROOT) -> None:
    """Run a module as a command that imports the same package as this interpreter."""
    home = Path(pycompress.__file__).resolve().parent.parent
    command = [sys.executable, "-m", module, *arguments]
    subprocess.run(command, check=True, cwd=cwd, env=os.environ | {"PYTHONPATH": str(home)})


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    fresh = generate()
    if not check:
        STUB.write_text(fresh)
        return 0
    committed = STUB.read_text() if STUB.exists() else ""
    difference = difflib.unified_diff(
        committed.splitlines(), fresh.splitlines(), "committed", "of the extension", lineterm=""
    )
    lines = list(difference)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
