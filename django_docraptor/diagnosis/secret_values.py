"""Internal. Find the secrets of a site's settings, so that no result repeats one.

Errors of drivers, brokers and storages may quote a URL or a password. The client removes API keys
itself, also those that a callable returns.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

from django_docraptor.client.failures import REDACTED, Redactor

# Settings whose values are looked through, however deep they are.
SETTINGS: Final = ("DATABASES", "STORAGES", "CACHES", "TASKS", "DOCRAPTOR", "RQ_QUEUES", "MAILERS")
SECRET_NAME: Final = re.compile(
    r"PASS|SECRET|(?<!ROUTING_)KEY(?!_PREFIX|_FUNCTION)|TOKEN|CREDENTIAL|SAS_|CONNECTION_STRING",
    re.IGNORECASE,
)
# Shorter values would redact parts of words.
MIN_LENGTH: Final = 4
URL_WITH_PASSWORD: Final = re.compile(r"(\w+://)[^\s/@]*:[^\s/@]*@")


def redactor() -> Callable[[str], str]:
    """Return a function that removes the secrets of the settings from text."""
    values = {value for value in _secrets() if len(value) >= MIN_LENGTH}
    forms = values | {quote(value, safe="") for value in values}
    redact = Redactor(tuple(sorted(forms, key=len, reverse=True)))
    return lambda text: URL_WITH_PASSWORD.sub(rf"\1{REDACTED}@", redact(text))


def _secrets() -> Iterator[str]:
    yield from map(str, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    for name in dir(settings):
        if name in SETTINGS or name.startswith(("CELERY", "AWS", "AZURE", "GS_")):
            yield from _strings(getattr(settings, name, None), is_secret=_is_secret(name))


def _strings(value: Any, *, is_secret: bool) -> Iterator[str]:
    """Yield the strings in a setting that are secret by their name, or the password of a URL."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _strings(item, is_secret=is_secret or _is_secret(str(name)))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _strings(item, is_secret=is_secret)
    elif isinstance(value, str):
        if is_secret:
            yield value
        yield from _password(value)


def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _password(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    if password:
        yield from {password, unquote(password)}
