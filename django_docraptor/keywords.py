"""Internal. The keywords that describe a document: their names and types.

What they may be is in ``job_specs``, which a process imports with its first document.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Required, TypedDict

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models


class JobOptions(TypedDict, total=False):
    """Keywords that every document takes, with a document class or without one."""

    document_type: str
    options: Mapping[str, Any]
    params: Mapping[str, Any]
    test: bool | None
    owner: AbstractBaseUser | None
    priority: int
    idempotency_key: str | None
    account: str
    language: str | None
    time_zone: str | None
    storage: str
    hosted: bool
    hosted_expires_at: datetime | None
    hosted_download_limit: int | None
    reuse: timedelta | None
    not_before: datetime | None


class EnqueueOptions(JobOptions, total=False):
    """Keywords of ``enqueue()``, which documents them; the fields of a `JobSpec`."""

    name: Required[str]
    content: str
    url: str
    document: str
    source: models.Model | None


class DocumentOptions(JobOptions, total=False):
    """Keywords of a document class, which itself names the document and provides the content."""

    name: str


def check_keywords(callee: str, given: Iterable[str], valid: AbstractSet[str]) -> None:
    """Check the names of keyword arguments, as Python does for a function without ``**kwargs``.

    Raises:
        TypeError: a keyword is unknown; the message names the nearest valid one.
    """
    for name in given:
        if name not in valid:
            nearest = get_close_matches(name, sorted(valid), n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise TypeError(f"{callee} got an unexpected keyword argument {name!r}.{hint}")


def mapping_errors(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield an error if the value is not a mapping."""
    if not isinstance(value, Mapping):
        yield name, f"{name} must be a mapping, not {type(value).__name__}."
