"""The public names: each can be found, and says what it takes, what it gives and how it fails."""

import ast
import inspect
import pkgutil
import re

import pytest

import pycompress


def section(doc, title):
    """Text below a numpydoc heading."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def public():
    return sorted(name for name in pycompress.__all__ if not name.startswith("__"))


def methods(kind):
    return {
        name: member
        for name, member in vars(kind).items()
        if not name.startswith("_") and callable(getattr(kind, name))
    }


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize("name", public())
def test_public_names_are_documented(name):
    thing = getattr(pycompress, name)
    if not callable(thing):
        pytest.skip("a module or a constant")
    doc = inspect.getdoc(thing)
    assert doc, f"{name} has no docstring"
    if inspect.isclass(thing):
        for method, member in methods(thing).items():
            assert inspect.getdoc(getattr(member, "__func__", member)), f"{name}.{method}"
        return
    described = section(doc, "Parameters")
    for parameter in parameters(thing):
        assert re.search(rf"\b{parameter}\b", described), f"{name}: {parameter} is not described"
    returned = inspect.signature(thing).return_annotation
    if returned not in ("None", None, inspect.Signature.empty):
        assert re.search(r"^(Returns|Yields)\n-", doc, re.MULTILINE), f"{name}: Returns is missing"


def test_no_public_name_is_a_submodule():
    """Importing the submodule would put the module where the name was."""
    submodules = {module.name for module in pkgutil.iter_modules(pycompress.__path__)}
    assert submodules.isdisjoint(pycompress.__all__)


def test_type_checkers_see_the_names_that_exist():
    """The block under TYPE_CHECKING and the table of lazy names say the same."""
    tree = ast.parse(inspect.getsource(pycompress))
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: f"pycompress.{module}" for name, module in pycompress._HOME.items()}
