"""The ``DOCRAPTOR`` setting: one dict, typed, read at every access.

Nothing is read at import and nothing is cached, so ``override_settings`` just works. This module
knows names, types and defaults; `checks` turns what is wrong into messages.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast, overload

from django.conf import settings

from django_docraptor.exceptions import ConfigurationError

T = TypeVar("T")
Problem = str | None

DOCRAPTOR_URL: Final = "https://api.docraptor.com"
MEBIBYTE: Final = 1024 * 1024
# Within what every database can add to now, and subtract from it.
LONGEST: Final = timedelta(days=36_500)
# Seconds that a call may be told to take: what the operating system's timers hold.
LONGEST_CALL: Final = 86_400


def _a(*types: type) -> Callable[[object], Problem]:
    names = " or ".join(kind.__name__ for kind in types)

    def problem(value: object) -> Problem:
        if isinstance(value, bool) and bool not in types:
            return f"must be {names}, not bool"
        return None if isinstance(value, types) else f"must be {names}, not {type(value).__name__}"

    return problem


def _positive(*types: type, most: float = sys.maxsize) -> Callable[[object], Problem]:
    def problem(value: object) -> Problem:
        if wrong := _a(*types)(value):
            return wrong
        number = cast(float, value)
        if number > most:
            return f"must be at most {most:,.0f}"
        return None if number > 0 else "must be greater than zero"

    return problem


def _url(value: object) -> Problem:
    return _address(value) if value != "" else None


def _address(value: object) -> Problem:
    if not isinstance(value, str):
        return f"must be str, not {type(value).__name__}"
    if not value.startswith(("https://", "http://")):
        return "must begin with https:// or http://"
    return None


def _texts(value: object) -> Problem:
    if not isinstance(value, Mapping):
        return f"must be dict, not {type(value).__name__}"
    for name, text in value.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            return f"must hold text only, not {name!r}: {text!r}"
    return None


def _key(value: object) -> Problem:
    return None if isinstance(value, str) or callable(value) else "must be a string or a callable"


def _numbers(*names: str, most: float) -> Callable[[object], Problem]:
    def problem(value: object) -> Problem:
        if not isinstance(value, Mapping):
            return f"must be a dict with the keys {', '.join(names)}"
        for name, number in value.items():
            if name not in names:
                return f"has the unknown key {name!r}; known are {', '.join(names)}"
            if wrong := _positive(int, float, most=most)(number):
                return f"[{name!r}] {wrong}"
        return None

    return problem


def _durations(*names: str) -> Callable[[object], Problem]:
    def problem(value: object) -> Problem:
        if not isinstance(value, Mapping):
            return f"must be a dict with the keys {', '.join(names)}"
        for name, duration in value.items():
            if name not in names:
                return f"has the unknown key {name!r}; known are {', '.join(names)}"
            if wrong := wrong_duration(duration):
                return f"[{name!r}] {wrong}"
        return None

    return problem


def wrong_duration(value: object) -> Problem:
    """Why that cannot be how long something is kept; ``timedelta.max`` is "for ever"."""
    if not isinstance(value, timedelta):
        return f"must be timedelta, not {type(value).__name__}"
    if timedelta(0) < value <= LONGEST or value == timedelta.max:
        return None
    return f"must be more than nothing, and no more than {LONGEST.days} days or timedelta.max"


def _policy(value: object) -> Problem:
    return None if value in (None, "hold", "resubmit") else 'must be "hold", "resubmit" or None'


def _mode(value: object) -> Problem:
    return None if value in ("inline", "absolute") else 'must be "inline" or "absolute"'


class Setting(Generic[T]):
    """One key of the dict: its default and what a value must be."""

    def __init__(self, default: T, problem: Callable[[object], Problem]) -> None:
        self.default = default
        self.problem = problem

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = name.upper()

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[T]": ...
    @overload
    def __get__(self, instance: "Conf", owner: type) -> T: ...
    def __get__(self, instance: "Conf | None", owner: type) -> "Setting[T] | T":
        if instance is None:
            return self
        value: T = instance.given.get(self.key, self.default)
        return value


class Conf:
    """Every key of ``DOCRAPTOR``, in lower case, as an attribute."""

    #: API key: a string, or a callable that is given the account's name and returns it.
    api_key: Setting[Any] = Setting("", _key)
    #: Make free, watermarked test documents unless a document says otherwise.
    test_mode = Setting(True, _a(bool))
    #: Where DocRaptor is; the sandbox's address in development.
    base_url = Setting(DOCRAPTOR_URL, _address)
    #: Public address of this site, for callbacks; blank means polling only.
    callback_base_url = Setting("", _url)
    #: Seconds: connect, create_read, sync_read, status_read, download_read, total.
    timeout: Setting[Mapping[str, float]] = Setting(
        {},
        _numbers(
            "connect",
            "create_read",
            "sync_read",
            "status_read",
            "download_read",
            "total",
            most=LONGEST_CALL,
        ),
    )
    #: Options of every document, e.g. ``{"javascript": True, "prince_options": {…}}``.
    defaults: Setting[Mapping[str, Any]] = Setting({}, _a(dict))
    #: Seconds an accepted attempt may take. DocRaptor kills asynchronous documents after 600 s.
    deadline: Setting[float] = Setting(660, _positive(int, float, most=LONGEST.total_seconds()))
    #: Seconds between polls: floor, ceiling, and the fraction of an attempt's age between them.
    poll: Setting[Mapping[str, float]] = Setting(
        {}, _numbers("floor", "ceiling", "fraction", most=LONGEST_CALL)
    )
    #: Documents in the making at DocRaptor at a time, for an account; its default limit is 30.
    max_in_flight = Setting(30, _positive(int))
    #: Times in a row that a job may be refused or unreachable before it fails.
    max_attempts = Setting(20, _positive(int))
    #: What becomes of an attempt of unknown outcome that DocRaptor's log never shows.
    unconfirmed: Setting[str | None] = Setting(None, _policy)
    #: Directory for downloads on their way into the storage.
    spool_dir: Setting[str | Path] = Setting("", _a(str, Path))
    #: Largest document that is accepted, in bytes.
    max_document_bytes = Setting(200 * MEBIBYTE, _positive(int))
    #: Largest HTML that is sent, in bytes.
    max_content_bytes = Setting(20 * MEBIBYTE, _positive(int))
    #: What the template tags write: ``"inline"`` (data: URIs) or ``"absolute"`` (addresses).
    assets = Setting("inline", _mode)
    #: This site's public address, for assets that are addresses.
    assets_base_url = Setting("", _url)
    #: Largest asset that is embedded, in bytes.
    max_asset_bytes = Setting(5 * MEBIBYTE, _positive(int))
    #: All assets that are embedded in a document together, in bytes.
    max_assets_bytes = Setting(12 * MEBIBYTE, _positive(int))
    #: How long finished jobs are kept by ``docraptor_prune``: ``jobs``, and their ``inputs``.
    retention: Setting[Mapping[str, timedelta]] = Setting({}, _durations("jobs", "inputs"))
    #: Proxies as requests takes them, e.g. ``{"https": "http://proxy:3128"}``.
    proxies: Setting[Mapping[str, str]] = Setting({}, _texts)
    #: Path of a CA bundle; blank means certifi's.
    ca_bundle: Setting[str | Path] = Setting("", _a(str, Path))
    #: Ring the broker after commit; off: jobs wait for the next tick.
    ring_on_commit = Setting(True, _a(bool))
    #: Dotted path of the client class.
    client = Setting("django_docraptor.client.Client", _a(str))

    @property
    def given(self) -> Mapping[str, Any]:
        """What the project wrote, or nothing."""
        value = getattr(settings, "DOCRAPTOR", {})
        return value if isinstance(value, Mapping) else {}

    def key_for(self, account: str) -> str:
        """The account's API key. Raises ConfigurationError if there is none."""
        key = self.api_key
        try:
            value = key(account) if callable(key) else key
        except Exception as error:
            raise ConfigurationError(
                f"DOCRAPTOR['API_KEY'] raised {type(error).__name__} for the account {account!r}."
            ) from error
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(
                f"DOCRAPTOR['API_KEY'] gave no key for the account {account!r}: set it to your "
                "DocRaptor API key, or to a callable that returns it."
            )
        return value

    @property
    def spool_path(self) -> Path:
        """The spool directory; by default a private one below the system's temporary files."""
        own = Path(tempfile.gettempdir()) / f"django-docraptor-spool-{os.getuid()}"
        return Path(self.spool_dir or own)


def known() -> Iterator[Setting[Any]]:
    """All settings, as they are declared."""
    return (value for value in vars(Conf).values() if isinstance(value, Setting))


conf = Conf()
