"""Internal. Code that creates an object of a model, with a value for each required field."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.apps import apps
from django.db import models
from django.db.models import NOT_PROVIDED
from django.utils.text import capfirst

MAX_LINE: Final = 88
# Code for a value, by the class of its field, and the import that it needs. The first that fits.
VALUES: Final[Mapping["type[models.Field[Any, Any]]", tuple[str, str]]] = {
    models.EmailField: ('"reader@example.com"', ""),
    models.URLField: ('"https://example.com/"', ""),
    models.SlugField: ('"sample"', ""),
    models.GenericIPAddressField: ('"192.0.2.1"', ""),
    models.UUIDField: ("uuid4()", "from uuid import uuid4"),
    models.DateTimeField: ("timezone.now()", "from django.utils import timezone"),
    models.DateField: ("date(2026, 1, 31)", "from datetime import date"),
    models.TimeField: ("time(9, 30)", "from datetime import time"),
    models.DurationField: ("timedelta(days=1)", "from datetime import timedelta"),
    models.BooleanField: ("False", ""),
    models.IntegerField: ("1", ""),
    models.FloatField: ("1.0", ""),
    models.JSONField: ("{}", ""),
    models.BinaryField: ('b"sample"', ""),
    models.FileField: ('"sample.txt"', ""),
}


def import_line(model: type[models.Model]) -> str:
    """Return the import of a model, from its app's ``models`` if it is there."""
    module = apps.get_app_config(model._meta.app_label).models_module
    is_there = getattr(module, model.__name__, None) is model
    name = module.__name__ if module and is_there else model.__module__
    return f"from {name} import {model.__name__}"


class SampleObjects:
    """Writes the code, and collects what it needs.

    ``imports`` are the lines that it needs, ``unknown`` the fields that a person must fill in.
    """

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.unknown: list[str] = []
        self._models: list[type[models.Model]] = []

    def create(self, model: type[models.Model], *, indent: int) -> str:
        """Return an expression that creates an object, and those to which it refers."""
        self.imports.add(import_line(model))
        self._models.append(model)
        values = [
            f"{field.name}={self._value(field, indent + 4)}" for field in _required_fields(model)
        ]
        self._models.pop()
        callee = f"{model.__name__}.{model._default_manager.name}.create"
        line = f"{callee}({', '.join(values)})"
        if indent + len(line) <= MAX_LINE and "\n" not in line:
            return line
        inner = "".join(f"{' ' * (indent + 4)}{value},\n" for value in values)
        return f"{callee}(\n{inner}{' ' * indent})"

    def _value(self, field: Any, indent: int) -> str:
        choices = [value for value, _label in field.flatchoices if value not in ("", None)]
        if choices and isinstance(choices[0], str | int):
            return _quoted(choices[0])
        if isinstance(field, models.ForeignKey) and field.related_model not in self._models:
            return self.create(field.related_model, indent=indent)
        if isinstance(field, models.DecimalField):
            self.imports.add("from decimal import Decimal")
            return f'Decimal("{int(field.max_digits > field.decimal_places)}")'
        for kind, (code, line) in VALUES.items():
            if isinstance(field, kind):
                self.imports |= {line} - {""}
                return code
        if isinstance(field, models.CharField | models.TextField):
            return _quoted(str(capfirst(field.verbose_name))[: field.max_length])
        self.unknown.append(f"{field.model.__name__}.{field.name}")
        return "None"


def _quoted(value: str | int) -> str:
    """Return a literal, in double quotes if it is a plain text."""
    text = repr(value)
    is_plain = isinstance(value, str) and '"' not in value and "'" not in value
    return f'"{text[1:-1]}"' if is_plain else text


def _required_fields(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields without which an object cannot be saved."""
    for field in model._meta.concrete_fields:
        is_given = field.auto_created or isinstance(field, models.AutoField) or field.generated
        is_given = is_given or getattr(field, "auto_now", False)
        is_given = is_given or getattr(field, "auto_now_add", False)
        has_default = field.has_default() or field.db_default is not NOT_PROVIDED or field.null
        is_optional = field.blank and field.empty_strings_allowed and not field.primary_key
        if not (is_given or has_default or is_optional):
            yield field
