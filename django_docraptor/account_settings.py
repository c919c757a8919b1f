"""Internal. The settings of each account: its own in ``DOCRAPTOR["ACCOUNTS"]``, else those of all.

``ACCOUNTS`` is a dict of dicts, or a provider with ``names()`` and ``get(name)``. A provider may
read the database, so it is asked in the calling thread; what it says is kept for a moment. Its
failure is a `ConfigurationError`, as that of an ``API_KEY`` callable: jobs wait.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Protocol, cast

from django.core.exceptions import ObjectDoesNotExist
from django.core.signals import setting_changed
from django.db import connection
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from django_docraptor.conf import Conf, Setting, conf
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.secret_text import SecretText, hide
from django_docraptor.setting_values import has_provider_methods

# The account of a document that names none.
DEFAULT_ACCOUNT: Final = "default"
# Seconds for which a process keeps what a provider has said of an account.
PROVIDER_SECONDS: Final = 30.0
# Length of the column `account`.
MAX_NAME_LENGTH: Final = 64
# Names that a message lists.
MAX_LISTED: Final = 10
# The settings that an account may have of its own.
ACCOUNT_SETTINGS: Final[tuple[Setting[Any], ...]] = (
    Conf.api_key,
    Conf.test_mode,
    Conf.max_in_flight,
    Conf.budget,
    Conf.defaults,
    Conf.unconfirmed,
    Conf.base_url,
    Conf.callback_base_url,
    Conf.retention,
)
ACCOUNT_KEYS: Final = tuple(setting.key for setting in ACCOUNT_SETTINGS)


class UnknownAccountError(ConfigurationError):
    """``DOCRAPTOR["ACCOUNTS"]`` has no account of this name."""


class ProviderError(ConfigurationError):
    """The provider of accounts failed: that says nothing about an account, and may pass."""


class AccountProvider(Protocol):
    """Where the accounts are kept, such as a table of tenants."""

    def names(self) -> Collection[str]:
        """Return the names of all accounts."""

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Return the settings of an account, a dict as in ``ACCOUNTS``.

        Returns:
            ``None`` if there is no such account; Django's ``DoesNotExist`` says the same.
        """


class AccountSettings(Conf):
    """The settings of one account: what it does not have itself is as for all accounts."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self.name = name
        self._values = values

    @property
    def user_settings(self) -> Mapping[str, Any]:
        """The keys of ``DOCRAPTOR`` for this account. No traceback shows its API key."""
        return self._values

    @property
    def api_keys(self) -> tuple[SecretText, ...]:
        """The account's API keys: the first creates, all of them may ask.

        Raises:
            ConfigurationError: there is none.
        """
        return self.get_api_keys(self.name)


def account_settings(name: str) -> AccountSettings:
    """Return the settings of an account.

    Without ``ACCOUNTS``, every name has those of all accounts.

    Raises:
        UnknownAccountError: there is no such account; the message names the nearest one.
        ProviderError: the provider failed.
    """
    if not conf.accounts:
        return AccountSettings(name, conf.user_settings)
    own = _own_settings(name)
    if own is None:
        raise UnknownAccountError(_unknown_message(name))
    return AccountSettings(name, {**conf.user_settings, **own})


def settings_for_report(name: str) -> Conf:
    """Return the settings of an account for what only informs.

    If they cannot be told, such as those of an account that was removed, they are those of all
    accounts.
    """
    try:
        return account_settings(name)
    except ConfigurationError:
        return conf


def account_names() -> tuple[str, ...]:
    """Return the names of all accounts, in order; none without ``ACCOUNTS``: any name is valid.

    ``default`` is one of them if the settings of all accounts have a key.

    Raises:
        ProviderError: the provider failed.
    """
    if not conf.accounts:
        return ()
    names = _provider().names() if _is_provider(conf.accounts) else conf.accounts
    return tuple(sorted({*names, DEFAULT_ACCOUNT} if conf.api_key else names))


def names_may_share_keys() -> bool:
    """Return whether two names may have one key, by the settings.

    Without ``ACCOUNTS``, each name has its own limits, unless a callable has a key for each name.
    """
    return bool(conf.accounts) or callable(conf.api_key)


def hash_key(key: str) -> str:
    """Return a short keyed hash that tells an API key apart from others, and reveals nothing."""
    digest = salted_hmac("django_docraptor.api_key", key, algorithm="sha256").hexdigest()
    return str(digest[:16])


def own_setting_errors(values: object) -> Iterator[str]:
    """Yield what is wrong with the settings of an account."""
    if not isinstance(values, Mapping):
        yield f"must be a dict, not {type(values).__name__}"
        return
    for key in values:
        if key not in ACCOUNT_KEYS:
            nearest = get_close_matches(str(key).upper(), ACCOUNT_KEYS, n=1)
            valid = (
                f"nearest is {nearest[0]!r}" if nearest else f"valid: {listed_names(ACCOUNT_KEYS)}"
            )
            yield f"has the unknown key {key!r}; {valid}"
    for setting in ACCOUNT_SETTINGS:
        if setting.key in values and (error := setting.validate(values[setting.key])):
            yield f"[{setting.key!r}] {error}"


def fixed_accounts() -> Mapping[str, Mapping[str, Any]]:
    """Return the accounts that the settings themselves have; a check asks no provider."""
    accounts = conf.accounts
    return {} if not accounts or _is_provider(accounts) else accounts


def settings_by_account(key: str) -> dict[str, Conf]:
    """Return the settings to check for one key: those of all accounts, and those with their own.

    Args:
        key: of ``DOCRAPTOR``.

    Returns:
        By their place in the settings, as messages name it.
    """
    own = {
        f"DOCRAPTOR['ACCOUNTS'][{name!r}]": account_settings(name)
        for name, values in fixed_accounts().items()
        if key in values
    }
    return {"DOCRAPTOR": conf, **own}


def account_problems() -> Iterator[str]:
    """Yield what is wrong with ``ACCOUNTS``. A provider is imported, not asked: it reads tables."""
    if isinstance(conf.accounts, str):
        try:
            if not has_provider_methods(import_string(conf.accounts)):
                yield (
                    f"DOCRAPTOR['ACCOUNTS'] is {conf.accounts!r}, which is not a provider: it has "
                    "no methods names() and get(name)."
                )
        except ImportError as error:
            yield f"DOCRAPTOR['ACCOUNTS'] cannot be imported: {error}"
    accounts: Mapping[Any, object] = fixed_accounts()
    for name, values in accounts.items():
        where = f"DOCRAPTOR['ACCOUNTS'][{name!r}]"
        if not isinstance(name, str) or not 0 < len(name.strip()) <= len(name) <= MAX_NAME_LENGTH:
            yield f"{where}: a name must be a string of 1 to {MAX_NAME_LENGTH} characters."
        errors = own_setting_errors(values)
        yield from (f"{where}{'' if e.startswith('[') else ' '}{e}." for e in errors)


def is_blank_key(key: object) -> bool:
    """Return whether an ``API_KEY`` has no text; a callable is not called."""
    keys = key if isinstance(key, (list, tuple)) else (key,)
    return not any(key.strip() if isinstance(key, str) else key for key in keys)


def _own_settings(name: str) -> Mapping[str, Any] | None:
    """Return what an account has of its own; ``None`` if there is no such account."""
    accounts = conf.accounts
    is_provider = _is_provider(accounts)
    own: Any = _provider().get(name) if is_provider else accounts.get(name)
    if own is None and name == DEFAULT_ACCOUNT and conf.api_key:
        return {}
    if own is not None and not isinstance(own, Mapping):
        raise ConfigurationError(f"DOCRAPTOR['ACCOUNTS'][{name!r}] must be a dict.")
    return cast("Mapping[str, Any] | None", own)


def _unknown_message(name: str) -> str:
    names = account_names()
    nearest = get_close_matches(name, names, n=1)
    hint = (
        f"Did you mean {nearest[0]!r}?" if nearest else f"The accounts are {listed_names(names)}."
    )
    return f"There is no account {name!r} in DOCRAPTOR['ACCOUNTS']. {hint}"


def listed_names(names: Collection[str]) -> str:
    """Return the first ``MAX_LISTED`` names as text, with an ellipsis if there are more."""
    listed = list(names)[:MAX_LISTED]
    return ", ".join(listed) + (", …" if len(names) > MAX_LISTED else "")


def load_provider(source: Any) -> AccountProvider:
    """Return the provider that a value of ``ACCOUNTS`` names: a dotted path, a class or an object.

    Raises:
        ImportError: there is none.
    """
    source = import_string(source) if isinstance(source, str) else source
    return cast("AccountProvider", source() if isinstance(source, type) else source)


# --- providers -------------------------------------------------------------------------------


def _is_provider(accounts: object) -> bool:
    return not isinstance(accounts, Mapping)


class _CachedProvider:
    """A provider, with what it has said.

    Args:
        source: the value of ``ACCOUNTS``: a dotted path, a class or an object.
    """

    def __init__(self, source: object) -> None:
        self.source = source
        self._said: dict[tuple[str, str | None], tuple[float, Any]] = {}
        self._provider: AccountProvider | None = None

    def names(self) -> Collection[str]:
        """Return the names of the accounts."""
        return cast("Collection[str]", self._ask(None))

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Return the settings of an account, with its key hidden; ``None`` if there is none."""
        return cast("Mapping[str, Any] | None", self._ask(name))

    def _ask(self, name: str | None) -> Any:
        # With django-tenants, a schema may have its own accounts.
        key = (str(getattr(connection, "schema_name", "")), name)
        until, said = self._said.get(key, (0.0, None))
        if time.monotonic() < until:
            return said
        try:
            said = self._names() if name is None else self._settings_of(name)
        except (KeyboardInterrupt, ConfigurationError):
            raise
        except BaseException as error:  # a key store's library may even call sys.exit()
            called = "names()" if name is None else f"get({name!r})"
            raise ProviderError(
                f"DOCRAPTOR['ACCOUNTS'] cannot tell the accounts: {called} raised "
                f"{type(error).__name__}."
            ) from error
        if said is not None:  # one that is added now is known at once
            self._said[key] = (time.monotonic() + PROVIDER_SECONDS, said)
        return said

    def _names(self) -> tuple[str, ...]:
        said: Any = self._loaded().names()
        if isinstance(said, str):
            raise ProviderError(
                f"DOCRAPTOR['ACCOUNTS'].names() must return a list of strings, not {said!r}."
            )
        names = tuple(said)
        if wrong := [name for name in names if not isinstance(name, str)]:
            raise ProviderError(
                f"DOCRAPTOR['ACCOUNTS'].names() must return strings, not {wrong[0]!r}."
            )
        return names

    def _settings_of(self, name: str) -> Mapping[str, Any] | None:
        try:
            own = hide(self._loaded().get(name))
        except ObjectDoesNotExist:
            return None
        if own is None:
            return None
        for error in own_setting_errors(own):
            raise ProviderError(f"DOCRAPTOR['ACCOUNTS'].get({name!r}) {error}.")
        return cast("Mapping[str, Any]", own)

    def _loaded(self) -> AccountProvider:
        if self._provider is None:
            self._provider = load_provider(self.source)
        return self._provider


_cached: _CachedProvider | None = None


def _provider() -> _CachedProvider:
    global _cached
    source = conf.accounts
    cached = _cached
    if cached is None or cached.source != source:
        cached = _cached = _CachedProvider(source)
    return cached


def _forget_provider(*, setting: str, **kwargs: Any) -> None:
    global _cached
    if setting == "DOCRAPTOR":
        _cached = None


setting_changed.connect(_forget_provider)
