"""Internal. The keywords that describe a document: their names, their types, what each may be.

What they may be together is in ``job_specs``, which a process imports with its first document.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, Required, TypedDict

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils.translation import check_for_language

from django_docraptor.account_settings import (
    UnknownAccountError,
    account_settings,
    settings_for_report,
)
from django_docraptor.conf import conf
from django_docraptor.models import RenderJob
from django_docraptor.storage import document_storage_aliases
from django_docraptor.time_zones import is_zone_text

# Limit of a smallint in every database; attempts are counted in one, too.
MAX_PRIORITY: Final = 32767
# Length of the `storage` column.
MAX_STORAGE_ALIAS_LENGTH: Final = 64
# What to do about a production document that the settings do not allow on this host.
LIVE_REMEDY: Final = (
    "DOCRAPTOR['ALLOW_LIVE'] allows no production documents on this host. Pass test=True, or allow "
    "them there."
)


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


def account_errors(name: object) -> Iterator[tuple[str, str]]:
    """Yield an error if there is no account of this name.

    Raises:
        ConfigurationError: the provider of ``ACCOUNTS`` failed.
    """
    errors = list(text_errors("account", name, blank=False))
    yield from errors
    if not errors:
        try:
            account_settings(str(name))
        except UnknownAccountError as error:
            yield "account", str(error)


def live_errors(test: bool | None, account: str) -> Iterator[tuple[str, str]]:
    """Yield an error if this host may not make the production document.

    Args:
        test: as it is given; ``None``: as the account's ``TEST_MODE``.
        account: its name; of an unknown one, nothing is known.
    """
    if conf.is_live_allowed:
        return
    if test is None and not settings_for_report(account).test_mode:
        yield "test", f"TEST_MODE of the account {account!r} is False. {LIVE_REMEDY}"
    elif test is not None and not test:
        yield "test", f"test is {test!r}. {LIVE_REMEDY}"


def owner_errors(owner: object) -> Iterator[tuple[str, str]]:
    """Yield an error if the owner is no saved user; ``None`` is valid."""
    if owner is None:
        return
    model = get_user_model()
    if not isinstance(owner, model):
        given = owner.__class__.__name__  # also unwraps a SimpleLazyObject
        yield "owner", f"owner must be a {model.__name__} or None, not {given}."
    elif owner.pk is None or owner._state.adding:
        yield "owner", "The owner must be saved first."


def storage_errors(alias: object) -> Iterator[tuple[str, str]]:
    """Yield an error if the alias does not name a storage for documents; "" is valid."""
    if alias not in ("", *document_storage_aliases()):
        known = ", ".join(document_storage_aliases())
        message = f"{alias!r} is not a storage for documents. Choose one of STORAGES: {known}."
        yield "storage", message
    elif len(str(alias)) > MAX_STORAGE_ALIAS_LENGTH:
        yield "storage", f"{alias!r} has more than {MAX_STORAGE_ALIAS_LENGTH} characters."


def locale_errors(language: object, time_zone: object) -> Iterator[tuple[str, str]]:
    """Yield an error for an unknown language or time zone; ``None`` is valid."""
    if language is not None and not (isinstance(language, str) and check_for_language(language)):
        yield "language", f"{language!r} is not a language code that Django knows."
    if time_zone is not None and not is_zone_text(time_zone):
        yield (
            "time_zone",
            f"{time_zone!r} is not a time zone name such as 'Europe/Vienna', nor an offset such as "
            "'+02:00'.",
        )


def text_errors(
    name: str, value: object, *, blank: bool, called: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield an error if a text does not fit into the job's column of that name."""
    column: Any = RenderJob._meta.get_field(name)
    limit: int = column.max_length
    called = called or name
    if not isinstance(value, str):
        yield name, f"{called} must be a string, not {type(value).__name__}."
    elif not value.strip() and not (blank and not value):
        yield name, f"{called} must not be blank."
    elif len(value) > limit:
        yield name, f"{called} has {len(value)} characters, but at most {limit} are allowed."
    elif "\x00" in value or not _is_encodable(value):
        problem = "contains a NUL character or a lone surrogate, which databases do not accept"
        yield name, f"{called} {problem}."


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
