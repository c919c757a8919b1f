"""The setting DOCRAPTOR: defaults, overrides, API keys."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import override_settings

from django_docraptor.conf import conf, declared_settings
from django_docraptor.exceptions import ConfigurationError

DEFAULTS = {
    "API_KEY": "",
    "ACCOUNTS": None,
    "TEST_MODE": True,
    "BASE_URL": "https://api.docraptor.com",
    "CALLBACK_BASE_URL": "",
    "TIMEOUT": {},
    "DEFAULTS": {},
    "DEADLINE": 660,
    "POLL": {},
    "MAX_IN_FLIGHT": 30,
    "RETRY_FOR": 259_200,
    "MAX_PER_SOURCE": {"documents": 20, "seconds": 3600},
    "BUDGET": None,
    "OWNER_BUDGET": None,
    "ALLOW_LIVE": True,
    "UNCONFIRMED": None,
    "PROBE": True,
    "GENERATION_LOG": False,
    "SPOOL_DIR": "",
    "MAX_DOCUMENT_BYTES": 200 * 1024 * 1024,
    "MAX_CONTENT_BYTES": 20 * 1024 * 1024,
    "PREFLIGHT_IGNORE": (),
    "ASSETS": "inline",
    "ASSETS_BASE_URL": "",
    "MAX_ASSET_BYTES": 5 * 1024 * 1024,
    "MAX_ASSETS_BYTES": 12 * 1024 * 1024,
    "RETENTION": {},
    "SHARE_LINK_LIFETIME": timedelta(days=7),
    "LOG_URL": "",
    "PROXIES": {},
    "CA_BUNDLE": "",
    "RUNNER": None,
    "DJANGO_TASKS": {},
    "METRICS": (),
    "STATSD": {},
    "HEALTH_TOKEN": "",
    "CLIENT": "django_docraptor.client.Client",
}
# A valid value of each setting that is not its default.
OTHERS = {
    "API_KEY": "other",
    "ACCOUNTS": {"acme": {"MAX_IN_FLIGHT": 3}},
    "TEST_MODE": False,
    "BASE_URL": "http://127.0.0.1:8001",
    "CALLBACK_BASE_URL": "https://shop.example",
    "TIMEOUT": {"connect": 2},
    "DEFAULTS": {"javascript": True},
    "DEADLINE": 60.5,
    "POLL": {"floor": 2},
    "MAX_IN_FLIGHT": 5,
    "RETRY_FOR": 3600.5,
    "MAX_PER_SOURCE": {"documents": 100},
    "BUDGET": {"day": 100, "soft_day": 80, "month": 0},
    "OWNER_BUDGET": {"day": 5},
    "ALLOW_LIVE": ["worker.shop.example"],
    "UNCONFIRMED": "resubmit",
    "PROBE": False,
    "GENERATION_LOG": True,
    "SPOOL_DIR": Path("spool"),
    "MAX_DOCUMENT_BYTES": 1000,
    "MAX_CONTENT_BYTES": 1000,
    "PREFLIGHT_IGNORE": ["private-host"],
    "ASSETS": "absolute",
    "ASSETS_BASE_URL": "https://shop.example",
    "MAX_ASSET_BYTES": 1000,
    "MAX_ASSETS_BYTES": 1000,
    "RETENTION": {"jobs": timedelta(days=365), "inputs": timedelta.max},
    "SHARE_LINK_LIFETIME": timedelta(hours=12),
    "LOG_URL": "https://docraptor.example/logs/{status_id}?tag={tag}",
    "PROXIES": {"https": "http://proxy:3128"},
    "CA_BUNDLE": "bundle.pem",
    "RUNNER": "none",
    "DJANGO_TASKS": {"backend": "docraptor", "queue_name": "documents"},
    "METRICS": ["django_docraptor.metrics.prometheus"],
    "STATSD": {"host": "statsd.internal", "port": 9125, "prefix": "shop"},
    "HEALTH_TOKEN": "a-token-of-a-monitor-42",
    "CLIENT": "shop.client.Client",
}
# Invalid values.
WRONG = [
    ("API_KEY", 5),
    ("TEST_MODE", "yes"),
    ("TEST_MODE", 1),
    ("BASE_URL", "api.docraptor.com"),
    ("BASE_URL", None),
    ("CALLBACK_BASE_URL", "ftp://shop.example"),
    ("TIMEOUT", 5),
    ("TIMEOUT", {"conect": 5}),
    ("TIMEOUT", {"connect": 0}),
    ("TIMEOUT", {"connect": "5"}),
    ("DEFAULTS", []),
    ("DEADLINE", 0),
    ("DEADLINE", True),
    ("POLL", {"every": 5}),
    ("MAX_IN_FLIGHT", 0),
    ("MAX_IN_FLIGHT", 2.5),
    ("RETRY_FOR", 0),
    ("RETRY_FOR", "3 days"),
    ("RETRY_FOR", timedelta(days=3)),
    ("RETRY_FOR", 1e12),
    ("MAX_PER_SOURCE", 20),
    ("MAX_PER_SOURCE", {"documents": 0}),
    ("MAX_PER_SOURCE", {"documents": 2.5}),
    ("MAX_PER_SOURCE", {"hours": 1}),
    ("MAX_PER_SOURCE", {"seconds": 1e12}),
    ("MAX_PER_SOURCE", {"seconds": timedelta(hours=1)}),
    ("BUDGET", 100),
    ("BUDGET", {"week": 100}),
    ("BUDGET", {"day": -1}),
    ("BUDGET", {"day": 2.5}),
    ("BUDGET", {"day": True}),
    ("BUDGET", {"day": 10**10}),
    ("BUDGET", {"day": 5, "soft_day": 6}),
    ("OWNER_BUDGET", {"year": 5}),
    ("ALLOW_LIVE", "False"),
    ("ALLOW_LIVE", [5]),
    ("ALLOW_LIVE", None),
    ("UNCONFIRMED", "retry"),
    ("PROBE", 1),
    ("GENERATION_LOG", "yes"),
    ("SPOOL_DIR", 5),
    ("MAX_DOCUMENT_BYTES", "20 MB"),
    ("MAX_CONTENT_BYTES", None),
    ("PREFLIGHT_IGNORE", ["relative_url"]),
    ("ASSETS", "data"),
    ("ASSETS_BASE_URL", "shop.example"),
    ("MAX_ASSET_BYTES", 0),
    ("MAX_ASSETS_BYTES", "12 MB"),
    ("RETENTION", None),
    ("RETENTION", timedelta(days=365)),
    ("RETENTION", {"files": timedelta(days=365)}),
    ("RETENTION", {"jobs": 365}),
    ("RETENTION", {"jobs": timedelta(0)}),
    ("RETENTION", {"inputs": timedelta(days=-1)}),
    ("RETENTION", {"inputs": timedelta(days=40_000)}),
    ("SHARE_LINK_LIFETIME", 7),
    ("SHARE_LINK_LIFETIME", timedelta(0)),
    ("SHARE_LINK_LIFETIME", timedelta(days=366)),
    ("LOG_URL", "javascript:alert({tag})"),
    ("LOG_URL", "https://docraptor.example/{job}"),
    ("LOG_URL", "https://docraptor.example/{tag.__class__}"),
    ("LOG_URL", "https://docraptor.example/{tag"),
    ("LOG_URL", None),
    ("PROXIES", "http://proxy:3128"),
    ("CA_BUNDLE", False),
    ("RUNNER", 0),
    ("RUNNER", "cron"),
    ("DJANGO_TASKS", {"queue": "documents"}),
    ("DJANGO_TASKS", {"backend": 1}),
    ("METRICS", "django_docraptor.metrics.prometheus"),
    ("METRICS", ["shop/metrics.py"]),
    ("METRICS", [5]),
    ("STATSD", "127.0.0.1:8125"),
    ("STATSD", {"hots": "127.0.0.1"}),
    ("STATSD", {"port": "8125"}),
    ("STATSD", {"port": 0}),
    ("HEALTH_TOKEN", 5),
    ("HEALTH_TOKEN", "short"),
    ("HEALTH_TOKEN", "a token of many words here"),
    ("HEALTH_TOKEN", "ein-schlüssel-mit-umlaut"),
    ("CLIENT", None),
]


def test_settings_are_those_above() -> None:
    """The package has these settings and no others."""
    assert {setting.key for setting in declared_settings()} == set(DEFAULTS)


@pytest.mark.parametrize("key", DEFAULTS)
def test_missing_setting_has_its_default(key: str) -> None:
    """A setting that is left out has its default."""
    with override_settings(DOCRAPTOR={}):
        assert getattr(conf, key.lower()) == DEFAULTS[key]


@pytest.mark.parametrize("key", DEFAULTS)
def test_default_is_valid(key: str) -> None:
    """A default is a valid value."""
    (setting,) = (setting for setting in declared_settings() if setting.key == key)
    assert setting.validate(DEFAULTS[key]) is None


@pytest.mark.parametrize("key", DEFAULTS)
def test_override_settings_takes_effect_at_once(key: str) -> None:
    """override_settings applies inside of its block and not after it."""
    before = getattr(conf, key.lower())
    with override_settings(DOCRAPTOR={key: OTHERS[key]}):
        assert getattr(conf, key.lower()) == OTHERS[key]
    assert getattr(conf, key.lower()) == before


@pytest.mark.parametrize("key", DEFAULTS)
def test_valid_value_has_no_error(key: str) -> None:
    """A valid value has no error."""
    (setting,) = (setting for setting in declared_settings() if setting.key == key)
    assert setting.validate(OTHERS[key]) is None


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_invalid_value_has_an_error(key: str, value: object) -> None:
    """An invalid value has an error that completes a sentence about it."""
    (setting,) = (setting for setting in declared_settings() if setting.key == key)
    assert (setting.validate(value) or "").startswith(("must ", "has ", "["))


@override_settings()
def test_project_without_the_setting_has_defaults(settings) -> None:
    """A project without DOCRAPTOR has the defaults."""
    del settings.DOCRAPTOR
    assert conf.test_mode is True


@override_settings(DOCRAPTOR=["API_KEY"])
def test_setting_that_is_not_a_dict_is_ignored() -> None:
    """A value that is not a dict counts as empty, since a check reports it."""
    assert conf.user_settings == {}


@override_settings(DOCRAPTOR={"API_KEY": "one-key"})
def test_string_api_key_serves_every_account() -> None:
    """A string is the API key of every account."""
    assert conf.get_api_key("default") == conf.get_api_key("other") == "one-key"


@override_settings(DOCRAPTOR={"API_KEY": lambda account: f"key-of-{account}"})
def test_callable_api_key_gets_the_account() -> None:
    """A callable is called with the account's name."""
    assert conf.get_api_key("tenant") == "key-of-tenant"


@pytest.mark.parametrize("key", ["  key\n", "key\r\n", lambda account: "\tkey "])
def test_space_around_an_api_key_is_removed(key: object) -> None:
    """A key that was read from a file ends with a newline, and is DocRaptor's key all the same."""
    with override_settings(DOCRAPTOR={"API_KEY": key}):
        assert conf.get_api_key("default") == "key"


@pytest.mark.parametrize("key", [b"secret", 7, {"secret"}])
def test_api_key_of_another_type_is_named(key: object) -> None:
    """A callable that returns no text is told which type it returned, without the value."""
    with (
        override_settings(DOCRAPTOR={"API_KEY": lambda account: key}),
        pytest.raises(
            ConfigurationError, match=f"must be a str, not {type(key).__name__}"
        ) as caught,
    ):
        conf.get_api_key("default")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", lambda account: "", lambda account: None])
def test_blank_api_key_raises(key: object) -> None:
    """A blank API key raises an error that names the account."""
    with override_settings(DOCRAPTOR={"API_KEY": key}), pytest.raises(ConfigurationError) as caught:
        conf.get_api_key("tenant")
    assert "'tenant'" in str(caught.value)


@override_settings(DOCRAPTOR={"SPOOL_DIR": "given"})
def test_given_spool_directory_is_used() -> None:
    """A given spool directory is used, as a string or a path."""
    assert conf.spool_path == Path("given")


@override_settings(DOCRAPTOR={})
def test_default_spool_directory_is_temporary() -> None:
    """The default spool directory is below the system's temporary directory."""
    assert conf.spool_path.is_relative_to(tempfile.gettempdir())
    assert conf.spool_path != Path(tempfile.gettempdir())
