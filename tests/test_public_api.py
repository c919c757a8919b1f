"""The public API: what the package exports, its reference page, and what the users' docs import."""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_docraptor
from django_docraptor import instrumentation, mail, sandbox, testing

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "django_docraptor"
REFERENCE = ROOT / "docs" / "reference"
# Modules that a project may import, and what each of them exports.
PUBLIC = {
    "django_docraptor": django_docraptor.__all__,
    "django_docraptor.instrumentation": instrumentation.__all__,
    "django_docraptor.mail": mail.__all__,
    "django_docraptor.sandbox": sandbox.__all__,
    "django_docraptor.testing": testing.__all__,
}
# The module that defines each name.
MODULES = {name: module for module, names in django_docraptor._EXPORTS.items() for name in names}
# Public without being imported: Django, django-health-check or METRICS load them by their names.
LOADED_BY_NAME = {"urls", "templatetags", "templatetags.docraptor", "health_checks"}
LOADED_BY_NAME |= {f"metrics.{name}" for name in ("opentelemetry", "prometheus", "statsd")}
USERS_PAGES = [
    ROOT / "README.md",
    ROOT / "example_project" / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted(REFERENCE.glob("*.md")),
]
EXAMPLE_FILES = sorted((ROOT / "example_project").rglob("*.py"))
CODE_BLOCK = re.compile(r"^```(?:python|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)
IMPORT = re.compile(
    r"""
    ^[ +]* (?: from \s (django_docraptor[\w.]*) \s import \s ( \([^)]*\) | [^\n]* )
             | import \s (django_docraptor[\w.]*) )
    """,
    re.MULTILINE | re.VERBOSE,
)
# Rows of the reference page: | `name` | meaning | [title](page#anchor) |
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| \[[^]]+\]\(([^)#]+)[^)]*\) \|$", re.MULTILINE)


def imports(code: str) -> Iterator[tuple[str, str]]:
    """Find what a text imports from the package: module and name; a module alone has no name."""
    for module, names, alone in IMPORT.findall(code):
        if alone:
            yield alone, ""
        for name in re.sub(r"#[^\n]*|[()+]", " ", names).split(","):
            if name.strip():
                yield module, name.split()[0]


def is_public(module: str, name: str) -> bool:
    """Return whether a project may import a name from a module, or import the module."""
    is_listed = module in PUBLIC and name in ("", *PUBLIC[module])
    return is_listed or f"{module}.{name}" in PUBLIC


def modules() -> list[str]:
    """Return the package's modules, relative to it, without migrations and commands."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    names = {".".join(path.parts).removesuffix("__init__").removesuffix(".") for path in paths}
    loaded = ("migrations", "management", "sandbox.")
    return sorted(name for name in names if name and not name.startswith(loaded))


# --- the package itself ----------------------------------------------------------------------


def run_python(code: str) -> str:
    """Run code in a new process without settings, and return its output."""
    environment = {key: value for key, value in os.environ.items() if "DJANGO" not in key}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing() -> None:
    """Neither settings, models, Celery nor requests are loaded, and of ours only the lazy names."""
    code = "import sys, django_docraptor; print(django_docraptor.__version__, *sys.modules)"
    version, *loaded = run_python(code).split()
    assert version == django_docraptor.__version__
    assert not {"django", "celery", "requests"} & {name.partition(".")[0] for name in loaded}
    ours = {name for name in loaded if name.startswith("django_docraptor")}
    assert ours == {"django_docraptor", "django_docraptor.lazy_names"}


def test_dir_loads_nothing() -> None:
    """Listing the names, as an editor's completion does, does not import them."""
    code = "import sys, django_docraptor as d; print(*dir(d)); print('django' in sys.modules)"
    names, is_loaded = run_python(code).splitlines()
    assert set(django_docraptor.__all__) < set(names.split())
    assert is_loaded == "False"


@pytest.mark.parametrize("name", django_docraptor.__all__)
def test_name_is_exported(name: str) -> None:
    """Each name is imported on access, from the module that defines it, and then kept."""
    vars(django_docraptor).pop(name, None)
    value = getattr(django_docraptor, name)
    home = importlib.import_module(f"django_docraptor.{MODULES[name]}")
    assert value is getattr(home, name)
    assert vars(django_docraptor)[name] is value


def test_unknown_name() -> None:
    """Any other name is an AttributeError, as for every module."""
    with pytest.raises(AttributeError, match="module 'django_docraptor' has no attribute 'enqeue'"):
        django_docraptor.enqeue  # noqa: B018 - the access is under test


def test_type_checkers_see_the_same_names() -> None:
    """What is imported for type checkers, what is imported on access and ``__all__`` agree."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django_docraptor")
        for alias in node.names
        if alias.name != "import_on_use"
    }
    assert seen == {(f"django_docraptor.{v}", k) for k, v in MODULES.items()}
    assert {name for _, name in seen} == set(django_docraptor.__all__)
    assert len(django_docraptor.__all__) == len(set(django_docraptor.__all__))


# --- its documentation -----------------------------------------------------------------------


def test_reference_page_lists_the_exports() -> None:
    """The reference page has one row for each exported name, and no other rows."""
    text = (REFERENCE / "api.md").read_text()
    assert sorted(name for name, _page in ROW.findall(text)) == sorted(django_docraptor.__all__)
    assert len(ROW.findall(text)) == len(re.findall(r"^\| `", text, re.MULTILINE))


@pytest.mark.parametrize("name", django_docraptor.__all__)
def test_name_is_documented(name: str) -> None:
    """The page that the reference names for it tells something of it."""
    pages = dict(ROW.findall((REFERENCE / "api.md").read_text()))
    assert re.search(rf"\b{name}\b", (REFERENCE / pages[name]).read_text())


@pytest.mark.parametrize("page", USERS_PAGES, ids=lambda page: page.name)
def test_users_pages_import_no_internals(page: Path) -> None:
    """Code for users imports only what is public."""
    blocks = CODE_BLOCK.findall(page.read_text())
    assert [found for block in blocks for found in imports(block) if not is_public(*found)] == []


@pytest.mark.parametrize("path", EXAMPLE_FILES, ids=lambda path: path.name)
def test_example_project_imports_no_internals(path: Path) -> None:
    """The example project imports only what is public."""
    assert [found for found in imports(path.read_text()) if not is_public(*found)] == []


@pytest.mark.parametrize("page", USERS_PAGES, ids=lambda page: page.name)
def test_users_pages_name_no_internals(page: Path) -> None:
    """The text of a users' page does not send its reader to an internal module either."""
    # `django_docraptor.client` is a logger, too, and the default of a setting.
    known = {"mail", "sandbox", "testing", "instrumentation", "urls", "client"}
    known |= {"metrics", "health_checks"}
    internal = {name.partition(".")[0] for name in modules()} - known
    named = set(re.findall(r"`\"?django_docraptor\.(\w+)", page.read_text()))
    assert named & internal == set()


@pytest.mark.parametrize("module", modules())
def test_internal_modules_say_so(module: str) -> None:
    """The docstring of a module that is not public begins by saying that it is internal."""
    folder = PACKAGE.joinpath(*module.split("."))
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    is_private = module not in LOADED_BY_NAME and f"django_docraptor.{module}" not in PUBLIC
    assert docstring.startswith("Internal. ") == is_private


def test_imports_are_found() -> None:
    """The reader of imports sees every form in which a page may import."""
    code = (
        "+from django_docraptor import (\n+    enqueue,  # now\n+)\n    import django_docraptor.x\n"
    )
    assert list(imports(code)) == [("django_docraptor", "enqueue"), ("django_docraptor.x", "")]
    assert [is_public(*found) for found in imports(code)] == [True, False]
    assert is_public("django_docraptor", "mail")
