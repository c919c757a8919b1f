"""The pages of the documentation, and their blocks of code."""

import ast
import builtins
import re
import symtable
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "example_project" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^ *```(\w[\w+]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        page: the page, relative to the repository.
        line: the line of the page at which the code begins.
        code: the code, without the page's indentation.
    """

    page: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that the block is, by the comment in its first line; blank if it says none."""
        found = re.match(r"# ([\w/]+\.py)", self.code)
        return found[1] if found else ""

    def parse(self) -> ast.Module:
        """Return the syntax tree: of statements, or of entries of a dict.

        Raises:
            SyntaxError: it is neither.
        """
        try:
            return ast.parse(self.code, str(self))
        except SyntaxError:
            return ast.parse(f"{{\n{self.code}\n}}", str(self))

    def free_names(self) -> set[str]:
        """Return the names that the block uses and does not define."""
        table = symtable.symtable(ast.unparse(self.parse()), str(self), "exec")
        used, defined = set(), {name for name in table.get_identifiers() if _is_set(table, name)}
        for scope in _scopes(table):
            used |= {
                symbol.get_name()
                for symbol in scope.get_symbols()
                if symbol.is_referenced() and (symbol.is_global() or scope is table)
            }
        return used - defined - set(dir(builtins))


def _is_set(table: symtable.SymbolTable, name: str) -> bool:
    symbol = table.lookup(name)
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def blocks(language: str) -> list[Block]:
    """Return all blocks of a language."""
    return [
        Block(
            page=str(page.relative_to(ROOT)),
            line=text.count("\n", 0, found.start(2)) + 1,
            code=textwrap.dedent(found[2]),
        )
        for page in PAGES
        for text in [page.read_text()]
        for found in BLOCK.finditer(text)
        if found[1] == language
    ]


def prose(page: Path) -> str:
    """Return the text of a page without its blocks of code."""
    return FENCE.sub("", page.read_text())
