"""The settings of each account: their own ones, those of all, providers, unknown names."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections
from django.test import override_settings

from django_docraptor import account_settings as module
from django_docraptor.account_settings import (
    ACCOUNT_KEYS,
    PROVIDER_SECONDS,
    ProviderError,
    UnknownAccountError,
    account_names,
    account_problems,
    account_settings,
    is_blank_key,
    names_may_share_keys,
    own_setting_errors,
    settings_for_report,
)
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError

OWN: dict[str, Any] = {
    "API_KEY": "acme-key",
    "TEST_MODE": False,
    "MAX_IN_FLIGHT": 3,
    "BUDGET": {"day": 100, "soft_day": 80},
    "DEFAULTS": {"javascript": True},
    "UNCONFIRMED": "fail",
    "BASE_URL": "https://acme.example",
    "CALLBACK_BASE_URL": "https://acme.shop.example",
    "RETENTION": {"jobs": timedelta(days=5)},
}
NAMES: dict[str, Any] = {"acme": {}, "north": {}}
GLOBAL: dict[str, Any] = {"API_KEY": "key", "MAX_IN_FLIGHT": 7, "DEFAULTS": {"strict": "html"}}


class Tenants:
    """A provider that counts how often it is asked, and may fail."""

    def __init__(self, accounts: Mapping[str, Any], error: BaseException | None = None) -> None:
        self.accounts = dict(accounts)
        self.error = error
        self.asked: list[str | None] = []

    def names(self) -> list[str]:
        """Return the names."""
        self._ask(None)
        return list(self.accounts)

    def get(self, name: str) -> Any:
        """Return the settings of an account."""
        self._ask(name)
        return self.accounts.get(name)

    def _ask(self, name: str | None) -> None:
        self.asked.append(name)
        if self.error:
            raise self.error


class TenantsByPath(Tenants):
    """A provider that is made from its class."""

    def __init__(self) -> None:
        super().__init__({"acme": OWN})


def with_accounts(accounts: Any, **keys: Any) -> Any:
    """Return an override of the settings."""
    return override_settings(DOCRAPTOR={**GLOBAL, "ACCOUNTS": accounts, **keys})


def as_dict(name: str) -> dict[str, Any]:
    """Return an account's settings by their keys."""
    settings = account_settings(name)
    return {key: getattr(settings, key.lower()) for key in ACCOUNT_KEYS}


@pytest.mark.parametrize("accounts", [None, {}])
def test_without_accounts_every_name_has_the_settings_of_all(accounts: Any) -> None:
    """The settings of a site with one account stay as short as they were."""
    with with_accounts(accounts):
        assert account_settings("whatever").max_in_flight == 7
        assert account_settings("whatever").api_keys == ("key",)
        assert account_names() == ()
        assert not names_may_share_keys()


@pytest.mark.parametrize(
    "accounts",
    [{"acme": OWN}, Tenants({"acme": OWN}), TenantsByPath, f"{__name__}.TenantsByPath"],
    ids=["dict", "object", "class", "path"],
)
def test_account_has_its_own_settings(accounts: Any) -> None:
    """What an account has of its own counts for it, from a dict or a provider."""
    with with_accounts(accounts):
        assert as_dict("acme") == OWN
        assert account_settings("acme").api_keys == ("acme-key",)
        assert account_names() == ("acme", "default")


def test_account_has_the_other_settings_of_all() -> None:
    """What an account does not have of its own is as for all accounts."""
    with with_accounts({"acme": {"MAX_IN_FLIGHT": 3}}):
        settings = account_settings("acme")
        assert (settings.max_in_flight, settings.api_keys) == (3, ("key",))
        assert settings.defaults == {"strict": "html"}
        assert settings.test_mode is True


def test_default_has_the_settings_of_all() -> None:
    """The account ``default`` is there without being listed, if there is a key for it."""
    with with_accounts({"acme": OWN}):
        assert account_settings("default").max_in_flight == 7
    with with_accounts({"acme": OWN}, API_KEY=""), pytest.raises(UnknownAccountError):
        account_settings("default")


@pytest.mark.parametrize("accounts", [NAMES, Tenants(NAMES)])
def test_unknown_name_is_refused_with_the_nearest(accounts: Any) -> None:
    """A name that is misspelt is an error that names the right one; otherwise all are listed."""
    with with_accounts(accounts):
        with pytest.raises(UnknownAccountError, match=r"no account 'acmee'.*Did you mean 'acme'"):
            account_settings("acmee")
        with pytest.raises(UnknownAccountError, match="The accounts are acme, default, north"):
            account_settings("qqq")
        assert settings_for_report("qqq") is conf


def test_callable_key_gets_the_name_of_the_account() -> None:
    """A callable of all accounts is the key of those without one of their own."""
    with with_accounts({"acme": {}}, API_KEY=lambda name: [f"new-{name}", f"old-{name} "]):
        assert account_settings("acme").api_keys == ("new-acme", "old-acme")
        assert names_may_share_keys()


def test_provider_is_asked_once_in_a_while(monkeypatch) -> None:
    """A process keeps what a provider says for PROVIDER_SECONDS, and then asks again."""
    tenants, now = Tenants({"acme": {"MAX_IN_FLIGHT": 1}}), time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with with_accounts(tenants):
        for _ in range(3):
            assert account_settings("acme").max_in_flight == 1
        tenants.accounts["acme"] = {"MAX_IN_FLIGHT": 2}
        now += PROVIDER_SECONDS - 1
        assert account_settings("acme").max_in_flight == 1
        now += 2
        assert account_settings("acme").max_in_flight == 2
        assert tenants.asked == ["acme", "acme"]


def test_new_tenant_is_known_at_once() -> None:
    """That there is no account of a name is not kept."""
    tenants = Tenants({})
    with with_accounts(tenants):
        with pytest.raises(UnknownAccountError):
            account_settings("acme")
        tenants.accounts["acme"] = {"MAX_IN_FLIGHT": 2}
        assert account_settings("acme").max_in_flight == 2


def test_changed_setting_forgets_what_a_provider_said() -> None:
    """``override_settings`` works, also with the same provider."""
    path = f"{__name__}.TenantsByPath"
    with with_accounts(path):
        first = module._provider()
        with with_accounts(path):
            assert module._provider() is not first


def test_each_schema_has_its_own_accounts(monkeypatch) -> None:
    """With django-tenants, what was said in one tenant's schema does not count in another's."""
    tenants = Tenants({"acme": {"MAX_IN_FLIGHT": 1}})
    with with_accounts(tenants):
        monkeypatch.setattr(connections["default"], "schema_name", "north", raising=False)
        assert account_settings("acme").max_in_flight == 1
        tenants.accounts["acme"] = {"MAX_IN_FLIGHT": 2}
        monkeypatch.setattr(connections["default"], "schema_name", "south")
        assert account_settings("acme").max_in_flight == 2


@pytest.mark.parametrize("error", [OSError("secret"), SystemExit(1), RuntimeError("secret")])
def test_failing_provider_is_no_verdict(error: BaseException) -> None:
    """What a provider raises becomes an error that says so, without the text of the other one."""
    with with_accounts(Tenants({}, error)):
        for function in (account_names, lambda: account_settings("acme")):
            with pytest.raises(ProviderError, match=type(error).__name__) as caught:
                function()
            assert "secret" not in str(caught.value)
            assert caught.value.__cause__ is error


def test_missing_row_is_an_unknown_account() -> None:
    """A provider may let Django's DoesNotExist pass."""
    tenants = Tenants({})
    tenants.get = lambda name: (_ for _ in ()).throw(ObjectDoesNotExist)  # type: ignore[method-assign]
    with with_accounts(tenants), pytest.raises(UnknownAccountError):
        account_settings("acme")


def test_ctrl_c_ends_a_provider() -> None:
    """A person who interrupts a command is not told of a failing provider."""
    with with_accounts(Tenants({}, KeyboardInterrupt())), pytest.raises(KeyboardInterrupt):
        account_settings("acme")


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        (5, "must be a dict, not int"),
        ({"MAX_IN_FLIGHT": "3"}, "['MAX_IN_FLIGHT'] must be int"),
        ({"max_in_flight": 3}, "nearest is 'MAX_IN_FLIGHT'"),
        ({"TIMEOUT": {}}, "unknown key 'TIMEOUT'"),
        ({"API_KEY": 5}, "['API_KEY'] must be a string, a list of strings or a callable"),
    ],
)
def test_invalid_settings_of_an_account_are_told(own: Any, problem: str) -> None:
    """The check and a provider's error name the account, the key and what is wrong."""
    assert problem in next(own_setting_errors(own))
    with with_accounts({"acme": own}):
        (told,) = account_problems()
        assert told.startswith("DOCRAPTOR['ACCOUNTS']['acme']")
        assert problem in told
    with with_accounts(Tenants({"acme": own})), pytest.raises(ConfigurationError) as caught:
        account_settings("acme")
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, 5])
def test_invalid_names_are_told(name: Any) -> None:
    """A name must fit into the column."""
    with with_accounts({name: {}}):
        assert "a name must be a string" in next(account_problems())


def test_provider_must_return_names() -> None:
    """Names that are no strings are an error that shows one."""
    with with_accounts(Tenants({5: {}})), pytest.raises(ProviderError, match="not 5"):
        account_names()


def test_one_text_is_no_list_of_names(monkeypatch) -> None:
    """A provider that returns its only name is told so: the letters of it are no accounts."""
    tenants = Tenants({})
    monkeypatch.setattr(tenants, "names", lambda: "acme")
    with (
        with_accounts(tenants),
        pytest.raises(ProviderError, match="a list of strings"),
    ):
        account_names()


@pytest.mark.parametrize("name", ["with_accounts", "OWN", "NAMES", "TenantsByPath.get"])
def test_path_of_something_else_is_told(name: str) -> None:
    """What has no names() and get() is found by the check, and not by the first job."""
    path = f"{__name__}.{name}"
    with with_accounts(path):
        (told,) = account_problems()
    assert "no methods names() and get(name)" in told or "cannot be imported" in told
    with with_accounts(f"{__name__}.TenantsByPath"):
        assert not list(account_problems())


def test_account_that_is_no_dict_is_an_error() -> None:
    """At run time, too, it is told where the mistake is."""
    with (
        with_accounts({"acme": 5}),
        pytest.raises(ConfigurationError, match=r"'acme'.* must be a dict"),
    ):
        account_settings("acme")


@pytest.mark.parametrize(
    ("key", "is_blank"),
    [("", True), (" ", True), (None, True), ([], True), (["", None], True), (["", "k"], False)],
)
def test_blank_keys_are_found(key: Any, is_blank: bool) -> None:
    """A list without any text is no key; a callable is not called."""
    assert is_blank_key(key) is is_blank
    assert not is_blank_key(lambda account: "")


def test_repr_of_accounts_hides_their_keys() -> None:
    """Neither the accounts nor the settings of one show a key."""
    with with_accounts({"acme": {**OWN, "API_KEY": ["canary-1", "canary-2"]}}):
        values = (conf.accounts, conf.user_settings, account_settings("acme").user_settings)
        assert "canary" not in repr([*values, conf.accounts["acme"]])
        assert account_settings("acme").api_keys == ("canary-1", "canary-2")
