"""Every row of the fault matrix has a test that bears its name, in its own name or docstring.

E enqueue, C claim, S submit, P poll, D download, F file, W callback, X everything at once.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROWS = {"E": 7, "C": 5, "S": 18, "P": 8, "D": 9, "F": 7, "W": 9, "X": 7}
ROW = re.compile(r"(?<![A-Za-z0-9])[ECSPDFWX]\d+(?!\d)")


def rows_of(test: ast.FunctionDef) -> set[str]:
    """The rows that a test names."""
    words = f"{test.name.replace('_', ' ')} {ast.get_docstring(test) or ''}"
    return set(ROW.findall(words))


@cache
def named_rows() -> dict[str, list[str]]:
    """Row → tests that name it."""
    found: dict[str, list[str]] = {}
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in rows_of(node):
                    found.setdefault(row, []).append(f"{file.stem}::{node.name}")
    return found


@pytest.mark.parametrize(
    "row", [f"{letter}{number}" for letter, most in ROWS.items() for number in range(1, most + 1)]
)
def test_row_has_a_test(row: str) -> None:
    """Somebody who reads the matrix finds the test of each row."""
    assert row in named_rows()
