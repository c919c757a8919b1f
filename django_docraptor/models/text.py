"""Text from elsewhere, such that every database takes it. Knows no rows."""

from collections.abc import Mapping
from typing import Any


def storable(value: Any) -> Any:
    """The same, but for what would make the write fail, and with it the step that writes.

    PostgreSQL takes no NUL, and no database half a surrogate pair; JSON may hold both.
    """
    if isinstance(value, str):
        clean = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        return value if clean == value else clean
    if isinstance(value, Mapping):
        return {storable(name): storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [storable(one) for one in value]
    return value
