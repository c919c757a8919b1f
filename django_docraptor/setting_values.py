"""Internal. What the values of ``DOCRAPTOR`` may be: limits, and validators of values.

A validator returns what is wrong, as the end of a sentence about the setting, or ``None``. Knows no
names of settings and no defaults; these are in ``conf``.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from string import Formatter
from typing import Any, Final, TypeAlias, cast

ErrorMessage: TypeAlias = str | None
Validator: TypeAlias = Callable[[object], ErrorMessage]

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


def instance_of(*types: type) -> Validator:
    """Return a validator that requires an instance of one of these types."""
    names = " or ".join(type_.__name__ for type_ in types)

    def validate(value: object) -> ErrorMessage:
        if isinstance(value, bool) and bool not in types:
            return f"must be {names}, not bool"
        return None if isinstance(value, types) else f"must be {names}, not {type(value).__name__}"

    return validate


def positive_number(*types: type, maximum: float = sys.maxsize) -> Validator:
    """Return a validator that requires a positive number of one of these types."""

    def validate(value: object) -> ErrorMessage:
        if error := instance_of(*types)(value):
            return error
        number = cast(float, value)
        if number > maximum:
            return f"must be at most {maximum:,.0f}"
        return None if number > 0 else "must be greater than zero"

    return validate


def optional_url_error(value: object) -> ErrorMessage:
    """Return why a value is neither a URL nor ""."""
    return url_error(value) if value != "" else None


def url_error(value: object) -> ErrorMessage:
    """Return why a value is not a URL."""
    if not isinstance(value, str):
        return f"must be str, not {type(value).__name__}"
    if not value.startswith(("https://", "http://")):
        return "must begin with https:// or http://"
    return None


def log_url_error(value: object) -> ErrorMessage:
    """Return why a value is not the URL of an attempt in DocRaptor's log, or ""."""
    if error := optional_url_error(value):
        return error
    try:
        names = {name for _text, name, *_rest in Formatter().parse(str(value)) if name is not None}
    except ValueError as error_of_format:
        return f"must not have a single brace: {error_of_format}"
    unknown = sorted(names - set(LOG_URL_FIELDS))
    known = " and ".join(f"{{{name}}}" for name in LOG_URL_FIELDS)
    return f"has the unknown field {{{unknown[0]}}}; valid are {known}" if unknown else None


def optional_url_or_callable_error(value: object) -> ErrorMessage:
    """Return why a value is neither a URL nor "", nor a callable."""
    return None if callable(value) else optional_url_error(value)


def string_mapping_error(value: object) -> ErrorMessage:
    """Return why a value does not map strings to strings."""
    if not isinstance(value, Mapping):
        return f"must be a dict, not {type(value).__name__}"
    for name, text in value.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            return (
                f"must map strings to strings, not {type(name).__name__} to {type(text).__name__}"
            )
    return None


def api_key_error(value: object) -> ErrorMessage:
    """Return why a value is neither an API key, nor several, nor a callable."""
    # None is what an environment variable that is not set gives: the key is missing.
    is_valid = value is None or isinstance(value, str) or callable(value)
    if isinstance(value, (list, tuple)):
        is_valid = all(isinstance(key, str | None) for key in value)
    return None if is_valid else "must be a string, a list of strings or a callable"


def has_provider_methods(value: object) -> bool:
    """Return whether a value has the methods of a provider of accounts."""
    return all(callable(getattr(value, name, None)) for name in ("names", "get"))


def accounts_error(value: object) -> ErrorMessage:
    """Return why a value cannot be the accounts, nor their provider."""
    is_path = isinstance(value, str) and "." in value
    if value is None or isinstance(value, Mapping) or is_path or has_provider_methods(value):
        return None
    return "must be a dict of dicts, or the dotted path of a provider with names() and get(name)"


def mapping_of(validate_item: Validator, *names: str) -> Validator:
    """Return a validator that requires a dict with some of these keys, and valid items."""

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
    """Return why a value is not a valid retention period.

    ``timedelta.max`` means forever.
    """
    if not isinstance(value, timedelta):
        return f"must be timedelta, not {type(value).__name__}"
    if timedelta(0) < value <= MAX_DURATION or value == timedelta.max:
        return None
    return f"must be a positive timedelta of at most {MAX_DURATION.days} days, or timedelta.max"


def share_lifetime_error(value: object) -> ErrorMessage:
    """Return why a share link cannot work for this long."""
    if not isinstance(value, timedelta):
        return f"must be timedelta, not {type(value).__name__}"
    if timedelta(0) < value <= MAX_SHARE_LIFETIME:
        return None
    return f"must be a positive timedelta of at most {MAX_SHARE_LIFETIME.days} days"


def unconfirmed_error(value: object) -> ErrorMessage:
    """Return why a value does not say what to do with an unknown outcome."""
    return None if value in (None, "fail", "resubmit") else 'must be "fail", "resubmit" or None'


def preflight_rules_error(value: object) -> ErrorMessage:
    """Return why a value does not name rules of the preflight."""
    if not isinstance(value, (list, tuple, set, frozenset)):
        return f"must be a list of rules, not {type(value).__name__}"
    for name in value:
        if name not in PREFLIGHT_RULES:
            return f"has the unknown rule {name!r}; the rules are {', '.join(PREFLIGHT_RULES)}"
    return None


def source_limit_error(value: object) -> ErrorMessage:
    """Return why a value does not limit the documents of one object."""
    if value is None:
        return None
    maximum = MAX_DURATION.total_seconds()
    return mapping_of(positive_number(int, maximum=maximum), "documents", "seconds")(value)


def budget_error(value: object) -> ErrorMessage:
    """Return why a value is not a budget; ``None`` is no limit."""
    if value is None:
        return None
    if error := mapping_of(_whole_number_error, *BUDGET_KEYS)(value):
        return error
    budget = cast(Mapping[str, int], value)
    for period in BUDGET_PERIODS:
        soft, hard = budget.get(f"soft_{period}"), budget.get(period)
        if soft is not None and hard is not None and soft > hard:
            return f"['soft_{period}'] is {soft}, more than ['{period}'], which is {hard}"
    return None


def _whole_number_error(value: object) -> ErrorMessage:
    if error := instance_of(int)(value):
        return error
    return None if 0 <= cast(int, value) <= MAX_BUDGET else f"must be from 0 to {MAX_BUDGET:,}"


def owner_budget_error(value: object) -> ErrorMessage:
    """Return why a value is neither a budget nor a callable."""
    return None if callable(value) else budget_error(value)


def allow_live_error(value: object) -> ErrorMessage:
    """Return why a value does not say where production documents may be made."""
    is_list = isinstance(value, (list, tuple, set, frozenset))
    if isinstance(value, bool) or (is_list and all(isinstance(n, str) for n in cast(Any, value))):
        return None
    return f"must be True, False or a list of host names, not {value!r}"


def dotted_paths_error(value: object) -> ErrorMessage:
    """Return why a value is not a list of dotted paths."""
    if not isinstance(value, (list, tuple)):
        return f"must be a list of dotted paths, not {type(value).__name__}"
    for path in value:
        if not (isinstance(path, str) and all(part.isidentifier() for part in path.split("."))):
            return f"must contain dotted paths of modules, not {path!r}"
    return None


def health_token_error(value: object) -> ErrorMessage:
    """Return why a value is not a token of the health view, or none."""
    if value is None or value == "":  # what an environment variable that is not set gives
        return None
    if not isinstance(value, str):
        return f"must be str, not {type(value).__name__}"
    is_usable = len(value) >= MIN_TOKEN_LENGTH and value.isascii() and value.isprintable()
    words = f"must have at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces"
    return None if is_usable and " " not in value else words


def statsd_error(value: object) -> ErrorMessage:
    """Return why a value does not say where StatsD is."""
    if error := mapping_of(instance_of(str, int), "host", "port", "prefix")(value):
        return error
    port = cast(Mapping[str, object], value).get("port", 1)
    is_port = isinstance(port, int) and 0 < port < 65_536
    return None if is_port else f"['port'] must be a port number, not {port!r}"


def assets_error(value: object) -> ErrorMessage:
    """Return why a value is not an output of the template tags."""
    return None if value in ("inline", "absolute") else 'must be "inline" or "absolute"'


def runner_error(value: object) -> ErrorMessage:
    """Return why a value does not name a runner."""
    if value in (None, "celery", "django.tasks", "none"):
        return None
    is_path = isinstance(value, str) and "." in value
    is_path = is_path and all(part.isidentifier() for part in str(value).split("."))
    return None if is_path else 'must be "celery", "django.tasks", "none", a dotted path or None'
