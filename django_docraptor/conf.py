"""Internal. The ``DOCRAPTOR`` setting: one typed dict, read on every access.

Nothing is read at import or cached, so ``override_settings`` works. This module knows names, types
and defaults; `checks` reports invalid values.
"""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Any, Final, Generic, TypeVar, cast, overload

from django.conf import settings

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.secret_text import HiddenAccounts, SecretText, hide

logger = logging.getLogger(__name__)

T = TypeVar("T")
ErrorMessage = str | None

DOCRAPTOR_URL: Final = "https://api.docraptor.com"
MEBIBYTE: Final = 1024 * 1024
# What LOG_URL may contain: the attempt's tag, and DocRaptor's ID of it.
LOG_URL_FIELDS: Final = ("tag", "status_id")
# Names of the preflight's rules.
PREFLIGHT_RULES: Final = (
    "content-size",
    "expired-url",
    "login-page",
    "misnested-tag",
    "missing-file",
    "private-host",
    "relative-url",
    "undefined-variable",
)
# Limit so that every database can add it to, or subtract it from, the current time.
MAX_DURATION: Final = timedelta(days=36_500)
# Limit for share links: one that is forgotten must end.
MAX_SHARE_LIFETIME: Final = timedelta(days=365)
# Least length of the token of the health view: it is sent again and again, without a limit.
MIN_TOKEN_LENGTH: Final = 20
# Periods of a budget, and the keys of one: how many documents it allows, and from which number on
# people are told.
BUDGET_PERIODS: Final = ("day", "month")
BUDGET_KEYS: Final = (*BUDGET_PERIODS, *(f"soft_{period}" for period in BUDGET_PERIODS))
MAX_BUDGET: Final = 1_000_000_000
# Limit for timeouts, in seconds: what the operating system's timers accept.
MAX_CALL_SECONDS: Final = 86_400


def _instance_of(*types: type) -> Callable[[object], ErrorMessage]:
    names = " or ".join(type_.__name__ for type_ in types)

    def validate(value: object) -> ErrorMessage:
        if isinstance(value, bool) and bool not in types:
            return f"must be {names}, not bool"
        return None if isinstance(value, types) else f"must be {names}, not {type(value).__name__}"

    return validate


def _positive_number(
    *types: type, maximum: float = sys.maxsize
) -> Callable[[object], ErrorMessage]:
    def validate(value: object) -> ErrorMessage:
        if error := _instance_of(*types)(value):
            return error
        number = cast(float, value)
        if number > maximum:
            return f"must be at most {maximum:,.0f}"
        return None if number > 0 else "must be greater than zero"

    return validate


def _optional_url(value: object) -> ErrorMessage:
    return _url(value) if value != "" else None


def _url(value: object) -> ErrorMessage:
    if not isinstance(value, str):
        return f"must be str, not {type(value).__name__}"
    if not value.startswith(("https://", "http://")):
        return "must begin with https:// or http://"
    return None


def _log_url(value: object) -> ErrorMessage:
    if error := _optional_url(value):
        return error
    try:
        names = {name for _text, name, *_rest in Formatter().parse(str(value)) if name is not None}
    except ValueError as error_of_format:
        return f"must not have a single brace: {error_of_format}"
    unknown = sorted(names - set(LOG_URL_FIELDS))
    known = " and ".join(f"{{{name}}}" for name in LOG_URL_FIELDS)
    return f"has the unknown field {{{unknown[0]}}}; valid are {known}" if unknown else None


def _optional_url_or_callable(value: object) -> ErrorMessage:
    return None if callable(value) else _optional_url(value)


def _string_mapping(value: object) -> ErrorMessage:
    if not isinstance(value, Mapping):
        return f"must be a dict, not {type(value).__name__}"
    for name, text in value.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            return (
                f"must map strings to strings, not {type(name).__name__} to {type(text).__name__}"
            )
    return None


def _api_key(value: object) -> ErrorMessage:
    # None is what an environment variable that is not set gives: the key is missing.
    is_valid = value is None or isinstance(value, str) or callable(value)
    if isinstance(value, (list, tuple)):
        is_valid = all(isinstance(key, str | None) for key in value)
    return None if is_valid else "must be a string, a list of strings or a callable"


def _accounts(value: object) -> ErrorMessage:
    is_path = isinstance(value, str) and "." in value
    is_provider = all(callable(getattr(value, name, None)) for name in ("names", "get"))
    if value is None or isinstance(value, Mapping) or is_path or is_provider:
        return None
    return "must be a dict of dicts, or the dotted path of a provider with names() and get(name)"


def _mapping_of(
    validate_item: Callable[[object], ErrorMessage], *names: str
) -> Callable[[object], ErrorMessage]:
    def validate(value: object) -> ErrorMessage:
        if not isinstance(value, Mapping):
            return f"must be a dict with the keys {', '.join(names)}"
        for name, item in value.items():
            if name not in names:
                return f"has the unknown key {name!r}; valid keys are {', '.join(names)}"
            if error := validate_item(item):
                return f"[{name!r}] {error}"
        return None

    return validate


def duration_error(value: object) -> ErrorMessage:
    """Return why a value is not a valid retention period, or ``None``.

    ``timedelta.max`` means forever.
    """
    if not isinstance(value, timedelta):
        return f"must be timedelta, not {type(value).__name__}"
    if timedelta(0) < value <= MAX_DURATION or value == timedelta.max:
        return None
    return f"must be a positive timedelta of at most {MAX_DURATION.days} days, or timedelta.max"


def share_lifetime_error(value: object) -> ErrorMessage:
    """Return why a share link cannot work for this long, or ``None``."""
    if not isinstance(value, timedelta):
        return f"must be timedelta, not {type(value).__name__}"
    if timedelta(0) < value <= MAX_SHARE_LIFETIME:
        return None
    return f"must be a positive timedelta of at most {MAX_SHARE_LIFETIME.days} days"


def _unconfirmed_policy(value: object) -> ErrorMessage:
    return None if value in (None, "fail", "resubmit") else 'must be "fail", "resubmit" or None'


def preflight_rules_error(value: object) -> ErrorMessage:
    """Return why a value does not name rules of the preflight, or ``None``."""
    if not isinstance(value, (list, tuple, set, frozenset)):
        return f"must be a list of rules, not {type(value).__name__}"
    for name in value:
        if name not in PREFLIGHT_RULES:
            return f"has the unknown rule {name!r}; the rules are {', '.join(PREFLIGHT_RULES)}"
    return None


def _source_limit(value: object) -> ErrorMessage:
    if value is None:
        return None
    maximum = MAX_DURATION.total_seconds()
    return _mapping_of(_positive_number(int, maximum=maximum), "documents", "seconds")(value)


def budget_error(value: object) -> ErrorMessage:
    """Return why a value is not a budget, or ``None``; ``None`` is no limit."""
    if value is None:
        return None
    if error := _mapping_of(_whole_number, *BUDGET_KEYS)(value):
        return error
    budget = cast(Mapping[str, int], value)
    for period in BUDGET_PERIODS:
        soft, hard = budget.get(f"soft_{period}"), budget.get(period)
        if soft is not None and hard is not None and soft > hard:
            return f"['soft_{period}'] is {soft}, more than ['{period}'], which is {hard}"
    return None


def _whole_number(value: object) -> ErrorMessage:
    if error := _instance_of(int)(value):
        return error
    return None if 0 <= cast(int, value) <= MAX_BUDGET else f"must be from 0 to {MAX_BUDGET:,}"


def _owner_budget(value: object) -> ErrorMessage:
    return None if callable(value) else budget_error(value)


def _allow_live(value: object) -> ErrorMessage:
    is_list = isinstance(value, (list, tuple, set, frozenset))
    if isinstance(value, bool) or (is_list and all(isinstance(n, str) for n in cast(Any, value))):
        return None
    return f"must be True, False or a list of host names, not {value!r}"


def _dotted_paths(value: object) -> ErrorMessage:
    if not isinstance(value, (list, tuple)):
        return f"must be a list of dotted paths, not {type(value).__name__}"
    for path in value:
        if not (isinstance(path, str) and all(part.isidentifier() for part in path.split("."))):
            return f"must contain dotted paths of modules, not {path!r}"
    return None


def _health_token(value: object) -> ErrorMessage:
    if value is None or value == "":  # what an environment variable that is not set gives
        return None
    if not isinstance(value, str):
        return f"must be str, not {type(value).__name__}"
    is_usable = len(value) >= MIN_TOKEN_LENGTH and value.isascii() and value.isprintable()
    words = f"must have at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces"
    return None if is_usable and " " not in value else words


def _statsd(value: object) -> ErrorMessage:
    if error := _mapping_of(_instance_of(str, int), "host", "port", "prefix")(value):
        return error
    port = cast(Mapping[str, object], value).get("port", 1)
    is_port = isinstance(port, int) and 0 < port < 65_536
    return None if is_port else f"['port'] must be a port number, not {port!r}"


def _asset_mode(value: object) -> ErrorMessage:
    return None if value in ("inline", "absolute") else 'must be "inline" or "absolute"'


def _runner(value: object) -> ErrorMessage:
    if value in (None, "celery", "django.tasks", "none"):
        return None
    is_path = isinstance(value, str) and "." in value
    is_path = is_path and all(part.isidentifier() for part in str(value).split("."))
    return None if is_path else 'must be "celery", "django.tasks", "none", a dotted path or None'


class Setting(Generic[T]):
    """One key of the dict, with its default and its validator."""

    def __init__(self, default: T, validate: Callable[[object], ErrorMessage]) -> None:
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
        except Exception:
            logger.exception("DOCRAPTOR[%r] raised an exception: there is no URL", self.key)
            return ""
        if error := _optional_url(url):
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
    api_key: Setting[Any] = Setting("", _api_key)
    #: What accounts have of their own, by name; or the dotted path of a provider that knows them.
    #: See `account_settings`.
    accounts: Setting[Any] = Setting(None, _accounts)
    #: Create free, watermarked test documents by default.
    test_mode = Setting(True, _instance_of(bool))
    #: URL of DocRaptor's API, or of the sandbox in development.
    base_url = Setting(DOCRAPTOR_URL, _url)
    #: Public URL of this site, for callbacks, or a callable that returns it; "" means polling only.
    callback_base_url = UrlSetting("", _optional_url_or_callable)
    #: Seconds: connect, create_read, sync_read, status_read, download_read; total: a whole call.
    timeout: Setting[Mapping[str, float]] = Setting(
        {},
        _mapping_of(
            _positive_number(int, float, maximum=MAX_CALL_SECONDS),
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
    defaults: Setting[Mapping[str, Any]] = Setting({}, _instance_of(dict))
    #: Seconds that an accepted attempt may take. DocRaptor terminates asynchronous documents after
    #: 600 s.
    deadline: Setting[float] = Setting(
        660, _positive_number(int, float, maximum=MAX_DURATION.total_seconds())
    )
    #: Seconds between polls: ``fraction`` of the attempt's age, but at least ``floor`` and at most
    #: ``ceiling``.
    poll: Setting[Mapping[str, float]] = Setting(
        {},
        _mapping_of(
            _positive_number(int, float, maximum=MAX_CALL_SECONDS), "floor", "ceiling", "fraction"
        ),
    )
    #: Maximum number of documents in progress at DocRaptor per account. DocRaptor's default limit
    #: is 30.
    max_in_flight = Setting(30, _positive_number(int))
    #: Seconds from the first of consecutive failures until a job gives up: 3 days.
    retry_for: Setting[float] = Setting(
        259_200, _positive_number(int, float, maximum=MAX_DURATION.total_seconds())
    )
    #: Number of ``documents`` of one document class and object within so many ``seconds`` after
    #: which the next ones are held until a person releases them; ``None`` means no limit.
    max_per_source: Setting[Mapping[str, float] | None] = Setting(
        {"documents": 20, "seconds": 3600}, _source_limit
    )
    #: Billed documents that an account may make in a ``day`` and a ``month``, and the numbers
    #: (``soft_day``, ``soft_month``) from which on people are told; ``None`` means no limit.
    budget: Setting[Mapping[str, int] | None] = Setting(None, budget_error)
    #: The same for the documents of each owner; or a callable that takes the owner's primary key.
    owner_budget: Setting[Any] = Setting(None, _owner_budget)
    #: Whether production documents may be made, or the names of the hosts on which they may.
    allow_live: Setting[bool | Collection[str]] = Setting(True, _allow_live)
    #: What to do if an attempt's outcome is unknown and DocRaptor's log never lists it.
    unconfirmed: Setting[str | None] = Setting(None, _unconfirmed_policy)
    #: Send a free test document if nothing else can show that an attempt was not accepted.
    probe = Setting(True, _instance_of(bool))
    #: Read DocRaptor's generation log of each document, once, after success.
    generation_log = Setting(False, _instance_of(bool))
    #: Directory for downloaded files until the storage has them.
    spool_dir: Setting[str | Path] = Setting("", _instance_of(str, Path))
    #: Maximum size of a downloaded document, in bytes.
    max_document_bytes = Setting(200 * MEBIBYTE, _positive_number(int))
    #: Maximum size of the HTML, in bytes.
    max_content_bytes = Setting(20 * MEBIBYTE, _positive_number(int))
    #: Names of the preflight's rules that are turned off.
    preflight_ignore: Setting[Collection[str]] = Setting((), preflight_rules_error)
    #: Output of the template tags: ``"inline"`` (data: URIs) or ``"absolute"`` (URLs).
    assets = Setting("inline", _asset_mode)
    #: Public URL of this site, for ``"absolute"`` assets.
    assets_base_url = Setting("", _optional_url)
    #: Maximum size of one embedded asset, in bytes.
    max_asset_bytes = Setting(5 * MEBIBYTE, _positive_number(int))
    #: Maximum total size of the assets embedded in one document, in bytes.
    max_assets_bytes = Setting(12 * MEBIBYTE, _positive_number(int))
    #: How long ``docraptor_prune`` keeps finished ``jobs`` and their ``inputs``.
    retention: Setting[Mapping[str, timedelta]] = Setting(
        {}, _mapping_of(duration_error, "jobs", "inputs")
    )
    #: How long a share link works, unless ``share(expires_in=…)`` says otherwise.
    share_link_lifetime: Setting[timedelta] = Setting(timedelta(days=7), share_lifetime_error)
    #: URL of an attempt in DocRaptor's log, with ``{tag}`` or ``{status_id}``, for the admin.
    log_url = Setting("", _log_url)
    #: Proxies, in the format of requests, e.g. ``{"https": "http://proxy:3128"}``.
    proxies: Setting[Mapping[str, str]] = Setting({}, _string_mapping)
    #: Path of a CA bundle; "" means certifi's.
    ca_bundle: Setting[str | Path] = Setting("", _instance_of(str, Path))
    #: What wakes workers: ``"celery"``, ``"django.tasks"``, ``"none"`` (docraptor_tick does all the
    #: work), or the dotted path of a class; ``None`` means the first that has a queue.
    runner: Setting[str | None] = Setting(None, _runner)
    #: Alias in ``TASKS`` (``backend``) and ``queue_name`` for the runner django.tasks.
    django_tasks: Setting[Mapping[str, str]] = Setting(
        {}, _mapping_of(_instance_of(str), "backend", "queue_name")
    )
    #: Dotted paths of modules that receive metrics or traces; they are imported at startup.
    metrics: Setting[Collection[str]] = Setting((), _dotted_paths)
    #: ``host``, ``port`` and ``prefix`` of the receiver ``django_docraptor.metrics.statsd``.
    statsd: Setting[Mapping[str, Any]] = Setting({}, _statsd)
    #: Token of the health view, which does not exist without one.
    health_token: Setting[str | None] = Setting("", _health_token)
    #: Dotted path of the client class.
    client = Setting("django_docraptor.client.Client", _instance_of(str))

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
        if isinstance(allowed, bool) or _allow_live(allowed):
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
