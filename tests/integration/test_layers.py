"""Imports point one way: each module imports only from the layers above its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_docraptor

pytestmark = pytest.mark.once

ROOT = Path(django_docraptor.__file__).parent
DESIGN = ROOT.parent / "docs" / "explanation" / "design.md"
# The rows of the design's table, top first. A name is a module or a package of the app. The package
# itself is in none: it imports the public names from every layer, when they are first used.
ROWS: list[set[str]] = [
    {
        "exceptions",
        "signals",
        "states",
        "docraptor_api",
        "time_zones",
        "durations",
        "secret_text",
        "lazy_names",
        "advice",
        "static_urls",
        "caching",
        "csv_text",
        "setting_values",
    },
    {"conf", "payloads", "explanations", "billing", "instrumentation"},
    {"account_settings"},
    {
        "client",
        "storage",
        "names",
        "callback_urls",
        "spool",
        "assets",
        "runners",
        "health_reports",
        "erasure_reports",
    },
    {"preflight", "page_urls", "share_urls"},
    {"models"},
    {"registry"},
    {"budget_limits", "keywords"},
    {
        "health",
        "estimates",
        "discarded_files",
        "archives",
        "rechecks",
        "migrated",
        "recent_failures",
        "queue_measurements",
        "usage",
        "outcomes",
    },
    {"job_specs", "metrics", "health_checks", "deletions"},
    {"lifecycle", "retention"},
    {"wakeups"},
    {"tasks", "django_tasks", "stored_jobs"},
    {"shortcuts"},
    {"documents", "waiting", "hosted", "bulk_retry", "sharing", "erasure"},
    {"asynchronous", "responses", "groups"},
    {"mail", "previews", "diagnosis"},
    {"views", "admin", "checks", "templatetags", "management"},
    {"urls", "apps"},
    {"testing"},
    {"pytest_plugin"},
]
ROW = {name: number for number, row in enumerate(ROWS) for name in row}
FILES = sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)
SANDBOX_FILES = [path for path in FILES if "sandbox" in path.relative_to(ROOT).parts]
APP_FILES = [path for path in FILES if path not in (ROOT / "__init__.py", *SANDBOX_FILES)]


def file_id(path: Path) -> str:
    """Return the file's path as a test ID."""
    return str(path.relative_to(ROOT))


def layer_of(path: Path) -> str:
    """Return the module or package to which a file belongs."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_modules(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every module that a file imports, at the top or inside a function, with its level."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module or ''}.{alias.name}", node.level


def internal_imports(path: Path) -> Iterator[str]:
    """Yield the modules and packages of this app that a file imports."""
    for module, _level in imported_modules(path):
        first, *rest = module.split(".")
        if first == "django_docraptor" and rest != ["__version__"]:
            yield rest[0] if rest and rest[0] in (*ROW, "sandbox") else "__init__"


def external_imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {module.split(".")[0] for module, level in imported_modules(path) if not level}


def test_every_module_has_a_layer() -> None:
    """The table lists every module of the app, and no other."""
    assert {layer_of(path) for path in APP_FILES} == set(ROW)


def test_design_page_shows_the_layers() -> None:
    """The table of layers in the documentation is the one that is enforced here."""
    table = DESIGN.read_text().partition("## Layers\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", table, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == ROWS


@pytest.mark.parametrize("path", APP_FILES, ids=file_id)
def test_imports_point_up(path: Path) -> None:
    """A module imports from layers above it, or from its own package."""
    here = layer_of(path)
    wrong = {
        name for name in internal_imports(path) if name != here and ROW.get(name, 99) >= ROW[here]
    }
    # What projects test with runs the sandbox for them, as they could themselves; a preview needs
    # its renderer alone, in this process.
    assert wrong - ({"sandbox"} if here in ("testing", "previews") else set()) == set()


@pytest.mark.parametrize("path", FILES, ids=file_id)
def test_imports_are_absolute(path: Path) -> None:
    """There are no relative imports."""
    assert [module for module, level in imported_modules(path) if level] == []


@pytest.mark.parametrize("path", SANDBOX_FILES, ids=file_id)
def test_sandbox_does_not_import_the_app(path: Path) -> None:
    """The sandbox and the app communicate over HTTP only."""
    of_us = {
        module for module, _ in imported_modules(path) if module.split(".")[0] == "django_docraptor"
    }
    assert {
        module for module in of_us if not module.startswith("django_docraptor.sandbox")
    } == set()
    assert "django" not in external_imports(path)


@pytest.mark.parametrize("path", APP_FILES, ids=file_id)
def test_only_the_transport_knows_queues(path: Path) -> None:
    """A queue is imported by its runner, by the choice of a runner, and by the check of both."""
    layer = layer_of(path)
    if layer not in ("tasks", "runners", "checks"):
        assert not external_imports(path) & {"celery", "kombu"}
    if layer not in ("django_tasks", "runners"):
        assert "django_tasks" not in external_imports(path)
        assert not [name for name, _ in imported_modules(path) if name.startswith("django.tasks")]


@pytest.mark.parametrize("path", FILES, ids=file_id)
def test_only_the_client_imports_http_libraries(path: Path) -> None:
    """Calls to DocRaptor are made by the client only."""
    if layer_of(path) not in ("client", "sandbox"):
        assert not external_imports(path) & {"requests", "urllib3", "httpx", "http"}


def test_client_does_not_import_django() -> None:
    """The client could serve a program without Django's ORM."""
    files = [path for path in APP_FILES if layer_of(path) == "client"]
    assert files
    for path in files:
        assert not {module for module, _ in imported_modules(path) if module.startswith("django.")}


def test_imports_inside_functions_are_found(tmp_path) -> None:
    """Imports inside of functions are found, and so are relative ones."""
    file = tmp_path / "module.py"
    file.write_text("def f():\n    import celery.app\n    from . import models\n")
    assert list(imported_modules(file)) == [("celery.app", 0), (".models", 1)]


@pytest.mark.parametrize("path", APP_FILES, ids=file_id)
def test_only_the_clock_uses_the_now_of_django(path: Path) -> None:
    """Django's Now is the session's local time on some databases; models.clock has ours."""
    if file_id(path) != "models/clock.py":
        assert "django.db.models.functions.Now" not in {
            module for module, _ in imported_modules(path)
        }
