"""Internal. Add a class to a module without losing what is there."""

import ast
from collections.abc import Collection

from django.core.management.base import CommandError


def add_to_module(text: str, imports: Collection[str], code: str, *, name: str) -> str:
    """Return the module with imports after its own, and code at its end.

    Args:
        text: of the module.
        imports: lines that it needs.
        code: what comes at the end.
        name: of the file, for messages.

    Raises:
        CommandError: it is not Python.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise CommandError(f"{name} cannot be read: {error}. Nothing was written.") from None
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines()
    line = _end_of_imports(tree)
    missing = [statement for statement in imports if statement not in lines]
    if missing and line and isinstance(tree.body[0], ast.Expr) and line == tree.body[0].end_lineno:
        missing = ["", *missing]  # between the docstring and the first import
    head, tail = lines[:line], lines[line:]
    joined = [*head, *missing, *tail]
    while joined and not joined[-1].strip():
        joined.pop()
    gap = ["", ""] if joined else []
    return newline.join([*joined, *gap, *code.splitlines(), ""])


def _end_of_imports(tree: ast.Module) -> int:
    """Return the last line of the imports at the beginning, or of the docstring, or 0."""
    end = 0
    for number, node in enumerate(tree.body):
        is_docstring = number == 0 and isinstance(node, ast.Expr)
        if not (is_docstring or isinstance(node, ast.Import | ast.ImportFrom)):
            break
        end = node.end_lineno or 0
    return end
