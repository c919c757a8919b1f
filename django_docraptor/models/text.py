"""Internal. Make external text acceptable to every database."""

from collections.abc import Mapping
from typing import Any


def sanitize(value: Any) -> Any:
    """Replace characters that would make a write fail.

    PostgreSQL rejects NUL, and every database rejects lone surrogates; JSON may contain both.
    """
    if isinstance(value, str):
        clean = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        return value if clean == value else clean
    if isinstance(value, Mapping):
        return {sanitize(key): sanitize(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sanitize(item) for item in value]
    return value
