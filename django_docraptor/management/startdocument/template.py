"""Internal. HTML of a model's fields, and of the rows that belong to an object."""

from collections.abc import Iterator
from typing import Any, Final

from django.db import models
from django.utils.html import escape
from django.utils.text import capfirst

from django_docraptor.payloads.fields import SECRET_NAME

# Columns that fit on a page.
MAX_COLUMNS: Final = 5
# Fields whose values are no text for a reader.
UNREADABLE: Final = (models.BinaryField, models.FileField, models.JSONField)
NUMBERS: Final = (models.IntegerField, models.DecimalField, models.FloatField)
# Names of the context that are not the source.
TAKEN: Final = frozenset({"params", "document_type", "rows"})


def variable_of(model: type[models.Model]) -> str:
    """Return the name under which the template has an object of the model."""
    name = str(model._meta.model_name)
    return "source" if name in TAKEN else name


def facts(model: type[models.Model]) -> str:
    """Return a table with a row for each field of the object."""
    lines = [
        f"    <tr><th>{_heading(field)}</th><td>{_value(variable_of(model), field)}</td></tr>"
        for field in _readable_fields(model)
    ]
    return _lines('  <table class="facts">', *lines, "  </table>") if lines else ""


def rows(model: type[models.Model]) -> str:
    """Return a table of the objects that belong to the object, such as the lines of an invoice."""
    relation = next(_row_relations(model), None)
    if relation is None:
        return ""
    related: Any = relation.related_model
    row = variable_of(related)
    if row == variable_of(model):
        row = "row"
    columns = list(_readable_fields(related, without=relation.field))[:MAX_COLUMNS]
    heads = [f"        <th{_class(field)}>{_heading(field)}</th>" for field in columns]
    cells = [f"        <td{_class(field)}>{_value(row, field)}</td>" for field in columns]
    return _lines(
        f"  <h2>{_escape(capfirst(related._meta.verbose_name_plural))}</h2>",
        '  <table class="rows">',
        *("    <thead>", "      <tr>", *heads, "      </tr>", "    </thead>"),
        "    <tbody>",
        f"    {{% for {row} in {variable_of(model)}.{relation.get_accessor_name()}.all %}}",
        *("      <tr>", *cells, "      </tr>"),
        "    {% endfor %}",
        "    </tbody>",
        "  </table>",
    )


def _row_relations(model: type[models.Model]) -> Iterator[Any]:
    """Yield the relations to models of the same app whose objects belong to one of this model."""
    for relation in model._meta.related_objects:
        related: Any = relation.related_model
        is_near = related._meta.app_label == model._meta.app_label
        if (
            relation.one_to_many
            and is_near
            and any(_readable_fields(related, without=relation.field))
        ):
            yield relation


def _readable_fields(model: type[models.Model], without: Any = None) -> Iterator[Any]:
    """Yield the fields that a reader may see: no keys, no files, and nothing that looks secret."""
    for field in model._meta.concrete_fields:
        is_key = field.primary_key or field.auto_created or field is without
        is_readable = not isinstance(field, UNREADABLE) and not field.name.startswith("_")
        if not is_key and is_readable and not SECRET_NAME.search(field.name):
            yield field


def _heading(field: Any) -> str:
    return _escape(capfirst(field.verbose_name))


def _escape(text: object) -> str:
    """Return text for HTML in a template."""
    return escape(text).replace("{", "&#123;")


def _class(field: Any) -> str:
    return ' class="number"' if isinstance(field, NUMBERS) and not field.choices else ""


def _value(variable: str, field: Any) -> str:
    name, filters = f"{variable}.{field.name}", ""
    if field.choices:
        name = f"{variable}.get_{field.name}_display"
    elif isinstance(field, models.DecimalField):
        filters = f'|floatformat:"{field.decimal_places}g"'
    elif isinstance(field, models.BooleanField):
        filters = "|yesno"
    elif isinstance(field, models.TextField):
        filters = "|linebreaksbr"
    if field.null and not filters:
        filters = '|default_if_none:"-"'
    return f"{{{{ {name}{filters} }}}}"


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
