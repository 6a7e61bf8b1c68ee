"""Runs the tests against the installed package, unless this checkout was built in place.

``python -m pytest`` puts the working directory first on the path, where the package folder of a
checkout without its extension would hide the one that pip installed.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).parent

if not any((ROOT / "pycompress" / f"_core{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
