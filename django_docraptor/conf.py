"""Internal. The ``DOCRAPTOR`` setting: one typed dict, read on every access.

Nothing is read at import or cached, so ``override_settings`` works. This module knows names, types
and defaults, and `setting_values` what a value may be; `checks` reports invalid ones.
"""

import logging
import os
import socket
import tempfile
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast, overload

from django.conf import settings

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.secret_text import HiddenAccounts, SecretText, hide
from django_docraptor.setting_values import (
    MAX_CALL_SECONDS,
    MAX_DURATION,
    Validator,
    accounts_error,
    allow_live_error,
    api_key_error,
    assets_error,
    budget_error,
    dotted_paths_error,
    duration_error,
    health_token_error,
    instance_of,
    log_url_error,
    mapping_of,
    optional_url_error,
    optional_url_or_callable_error,
    owner_budget_error,
    positive_number,
    preflight_rules_error,
    runner_error,
    share_lifetime_error,
    source_limit_error,
    statsd_error,
    string_mapping_error,
    unconfirmed_error,
    url_error,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

DOCRAPTOR_URL: Final = "https://api.docraptor.com"
MEBIBYTE: Final = 1024 * 1024


class Setting(Generic[T]):
    """One key of the dict, with its default and its validator."""

    def __init__(self, default: T, validate: Validator) -> None:
        self.default = default
        self.validate = validate

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = name.upper()

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[T]": ...
    @overload
    def __get__(self, instance: "Conf", owner: type) -> T: ...
    def __get__(self, instance: "Conf | None", owner: type) -> "Setting[T] | T":
        if instance is None:
            return self
        value: T = instance.user_settings.get(self.key, self.default)
        return value


class UrlSetting(Setting[str]):
    """A URL, or a callable that returns the URL of the site in force, such as a tenant's.

    It is read where an error would cost an attempt. So one is logged, and there is no URL.
    """

    @overload
    def __get__(self, instance: None, owner: type) -> "UrlSetting": ...
    @overload
    def __get__(self, instance: "Conf", owner: type) -> str: ...
    def __get__(self, instance: "Conf | None", owner: type) -> "UrlSetting | str":
        """Return the URL, or an empty string."""
        if instance is None:
            return self
        value: object = super().__get__(instance, owner)
        if not callable(value):
            return cast(str, value)
        try:
            url = value()
        except KeyboardInterrupt:
            raise
        except BaseException:  # a library may even call sys.exit()
            logger.exception("DOCRAPTOR[%r] raised an exception: there is no URL", self.key)
            return ""
        if error := optional_url_error(url):
            logger.error("DOCRAPTOR[%r] returned %r, which %s: it is ignored", self.key, url, error)
            return ""
        return cast(str, url)

    def is_callable(self) -> bool:
        """Return whether the URL depends on the site in force, so that no check can know it."""
        return callable(conf.user_settings.get(self.key))


class Conf:
    """The keys of ``DOCRAPTOR`` as attributes in lower case."""

    #: API key: a string, several (the first creates, all may ask), or a callable that takes the
    #: account's name and returns them.
    api_key: Setting[Any] = Setting("", api_key_error)
    #: What accounts have of their own, by name; or the dotted path of a provider that knows them.
    #: See `account_settings`.
    accounts: Setting[Any] = Setting(None, accounts_error)
    #: Create free, watermarked test documents by default.
    test_mode = Setting(True, instance_of(bool))
    #: URL of DocRaptor's API, or of the sandbox in development.
    base_url = Setting(DOCRAPTOR_URL, url_error)
    #: Public URL of this site, for callbacks, or a callable that returns it; "" means polling only.
    callback_base_url = UrlSetting("", optional_url_or_callable_error)
    #: Seconds: connect, create_read, sync_read, status_read, download_read; total: a whole call.
    timeout: Setting[Mapping[str, float]] = Setting(
        {},
        mapping_of(
            positive_number(int, float, maximum=MAX_CALL_SECONDS),
            "connect",
            "create_read",
            "sync_read",
            "status_read",
            "download_read",
            "total",
        ),
    )
    #: Default DocRaptor options of every document, e.g.
    #: ``{"javascript": True, "prince_options": {…}}``.
    defaults: Setting[Mapping[str, Any]] = Setting({}, instance_of(dict))
    #: Seconds that an accepted attempt may take. DocRaptor terminates asynchronous documents after
    #: 600 s.
    deadline: Setting[float] = Setting(
        660, positive_number(int, float, maximum=MAX_DURATION.total_seconds())
    )
    #: Seconds between polls: ``fraction`` of the attempt's age, but at least ``floor`` and at most
    #: ``ceiling``.
    poll: Setting[Mapping[str, float]] = Setting(
        {},
        mapping_of(
            positive_number(int, float, maximum=MAX_CALL_SECONDS), "floor", "ceiling", "fraction"
        ),
    )
    #: Maximum number of documents in progress at DocRaptor per account. DocRaptor's default limit
    #: is 30.
    max_in_flight = Setting(30, positive_number(int))
    #: Seconds from the first of consecutive failures until a job gives up: 3 days.
    retry_for: Setting[float] = Setting(
        259_200, positive_number(int, float, maximum=MAX_DURATION.total_seconds())
    )
    #: Number of ``documents`` of one document class and object within so many ``seconds`` after
    #: which the next ones are held until a person releases them; ``None`` means no limit.
    max_per_source: Setting[Mapping[str, float] | None] = Setting(
        {"documents": 20, "seconds": 3600}, source_limit_error
    )
    #: Billed documents that an account may make in a ``day`` and a ``month``, and the numbers
    #: (``soft_day``, ``soft_month``) from which on people are told; ``None`` means no limit.
    budget: Setting[Mapping[str, int] | None] = Setting(None, budget_error)
    #: The same for the documents of each owner; or a callable that takes the owner's primary key.
    owner_budget: Setting[Any] = Setting(None, owner_budget_error)
    #: Whether production documents may be made, or the names of the hosts on which they may.
    allow_live: Setting[bool | Collection[str]] = Setting(True, allow_live_error)
    #: What to do if an attempt's outcome is unknown and DocRaptor's log never lists it.
    unconfirmed: Setting[str | None] = Setting(None, unconfirmed_error)
    #: Send a free test document if nothing else can show that an attempt was not accepted.
    probe = Setting(True, instance_of(bool))
    #: Read DocRaptor's generation log of each document, once, after success.
    generation_log = Setting(False, instance_of(bool))
    #: Directory for downloaded files until the storage has them.
    spool_dir: Setting[str | Path] = Setting("", instance_of(str, Path))
    #: Maximum size of a downloaded document, in bytes.
    max_document_bytes = Setting(200 * MEBIBYTE, positive_number(int))
    #: Maximum size of the HTML, in bytes.
    max_content_bytes = Setting(20 * MEBIBYTE, positive_number(int))
    #: Names of the preflight's rules that are turned off.
    preflight_ignore: Setting[Collection[str]] = Setting((), preflight_rules_error)
    #: Output of the template tags: ``"inline"`` (data: URIs) or ``"absolute"`` (URLs).
    assets = Setting("inline", assets_error)
    #: Public URL of this site, for ``"absolute"`` assets.
    assets_base_url = Setting("", optional_url_error)
    #: Maximum size of one embedded asset, in bytes.
    max_asset_bytes = Setting(5 * MEBIBYTE, positive_number(int))
    #: Maximum total size of the assets embedded in one document, in bytes.
    max_assets_bytes = Setting(12 * MEBIBYTE, positive_number(int))
    #: How long ``docraptor_prune`` keeps finished ``jobs`` and their ``inputs``.
    retention: Setting[Mapping[str, timedelta]] = Setting(
        {}, mapping_of(duration_error, "jobs", "inputs")
    )
    #: How long a share link works, unless ``share(expires_in=…)`` says otherwise.
    share_link_lifetime: Setting[timedelta] = Setting(timedelta(days=7), share_lifetime_error)
    #: URL of an attempt in DocRaptor's log, with ``{tag}`` or ``{status_id}``, for the admin.
    log_url = Setting("", log_url_error)
    #: Proxies, in the format of requests, e.g. ``{"https": "http://proxy:3128"}``.
    proxies: Setting[Mapping[str, str]] = Setting({}, string_mapping_error)
    #: Path of a CA bundle; "" means certifi's.
    ca_bundle: Setting[str | Path] = Setting("", instance_of(str, Path))
    #: What wakes workers: ``"celery"``, ``"django.tasks"``, ``"none"`` (docraptor_tick does all the
    #: work), or the dotted path of a class; ``None`` means the first that has a queue.
    runner: Setting[str | None] = Setting(None, runner_error)
    #: Alias in ``TASKS`` (``backend``) and ``queue_name`` for the runner django.tasks.
    django_tasks: Setting[Mapping[str, str]] = Setting(
        {}, mapping_of(instance_of(str), "backend", "queue_name")
    )
    #: Dotted paths of modules that receive metrics or traces; they are imported at startup.
    metrics: Setting[Collection[str]] = Setting((), dotted_paths_error)
    #: ``host``, ``port`` and ``prefix`` of the receiver ``django_docraptor.metrics.statsd``.
    statsd: Setting[Mapping[str, Any]] = Setting({}, statsd_error)
    #: Token of the health view, which does not exist without one.
    health_token: Setting[str | None] = Setting("", health_token_error)
    #: Dotted path of the client class.
    client = Setting("django_docraptor.client.Client", instance_of(str))

    @property
    def user_settings(self) -> Mapping[str, Any]:
        """The project's ``DOCRAPTOR`` dict, or an empty one. No traceback shows its secrets."""
        # Nothing is assigned to a variable before the keys are hidden: a traceback would show it.
        if not isinstance(getattr(settings, "DOCRAPTOR", {}), Mapping):
            return {}
        if not isinstance(getattr(settings, "DOCRAPTOR", {}).get("ACCOUNTS"), Mapping):
            return cast(Mapping[str, Any], hide(getattr(settings, "DOCRAPTOR", {})))
        accounts = HiddenAccounts()
        accounts.values_by_name = cast(Any, settings).DOCRAPTOR["ACCOUNTS"]
        return {**hide(settings.DOCRAPTOR), "ACCOUNTS": accounts}

    def get_api_key(self, account: str) -> SecretText:
        """Return the API key with which the account creates documents.

        Raises:
            ConfigurationError: there is none.
        """
        return self.get_api_keys(account)[0]

    def get_api_keys(self, account: str) -> tuple[SecretText, ...]:
        """Return the account's API keys: the first creates, all of them may ask.

        Raises:
            ConfigurationError: there is none.
        """
        key = self.api_key
        try:
            value = hide(key(account) if callable(key) else key)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a key store's library may even call sys.exit()
            raise ConfigurationError(
                f"DOCRAPTOR['API_KEY'] raised {type(error).__name__} for the account {account!r}."
            ) from error
        keys = value if isinstance(value, tuple) else (value,)
        if wrong := [type(key).__name__ for key in keys if not isinstance(key, SecretText | None)]:
            raise ConfigurationError(
                f"DOCRAPTOR['API_KEY'] provides no key for the account {account!r}: it must be a "
                f"str, not {wrong[0]}."
            )
        # A key that is read from a file ends with a newline, which DocRaptor would reject.
        stripped = (SecretText((key or "").strip()) for key in keys)
        if not (usable := tuple(dict.fromkeys(filter(None, stripped)))):
            raise ConfigurationError(
                f"DOCRAPTOR['API_KEY'] provides no key for the account {account!r}. Set "
                "DOCRAPTOR_API_KEY, or whatever the settings read it from, in the environment of "
                "this process, or set it to a callable that returns a key."
            )
        return usable

    @property
    def is_live_allowed(self) -> bool:
        """Whether this process may make production documents. A wrong value allows none."""
        allowed = self.allow_live
        if isinstance(allowed, bool) or allow_live_error(allowed):
            return allowed is True
        return socket.gethostname().lower() in {name.lower() for name in allowed}

    @property
    def spool_path(self) -> Path:
        """The spool directory; by default a private one in the system's temporary directory."""
        default = Path(tempfile.gettempdir()) / f"django-docraptor-spool-{os.getuid()}"
        return Path(self.spool_dir or default)


def declared_settings() -> Iterator[Setting[Any]]:
    """Yield all settings in the order of their declaration."""
    return (value for value in vars(Conf).values() if isinstance(value, Setting))


conf = Conf()
