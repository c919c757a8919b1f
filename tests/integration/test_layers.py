"""Imports point one way: each module knows only the rows above its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_docraptor

ROOT = Path(django_docraptor.__file__).parent
# The rows of the design's table, top first. A name is a module or a package of the app.
ROWS: list[set[str]] = [
    {"__init__"},
    {"exceptions", "signals", "states", "vocabulary"},
    {"conf", "payloads", "broker"},
    {"client", "storage", "callbacks", "spool", "assets"},
    {"preflight"},
    {"models"},
    {"registry", "health", "orders"},
    {"lifecycle", "retention"},
    {"tasks"},
    {"shortcuts"},
    {"documents", "waiting", "hosted"},
    {"asynchronous", "responses"},
    {"mail"},
    {"views", "admin", "checks", "templatetags", "management", "testing"},
    {"urls", "apps"},
]
ROW = {name: number for number, row in enumerate(ROWS) for name in row}
FILES = sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)
APP_FILES = [path for path in FILES if "sandbox" not in path.relative_to(ROOT).parts]
SANDBOX_FILES = [path for path in FILES if path not in APP_FILES]


def name_of(path: Path) -> str:
    """The file as a test's id."""
    return str(path.relative_to(ROOT))


def unit(path: Path) -> str:
    """The row's entry to which a file belongs."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, at the top or inside a function, with its level."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module or ''}.{alias.name}", node.level


def ours(path: Path) -> Iterator[str]:
    """The entries of our own table that a file imports."""
    for module, _level in imports(path):
        first, *rest = module.split(".")
        if first == "django_docraptor":
            yield rest[0] if rest and rest[0] in (*ROW, "sandbox") else "__init__"


def foreign(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {module.split(".")[0] for module, level in imports(path) if not level}


def test_table_knows_every_module() -> None:
    """A new module must be given its row."""
    assert {unit(path) for path in APP_FILES} <= set(ROW)


@pytest.mark.parametrize("path", APP_FILES, ids=name_of)
def test_imports_point_up(path: Path) -> None:
    """A module imports from rows above it, or from its own package."""
    here = unit(path)
    wrong = {name for name in ours(path) if name != here and ROW.get(name, 99) >= ROW[here]}
    assert wrong == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_are_absolute(path: Path) -> None:
    """There are no relative imports."""
    assert [module for module, level in imports(path) if level] == []


@pytest.mark.parametrize("path", SANDBOX_FILES, ids=name_of)
def test_sandbox_knows_nothing_of_the_app(path: Path) -> None:
    """The sandbox meets the app only over HTTP."""
    of_us = {module for module, _ in imports(path) if module.split(".")[0] == "django_docraptor"}
    assert {
        module for module in of_us if not module.startswith("django_docraptor.sandbox")
    } == set()
    assert "django" not in foreign(path)


@pytest.mark.parametrize("path", APP_FILES, ids=name_of)
def test_only_some_know_celery(path: Path) -> None:
    """Celery is the business of tasks, and of the check of its set-up."""
    if unit(path) not in ("tasks", "checks"):
        assert not foreign(path) & {"celery", "kombu"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_client_knows_http(path: Path) -> None:
    """Calls to DocRaptor leave through the client alone."""
    if unit(path) not in ("client", "sandbox"):
        assert not foreign(path) & {"requests", "urllib3", "httpx", "http"}


def test_client_knows_no_database() -> None:
    """The client could serve a program without Django's ORM."""
    files = [path for path in APP_FILES if unit(path) == "client"]
    assert files
    for path in files:
        assert not {module for module, _ in imports(path) if module.startswith("django.")}


def test_imports_sees_function_level(tmp_path) -> None:
    """The reader of imports finds those inside functions, relative ones too."""
    file = tmp_path / "module.py"
    file.write_text("def f():\n    import celery.app\n    from . import models\n")
    assert list(imports(file)) == [("celery.app", 0), (".models", 1)]
