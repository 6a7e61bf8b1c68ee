"""A measure of the caller's, named on the command line."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pycompress.convert import PlanError

if TYPE_CHECKING:
    from pycompress.convert import Metric


def load_metric(name: str) -> Metric:
    """Return the function that ``FILE.py:FUNCTION`` names; the file is run as a module.

    Raises
    ------
    PlanError
        The name has another form, there is no such file, or it holds no such function.
    """
    path, colon, function = name.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        msg = f"metric: found '{name}', wanted FILE.py:FUNCTION"
        raise PlanError(msg)
    if not Path(path).is_file():
        msg = f"metric: there is no file '{path}'"
        raise PlanError(msg)
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        msg = f"metric: '{path}' can't be loaded as a module"
        raise PlanError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        msg = f"metric: '{path}' has no function '{function}'"
        raise PlanError(msg)
    return cast("Metric", found)
