"""The documentation's code: it compiles, its names exist, and what is whole runs."""

import ast
import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
from django.apps import apps
from django.conf import global_settings
from django.contrib.admin import AdminSite, sites
from django.contrib.auth.management import _get_all_permissions
from django.core.management import CommandError, get_commands, load_command_class

from django_docraptor import (
    Document,
    DocumentOptions,
    EnqueueOptions,
    QuerysetDocument,
    ReportOptions,
    TriggerOptions,
    conf,
)
from tests.apps.shop import models as shop_models
from tests.support.markdown import PAGES, Block, blocks, prose

PYTHON = blocks("python")
# The changelog names what was removed.
CHECKED_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]
SETTING_KEYS = {setting.key for setting in conf.declared_settings()}
# A kind of node of a syntax tree.
N = TypeVar("N", bound=ast.AST)
# Settings of others, and words in capitals that are no settings.
OTHER_NAMES = {
    *("DOCRAPTOR", "CELERY_BROKER_URL", "CELERY_TASK_ALWAYS_EAGER", "CELERY_TASK_SOFT_TIME_LIMIT"),
    *("ATOMIC_REQUESTS", "TASKS", "AWS_S3_CUSTOM_DOMAIN", "TENANT_APPS", "SHARED_APPS", "QUEUES"),
    # of the environment
    *("DOCRAPTOR_API_KEY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"),
    *("PROMETHEUS_MULTIPROC_DIR", "DOCRAPTOR_HEALTH_TOKEN"),
    # values, arguments, SQL
    *("MODEL", "UUID", "MAYBE", "SAMEORIGIN", "RUNNING", "CASCADE", "SET_NULL", "DELETE"),
    *("TRUNCATE", "PATIENCE", "BEGIN", "COMMIT"),
}
# Names below django_docraptor that are neither modules nor permissions: tasks and loggers.
TASKS = {
    f"django_docraptor.{name}" for name in ("submit", "poll", "reconcile", "download", "merge")
}
TASKS |= {"django_docraptor.dispatch", "django_docraptor.tick"}


def each_node(kind: type[N]) -> Iterator[tuple[Block, N]]:
    """Yield the nodes of a kind in all blocks of Python."""
    for block in PYTHON:
        for node in ast.walk(block.parse()):
            if isinstance(node, kind):
                yield block, node


def test_python_compiles() -> None:
    """Each block of Python is a series of statements, or entries of a dict."""
    for block in PYTHON:
        block.parse()


def test_imported_names_exist() -> None:
    """What a block imports from the package is there."""
    missing = [
        f"{block}: {node.module}.{alias.name}"
        for block, node in each_node(ast.ImportFrom)
        if (node.module or "").startswith("django_docraptor")
        for alias in node.names
        if not can_be_imported(f"{node.module}.{alias.name}")
    ]
    assert missing == []


def test_settings_in_code_exist() -> None:
    """Each key of ``DOCRAPTOR`` is a setting."""
    unknown = [
        f"{block}: {ast.unparse(key)}"
        for block, node in each_node(ast.Assign)
        if [ast.unparse(target) for target in node.targets] == ["DOCRAPTOR"]
        for key in getattr(node.value, "keys", [])
        if key and ast.literal_eval(key) not in SETTING_KEYS
    ]
    assert unknown == []


def keywords_of(*options: Any) -> set[str]:
    """Return the names of the keywords of typed dicts."""
    return {name for each in options for name in each.__annotations__}


FUNCTION = keywords_of(EnqueueOptions)
METHOD = keywords_of(DocumentOptions, ReportOptions) | {"snapshot", "filters"}
TRIGGER = keywords_of(TriggerOptions) | {"when", "delay", "sender", "get_source"}


def known_keywords(called: str) -> set[str] | None:
    """Return the keywords of a function or method that enqueues documents."""
    name = called.rpartition(".")[2]
    if name in ("on", "on_save"):
        return TRIGGER
    if name in ("enqueue", "aenqueue", "enqueue_many", "spec", "preview_html"):
        return METHOD if "." in called else FUNCTION
    return None


def test_keywords_exist() -> None:
    """Calls that enqueue documents use keywords that there are."""
    unknown = [
        f"{block}: {ast.unparse(node.func)}({keyword.arg}=…)"
        for block, node in each_node(ast.Call)
        if (known := known_keywords(ast.unparse(node.func))) is not None
        for keyword in node.keywords
        if keyword.arg and keyword.arg not in known
    ]
    assert unknown == []


BASES = {"Document": Document, "QuerysetDocument": QuerysetDocument}


def test_attributes_of_documents_exist() -> None:
    """What a document class overrides is there, so that a misspelt name is found."""
    unknown = []
    for block, node in each_node(ast.ClassDef):
        bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
        if base := next((BASES[name] for name in bases if name in BASES), None):
            methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            assigned = [each for each in node.body if isinstance(each, ast.Assign)]
            names = methods + [ast.unparse(name) for each in assigned for name in each.targets]
            unknown += [f"{block}: {name}" for name in names if not hasattr(base, name)]
    assert unknown == []


def test_settings_in_text_exist() -> None:
    """A name in capitals is a setting of the package, of Django, or of a listed other one."""
    unknown = [
        f"{page.name}: {name}"
        for page in CHECKED_PAGES
        for name in re.findall(r"`([A-Z][A-Z0-9_]{3,})`", prose(page))
        if name not in SETTING_KEYS | OTHER_NAMES | arguments(page)
        and not hasattr(global_settings, name)
    ]
    assert unknown == []


def arguments(page: Path) -> set[str]:
    """Return the names of arguments in a page's synopses, such as ``--older-than DAYS``."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    synopses = [span for span in spans if "docraptor_" in span or span.startswith("--")]
    return {name for synopsis in synopses for name in re.findall(r"[A-Z]{2,}", synopsis)}


def test_dotted_names_exist() -> None:
    """A dotted name is a permission, a task, or can be imported."""
    unknown = [
        f"{page.name}: {name}"
        for page in CHECKED_PAGES
        for name in re.findall(r"[`\"](django_docraptor(?:\.\w+)+)[`\"]", page.read_text())
        if name not in TASKS | permissions() and not can_be_imported(name)
    ]
    assert unknown == []


@cache
def permissions() -> frozenset[str]:
    """Return the package's permissions."""
    models = apps.get_app_config("django_docraptor").get_models()
    names = (codename for model in models for codename, _ in _get_all_permissions(model._meta))
    return frozenset(f"django_docraptor.{name}" for name in names)


def can_be_imported(name: str) -> bool:
    """Return whether a dotted name is a module, or a name in one. Checks have a test elsewhere."""
    if re.fullmatch(r"django_docraptor\.[EWI]\d{3}", name):
        return True
    with suppress(ImportError):
        importlib.import_module(name)
        return True
    module, _, attribute = name.rpartition(".")
    return hasattr(importlib.import_module(module), attribute)


def calls_of_commands() -> Iterator[tuple[str, str]]:
    """Yield the calls of the package's commands that are in a console, with their pages."""
    for block in blocks("console"):
        for line in block.code.splitlines():
            if found := re.search(r"^\$ .*manage\.py (?:\w+_command )?(docraptor_[^#]*)", line):
                yield str(block), found[1]


def test_commands_take_their_arguments() -> None:
    """Each call of a command of the package names arguments that it takes."""
    refused = []
    for place, line in calls_of_commands():
        name, *arguments = shlex.split(line)
        parser = load_command_class("django_docraptor", name).create_parser("manage.py", name)
        try:
            parser.parse_args(arguments)
        except CommandError as error:
            refused.append(f"{place}: {line}: {error}")
    assert refused == []


def test_named_commands_exist() -> None:
    """A command that a text or a console names is there."""
    unknown = [
        f"{page.name}: {name}"
        for page in CHECKED_PAGES
        for name in re.findall(r"manage\.py (docraptor_\w+)", page.read_text())
        if name not in get_commands()
    ]
    assert unknown == []


# --- Blocks that are whole -------------------------------------------------------------------

# Run elsewhere: the tutorial and the README as a project, the testing kit's page as tests, the page
# about other packages in a site of each.
RUN_ELSEWHERE = (
    *("README.md", "docs/tutorial/"),
    *("docs/how-to/testing.md", "docs/how-to/third-party.md"),
)
# Modules that not every environment has: django.utils.csp is in Django 6.0.
OPTIONAL = ("huey", "django_q", "django.utils.csp", "pyhanko")
# What a block may use besides: names of a project's settings.
SETTINGS = {"BASE_DIR", "DATABASES", "INSTALLED_APPS", "MIDDLEWARE", "STORAGES", "TEMPLATES"}
# Blocks that need a site of their own: tests/e2e/test_tenants.py has one.
NEED_A_SITE = {
    "docs/how-to/accounts.md": ("shop.tenants",),
    "docs/how-to/databases.md": ("django_tenants", "tenant_schemas_celery", "shop.tenants"),
}


def whole_blocks() -> list[Block]:
    """Return the blocks that define or import every name that they use."""
    return [
        block
        for block in PYTHON
        if not block.page.startswith(RUN_ELSEWHERE)
        and block.page.startswith("docs/")
        and block.free_names() <= SETTINGS
        and not any(name in block.code for name in NEED_A_SITE.get(block.page, ()))
    ]


@pytest.fixture
def project(settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """A project's package ``shop``, as the pages assume it; the admin is empty."""
    documents = ModuleType("shop.documents")
    documents.__dict__["InvoicePDF"] = _example_document("InvoicePDF", Document)
    documents.__dict__["InvoiceReport"] = _example_document("InvoiceReport", QuerysetDocument)
    queue = ModuleType("shop.queue")
    queue.__dict__["push"] = lambda queue, message, seconds=0: True
    modules = {"shop": ModuleType("shop"), "shop.models": shop_models}
    modules |= {"shop.documents": documents, "shop.queue": queue}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sites, "site", AdminSite())
    # Libraries of queues that read their settings when they are imported.
    settings.HUEY = {"immediate": False, "name": "docs"}
    settings.Q_CLUSTER = {"timeout": 600, "retry": 660}
    return modules


def _example_document(name: str, base: type[Any]) -> Any:
    attributes = {
        "__module__": "tests.apps.shop.documents",
        "model": shop_models.Invoice,
        "template_name": "shop/invoice.html",
    }
    return type(name, (base,), attributes)


def run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Execute a block as a module of the shop."""
    stem = Path(block.file).stem or "documents"
    module = ModuleType(f"shop.{stem}")
    settings = {"BASE_DIR": tmp_path, "DATABASES": {"default": {}}, "STORAGES": {}}
    lists = {"INSTALLED_APPS": [], "MIDDLEWARE": [], "TEMPLATES": []}
    lists["TEMPLATES"] = [{"OPTIONS": {"context_processors": []}}]
    name = f"tests.apps.shop.{stem}"
    module.__dict__.update(settings | lists | {"__name__": name})
    if block.file and stem not in ("models", "documents"):
        monkeypatch.setitem(sys.modules, f"shop.{stem}", module)
    exec(compile(block.parse(), str(block), "exec"), module.__dict__)
    return module.__dict__


@pytest.mark.django_db
@pytest.mark.parametrize("page", sorted({block.page for block in whole_blocks()}))
def test_whole_blocks_run(
    page: str, project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docraptor
) -> None:
    """Blocks that define or import all that they use run one after the other."""
    for block in whole_blocks():
        if block.page == page and not missing_libraries(block):
            try:
                run(block, tmp_path, monkeypatch)
            except Exception as error:
                raise AssertionError(f"{block}: {error!r}") from error


def missing_libraries(block: Block) -> list[str]:
    """Return the optional modules of others that a block imports and that are not installed."""
    names = [node.module or "" for node in ast.walk(block.parse()) if type(node) is ast.ImportFrom]
    return [name for name in names if name.startswith(OPTIONAL) and not is_installed(name)]


def is_installed(name: str) -> bool:
    """Return whether a module can be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
