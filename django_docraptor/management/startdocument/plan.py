"""Internal. Which files are written, and what is in them. Nothing is written here."""

import keyword
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from string import Template
from typing import Any

from django.apps import AppConfig
from django.core.management.base import CommandError
from django.db.models import Model
from django.template import engines
from django.template.backends.django import DjangoTemplates

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.management.startdocument import template
from django_docraptor.management.startdocument.modules import add_to_module
from django_docraptor.management.startdocument.sample_objects import SampleObjects, import_line
from django_docraptor.models import RenderJob

TEXTS = Path(__file__).parent
IMPORT = "from django_docraptor import Document"
MAX_LABEL: int = RenderJob._meta.get_field("document").max_length or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file to write. Only a module that gets a class or an import may be there already."""

    path: Path
    text: str
    is_new: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is written for a document class, and which fields of its test a person must fill in."""

    files: list[PlannedFile]
    label: str
    unknown: list[str]


def make_plan(config: AppConfig, model: type[Model], name: str) -> Plan:
    """Plan a class of a name for a model.

    Raises:
        CommandError: a name is taken or no name, or the app is not the project's.
    """
    _check_app(config)
    _check_name(config, model, name)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    template_name = f"{config.label}/{snake}.html"
    values = _values(config, model, name, template_name)
    samples = SampleObjects()
    values["create"] = samples.create(model, indent=8)
    documents = list(_documents(config, model, snake, values))
    imports = {
        *samples.imports,
        "from django.test import TestCase",
        "from django_docraptor.testing import DocRaptorTestMixin",
        f"from {_module_of(config)} import {name}",
    }
    test = _fill("test", {**values, "imports": _sorted(imports, config)})
    files = [
        *documents,
        PlannedFile(path=_template_folder(config) / template_name, text=_fill("template", values)),
        PlannedFile(path=_test_folder(config) / f"test_{snake}.py", text=test),
    ]
    for file in files:
        if file.is_new and file.path.exists():
            raise CommandError(f"{file.path} exists, and is not overwritten. Pass another --name.")
    return Plan(files=files, label=f"{config.label}.{name}", unknown=samples.unknown)


def _values(config: AppConfig, model: type[Model], name: str, template_name: str) -> dict[str, str]:
    """Return what replaces the ``$names`` of the texts."""
    verbose_name = str(model._meta.verbose_name)
    file_name = re.sub(r"\W+", "_", verbose_name.lower()).strip("_") or str(model._meta.model_name)
    site = str(config.verbose_name)
    return {
        "document": name,
        "model": model.__name__,
        "verbose_name": verbose_name.replace('"', "'").replace("\\", "/"),
        "variable": template.variable_of(model),
        "template_name": template_name,
        "file_stem": file_name.replace("_", "-"),
        "file_name": file_name if file_name.isascii() else str(model._meta.model_name),
        "site": re.sub(r"[^\w .,&-]", " ", site).replace("&", "&amp;"),
        "facts": template.facts(model),
        "rows": template.rows(model),
    }


def _fill(text: str, values: dict[str, str]) -> str:
    return Template((TEXTS / f"{text}.txt").read_text(encoding="utf-8")).substitute(values)


def _check_app(config: AppConfig) -> None:
    paths = sysconfig.get_paths()
    installed = [Path(paths[key]) for key in ("purelib", "platlib", "stdlib")]
    if any(Path(config.path).is_relative_to(folder) for folder in installed):
        raise CommandError(
            f"{config.label} is an installed package, into which nothing is written. Name an app "
            "of your project and then the model with its app, such as: shop auth.User"
        )


def _check_name(config: AppConfig, model: type[Model], name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise CommandError(
            f"--name: {name!r} cannot be the name of a class. Use one like OrderPDF."
        )
    label = f"{config.label}.{name}"
    if len(label) > MAX_LABEL:
        raise CommandError(f"--name: {label} has more than {MAX_LABEL} characters.")
    module = _documents_module(config)
    if name in (model.__name__, "Document") or registry.find(label) or hasattr(module, name):
        raise CommandError(f"--name: {label} is taken already. Pass another name.")
    for used in (Document, model):
        if getattr(module, used.__name__, used) is not used:
            raise CommandError(
                f"{_module_of(config)} has another {used.__name__} than that of {used.__module__}. "
                "Rename the other one."
            )


def _module_of(config: AppConfig) -> str:
    return f"{config.name}.documents"


def _documents_module(config: AppConfig) -> Any:
    """Return the module, which was imported when Django started; ``None`` if there is none."""
    try:
        return import_module(_module_of(config))
    except ModuleNotFoundError:
        return None


def _documents(
    config: AppConfig, model: type[Model], snake: str, values: dict[str, str]
) -> Iterator[PlannedFile]:
    """Yield ``documents.py`` with the class at its end, or a new module of the package."""
    code = _fill("documents", values)
    imports = sorted({IMPORT, import_line(model)})
    path = Path(config.path) / "documents.py"
    package = Path(config.path) / "documents" / "__init__.py"
    if package.exists():
        path = package.parent / f"{snake}.py"
        line = (
            f"from {_module_of(config)}.{snake} import {values['document']} as {values['document']}"
        )
        text = add_to_module(_read(package), [line], "", name=str(package))
        yield PlannedFile(path=package, text=text, is_new=False)
    is_new = not path.exists()
    start = f'"""Documents of {config.label}."""\n' if is_new else _read(path)
    module = _documents_module(config)
    needed = [line for line in imports if is_new or not hasattr(module, line.split()[-1])]
    text = add_to_module(start, needed, code, name=str(path))
    yield PlannedFile(path=path, text=text, is_new=is_new)


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _template_folder(config: AppConfig) -> Path:
    """Return the folder in which Django finds the app's templates."""
    folder = Path(config.path) / "templates"
    backends = [backend for backend in engines.all() if isinstance(backend, DjangoTemplates)]
    if any("app_directories" in str(backend.engine.loaders) for backend in backends):
        return folder
    for backend in backends:
        if backend.dirs:
            return Path(backend.dirs[0])
    raise CommandError(
        "No template of an app would be found. Set APP_DIRS to True for Django's templates in "
        "TEMPLATES."
    )


def _test_folder(config: AppConfig) -> Path:
    folder = Path(config.path)
    return folder / "tests" if (folder / "tests").is_dir() else folder


def _sorted(imports: set[str], config: AppConfig) -> str:
    """Return import lines, one for each module: Python's, those of packages, the project's."""
    names: dict[str, list[str]] = {}
    for line in sorted(imports):
        module, name = line.removeprefix("from ").split(" import ")
        names.setdefault(module, []).append(name)
    groups: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for module, found in names.items():
        top = module.partition(".")[0]
        is_own = top == config.name.partition(".")[0]
        rank = 2 if is_own else int(top not in sys.stdlib_module_names)
        groups[rank].append(f"from {module} import {', '.join(found)}")
    return "\n\n".join("\n".join(lines) for lines in groups.values() if lines)
