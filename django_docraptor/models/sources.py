"""Internal. The primary key of a source as text, as jobs store it."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model


def source_key(source: Model) -> str:
    """Return the text of an object's primary key.

    A key set by hand may have another type, such as ``"5"`` for 5: the text is the same.
    """
    try:
        return str(_to_python(source, source.pk))
    except ValidationError:
        return str(source.pk)


def can_restore_key(source: Model) -> bool:
    """Return whether a worker finds the object by the text of its primary key.

    It does not if the text cannot be read back, as for bytes and composite keys.
    """
    if isinstance(source.pk, tuple):
        return False
    try:
        return bool(_to_python(source, source_key(source)) == _to_python(source, source.pk))
    except (ValidationError, ValueError, TypeError):
        return False


def _to_python(source: Model, key: Any) -> Any:
    return source._meta.pk.to_python(key)
