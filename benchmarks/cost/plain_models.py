"""An app whose models have the columns, indexes and constraints of ours, and nothing else.

What it adds to the start of a process is what no app with these tables can save.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db.migrations.writer import MigrationWriter
from django.db.models import DO_NOTHING, Index, Model

from django_docraptor.apps import DocRaptorConfig

APP = "plain_models"
OURS = DocRaptorConfig.name


def write_app(folder: Path) -> None:
    """Write the app into a directory that Python searches."""
    package = folder / APP
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(source(apps.get_app_config(OURS).get_models()))


def source(models: Iterable[type[Model]]) -> str:
    """Return a module with a plain model for each of these."""
    imports, classes = {"from django.db import models"}, []
    for model in models:
        meta = model._meta
        lines = [f"class {model.__name__}(models.Model):"]
        for field in meta.local_fields:
            lines.append(f"    {field.name} = {_plain(field, imports)}")
        lines.append("    class Meta:")
        for name in ("indexes", "constraints"):
            parts = [_plain(part, imports) for part in getattr(meta, name)]
            lines.append(f"        {name} = [{', '.join(parts)}]")
        classes.append("\n".join(lines))
    module = "\n\n".join([*sorted(imports), *classes])
    return module.replace(f"{OURS}.", f"{APP}.")


def _plain(part: Any, imports: set[str]) -> str:
    """Return the code of a field, index or constraint; one of ours becomes its base of Django."""
    arguments, options = part.deconstruct()[-2:]
    kind = next(base for base in type(part).__mro__ if base.__module__.startswith("django."))
    kept = {name: value for name, value in options.items() if not _is_ours(value)}
    if kind is Index:
        kept = {name: kept[name] for name in ("fields", "name") if name in kept}
    if "on_delete" in options:
        kept.setdefault("on_delete", DO_NOTHING)
    code, needed = MigrationWriter.serialize(kind(*arguments, **kept))
    imports.update(needed)
    return code


def _is_ours(value: object) -> bool:
    """Return whether code for a value would import our package."""
    _code, imports = MigrationWriter.serialize(value)
    return any(line.partition(" ")[2].startswith(OURS) for line in imports)
