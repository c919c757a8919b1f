"""Tests by the codes of their markers, read from the source: `@pytest.mark.fault("S11")`."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def names_by_code(marker: str) -> dict[str, list[str]]:
    """Return the names of the tests that have a code in a marker, by code."""
    found: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for code in marker_codes(node, marker):
                    names = found.setdefault(code, [])
                    if node.name not in names:
                        names.append(node.name)
    return found


def marker_codes(test: ast.FunctionDef, marker: str) -> Iterator[str]:
    """Yield the arguments of a test's markers with this name."""
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(f".{marker}"):
            yield from (ast.literal_eval(argument) for argument in decorator.args)
