"""Packages whose names are imported when they are first used."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from django_docraptor.lazy_names import import_on_use

PACKAGES = ["django_docraptor.client", "django_docraptor.lifecycle", "django_docraptor.preflight"]


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_see_the_same_names(name: str) -> None:
    """What is imported for type checkers, and what on use, are the same objects."""
    package = import_module(name)
    assert package.__file__ is not None
    seen = {
        alias.name: node.module or ""
        for node in ast.walk(ast.parse(Path(package.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{name}.")
        for alias in node.names
    }
    assert set(seen) == set(package.__all__)
    for exported, module in seen.items():
        assert getattr(package, exported) is getattr(import_module(module), exported)


def test_unknown_name_is_an_error() -> None:
    """A name that no module has is an AttributeError that names the package."""
    get = import_on_use("package", {"module": ["known"]})
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'unknown'"):
        get("unknown")
