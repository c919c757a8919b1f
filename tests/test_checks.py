"""System checks: each mistake gives its own check ID, with a hint."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery
from django.core.checks import CheckMessage, run_checks
from django.db import connection
from django.test import override_settings

from django_docraptor import checks
from tests.celery import app as tests_app

# A root URLconf without our URLs: this module's own.
urlpatterns: list[object] = []

RIGHT = {"API_KEY": "key"}


class BrokenRunner:
    """A runner that cannot be created."""

    def __init__(self) -> None:
        raise ValueError("no queue")


def ids(messages: list[CheckMessage]) -> list[str]:
    """Return the check IDs without the app's label; every message must have a hint."""
    assert all(message.hint for message in messages)
    return [str(message.id).removeprefix("django_docraptor.") for message in messages]


def settings_ids(docraptor: object) -> list[str]:
    """Return the check IDs that check_settings finds in DOCRAPTOR."""
    with override_settings(DOCRAPTOR=docraptor):
        return ids(checks.check_settings(None))


@contextmanager
def celery_app(**conf: object) -> Iterator[Celery]:
    """Replace the current Celery app."""
    app = Celery("other")
    app.conf.update(conf)
    try:
        yield app
    finally:
        tests_app.set_current()
        app.close()


@pytest.mark.django_db  # from Django 6.1 on, the check of JSON fields asks the database
def test_all_checks_are_registered() -> None:
    """The tests' project has no problem, and a mistake in it is reported by ``check``."""
    ours = [message for message in run_checks() if "django_docraptor" in str(message.id)]
    assert ours == []
    with override_settings(DOCRAPTOR=[], ROOT_URLCONF=__name__):
        found = {message.id for message in run_checks()}
    assert found >= {"django_docraptor.E001", "django_docraptor.E008"}


def test_correct_settings_give_no_message() -> None:
    """Correct settings give no message."""
    docraptor = RIGHT | {
        "BASE_URL": "https://proxy.example",
        "CALLBACK_BASE_URL": "https://localhost/app",
        "DEFAULTS": {"javascript": True, "prince_options": {"media": "print"}},
        "TIMEOUT": {"connect": 5},
    }
    assert settings_ids(docraptor) == []


@pytest.mark.check("E001")
@pytest.mark.parametrize("value", [[], "key", ("API_KEY", "key"), 5])
def test_settings_must_be_a_dict(value: object) -> None:
    """DOCRAPTOR must be a dict."""
    assert settings_ids(value) == ["E001"]


@pytest.mark.check("E002")
@pytest.mark.parametrize(
    ("key", "near"),
    [("API_KEYS", "API_KEY"), ("api_key", "API_KEY"), ("CALLBACK_URL", "CALLBACK_BASE_URL")],
)
def test_unknown_setting_suggests_a_similar_one(key: str, near: str) -> None:
    """An unknown setting is an error that names the similar one."""
    with override_settings(DOCRAPTOR=RIGHT | {key: "x"}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == ["E002"]
    assert near in message.hint
    assert repr(key) in message.msg


@pytest.mark.check("E002")
def test_unknown_setting_lists_all() -> None:
    """An unknown setting that is similar to none lists all settings."""
    with override_settings(DOCRAPTOR=RIGHT | {"zzzzzz": 1}):
        (message,) = checks.check_settings(None)
    assert message.id == "django_docraptor.E002"
    assert "API_KEY" in message.hint
    assert "MAX_IN_FLIGHT" in message.hint


@pytest.mark.check("E002")
def test_setting_name_may_have_any_type() -> None:
    """A setting's name that is not a string is reported."""
    assert settings_ids(RIGHT | {5: "x"}) == ["E002"]


@pytest.mark.check("E003")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TEST_MODE", "no"),
        ("MAX_IN_FLIGHT", 0),
        ("TIMEOUT", {"connectt": 1}),
        ("UNCONFIRMED", "retry"),
        ("BASE_URL", "docraptor.com"),
        ("BASE_URL", ""),
        ("API_KEY", 5),
        ("DEADLINE", float("inf")),
        ("DEADLINE", float("nan")),
        ("DEADLINE", 10**12),
        ("TIMEOUT", {"connect": 10**10}),
        ("PROXIES", {"https": 5}),
        ("PROXIES", "http://proxy:3128"),
    ],
)
def test_invalid_setting_is_named(key: str, value: object) -> None:
    """An invalid value is an error that names its setting."""
    with override_settings(DOCRAPTOR=RIGHT | {key: value}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == ["E003"]
    assert key in message.msg


@pytest.mark.check("E003")
def test_all_invalid_settings_are_reported() -> None:
    """Two invalid values give two messages."""
    assert settings_ids(RIGHT | {"TEST_MODE": 1, "RETRY_FOR": 0}) == ["E003", "E003"]


@pytest.mark.check("E004", "E005")
@pytest.mark.parametrize(
    ("command", "variable", "is_serious"),
    [
        ("test", "", False),
        ("check", "", True),
        ("runserver", "", True),
        ("check", "PYTEST_VERSION", False),
        ("migrate", "PYTEST_CURRENT_TEST", False),
    ],
)
def test_mistakes_of_production_do_not_end_a_test_run(
    settings, monkeypatch: pytest.MonkeyPatch, command: str, variable: str, is_serious: bool
) -> None:
    """In a test run, where nothing needs a key and DEBUG is off, they are warnings."""
    settings.DOCRAPTOR = {"CALLBACK_BASE_URL": "http://127.0.0.1:8000"}
    monkeypatch.setattr("sys.argv", ["manage.py", command])
    for name in checks.PYTEST_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "8.2")
    found = checks.check_settings(None)
    assert ids(found) == ["E004", "E005"]
    assert [message.is_serious() for message in found] == [is_serious] * 2


@pytest.mark.check("E004")
@pytest.mark.parametrize(
    "docraptor", [None, {}, {"API_KEY": ""}, {"API_KEY": "  "}, {"API_KEY": None}]
)
def test_api_key_is_required(docraptor: object) -> None:
    """Without an API key nothing works."""
    assert settings_ids(docraptor) == ["E004"]


@pytest.mark.check("E004")
@pytest.mark.parametrize(
    ("variable", "docraptor", "message", "hint"),
    [
        (None, {}, "is missing", "DOCRAPTOR_API_KEY is not set in this process. Set DOCRAPTOR_API"),
        (None, {"API_KEY": None}, "is empty", "is not set in this process. Set DOCRAPTOR_API_KEY"),
        (" ", {"API_KEY": " "}, "is empty", "is not set in this process. Set DOCRAPTOR_API_KEY"),
        ("s3cret", {}, "is missing", "is set. Read it in the settings: DOCRAPTOR = {"),
    ],
)
def test_missing_key_names_the_step_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    docraptor: dict[str, object],
    message: str,
    hint: str,
) -> None:
    """The hint tells whether the environment lacks the key, or the settings; it shows no key."""
    monkeypatch.delenv("DOCRAPTOR_API_KEY", raising=False)
    if variable is not None:
        monkeypatch.setenv("DOCRAPTOR_API_KEY", variable)
    with override_settings(DOCRAPTOR=docraptor):
        (found,) = checks.check_settings(None)
    assert message in found.msg
    assert hint in str(found.hint)
    assert "s3cret" not in f"{found.msg} {found.hint}"


@pytest.mark.check("E004")
def test_callable_api_key_is_not_called() -> None:
    """A callable counts as an API key, and the check does not call it."""

    def explode(account: str) -> str:
        raise AssertionError

    assert settings_ids({"API_KEY": explode}) == []


@pytest.mark.check("E030")
@pytest.mark.parametrize(
    "accounts",
    [
        {"acme": {"MAX_IN_FLIGHT": 0}},
        {"acme": {"API_KEYS": "key"}},
        {"acme": None},
        {"": {}},
        "shop.accounts.Missing",
    ],
)
def test_invalid_accounts_are_named(accounts: object) -> None:
    """A mistake in ACCOUNTS is one error; a provider is imported, and not asked."""
    assert settings_ids(RIGHT | {"ACCOUNTS": accounts}) == ["E030"]


@pytest.mark.check("E003")
@pytest.mark.parametrize("accounts", ["accounts", 5, ["acme"], object()])
def test_accounts_are_a_dict_or_a_provider(accounts: object) -> None:
    """Anything else is an error of the type."""
    assert settings_ids(RIGHT | {"ACCOUNTS": accounts}) == ["E003"]


@pytest.mark.check("E004")
@pytest.mark.parametrize(
    ("key", "own", "count"),
    [("", "", 1), ("", [" "], 1), ("", ["", "key"], 0), ("", lambda name: "", 0), ("key", "", 1)],
)
def test_each_account_needs_a_key(monkeypatch, key: object, own: object, count: int) -> None:
    """An account needs a key of its own, or one of all accounts; then those need none."""
    monkeypatch.setattr(checks, "_is_test_run", lambda: False)
    assert settings_ids({"API_KEY": key, "ACCOUNTS": {"acme": {"API_KEY": own}}}) == (
        ["E004"] * count
    )
    assert settings_ids({"API_KEY": key, "ACCOUNTS": {"acme": {}}}) == ([] if key else ["E004"])


@pytest.mark.check("E005", "E006", "W001")
@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"CALLBACK_BASE_URL": "http://shop.example"}, "E005"),
        ({"DEFAULTS": {"javascript": "maybe"}}, "E006"),
        ({"BASE_URL": "http://docraptor.example"}, "W001"),
    ],
)
def test_values_of_an_account_are_checked(own: dict[str, object], expected: str) -> None:
    """What is checked for all accounts is checked for each, and names it."""
    with override_settings(ALLOWED_HOSTS=["*"], DOCRAPTOR=RIGHT | {"ACCOUNTS": {"acme": own}}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == [expected]
    assert message.msg.startswith("DOCRAPTOR['ACCOUNTS']['acme']['")


@pytest.mark.fault("W9")
@pytest.mark.check("E005")
def test_callback_url_must_use_https(settings) -> None:
    """A callback URL without https is an error in production, and allowed while debugging."""
    settings.ALLOWED_HOSTS = ["shop.example"]
    wrong = RIGHT | {"CALLBACK_BASE_URL": "http://shop.example"}
    assert settings_ids(wrong) == ["E005"]
    with override_settings(DEBUG=True):
        assert settings_ids(wrong) == []


@pytest.mark.check("W010")
@pytest.mark.parametrize(
    ("url", "options", "count"),
    [
        ("https://shop.example", {"ALLOWED_HOSTS": ["shop.example"]}, 0),
        ("https://shop.example:8443/app", {"ALLOWED_HOSTS": [".example"]}, 0),
        ("https://shop.example", {"ALLOWED_HOSTS": ["*"], "SECURE_SSL_REDIRECT": True}, 0),
        ("https://shop.example", {"ALLOWED_HOSTS": ["www.shop.example"]}, 1),
        ("https://shop.example", {"ALLOWED_HOSTS": []}, 1),
        ("https://shop.example", {"ALLOWED_HOSTS": ["*"], "PREPEND_WWW": True}, 1),
        (
            "http://shop.example",
            {"ALLOWED_HOSTS": ["*"], "SECURE_SSL_REDIRECT": True, "DEBUG": True},
            1,
        ),
        ("http://localhost:8000", {"ALLOWED_HOSTS": [], "DEBUG": True}, 0),
        ("", {"ALLOWED_HOSTS": [], "SECURE_SSL_REDIRECT": True}, 0),
    ],
)
def test_callbacks_that_the_site_refuses_are_a_warning(
    url: str, options: dict[str, object], count: int
) -> None:
    """A redirect or an unknown host loses every callback."""
    with override_settings(**options):
        assert settings_ids(RIGHT | {"CALLBACK_BASE_URL": url}) == ["W010"] * count


@pytest.mark.check("E005", "W010")
def test_url_of_each_tenant_is_not_checked() -> None:
    """A callable is not called: a check runs for no tenant."""
    with override_settings(ALLOWED_HOSTS=[], DEBUG=False):
        assert settings_ids(RIGHT | {"CALLBACK_BASE_URL": lambda: 1 / 0}) == []


@pytest.mark.check("W011")
def test_soft_time_limit_is_a_warning() -> None:
    """A soft time limit for all tasks interrupts the steps, too."""
    assert checks.check_soft_time_limit(None) == []
    with celery_app(task_soft_time_limit=30):
        assert ids(checks.check_soft_time_limit(None)) == ["W011"]
        with override_settings(DOCRAPTOR=RIGHT | {"RUNNER": "none"}):
            assert checks.check_soft_time_limit(None) == []


@pytest.mark.check("E006")
@pytest.mark.parametrize(
    "defaults",
    [
        {"prince_options": {"key_bits": 41}},
        {"test": True},
        {"strict": "very"},
        {"javascript": "yes"},
        {"anything": object()},
        {"prince_options": "print"},
        {"callback_url": "https://shop.example/ready"},
        {"javascrpt": True},
        {"prince_options": {"medai": "print"}},
        {"tag": "t" * 162},
    ],
)
def test_invalid_defaults_are_reported(defaults: dict[str, object]) -> None:
    """Default options that DocRaptor would refuse are an error."""
    assert settings_ids(RIGHT | {"DEFAULTS": defaults}) == ["E006"]


@pytest.mark.check("W005")
@pytest.mark.parametrize(
    ("defaults", "name", "hint"),
    [
        (
            {"prince_options": {"all_media": "x"}},
            "prince_options.all_media",
            "Did you mean 'media'?",
        ),
        ({"brand_new": 1}, "brand_new", "It is sent to DocRaptor unchanged."),
    ],
)
def test_unknown_defaults_are_a_warning(defaults: dict[str, object], name: str, hint: str) -> None:
    """An unknown name in DEFAULTS gives the same warning as in a document's options."""
    with override_settings(DOCRAPTOR=RIGHT | {"DEFAULTS": defaults}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == ["W005"]
    assert message.msg == (
        f"DOCRAPTOR['DEFAULTS'] contains {name}, which this version of django_docraptor does not "
        "know."
    )
    assert message.hint == hint


@pytest.mark.check("E025")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"TIMEOUT": {"total": 655}}, []),
        ({"TIMEOUT": {"total": 656}}, ["E025"]),
        ({"TIMEOUT": {"connect": 600}}, ["E025"]),
        ({"TIMEOUT": {"total": 590}, "DEADLINE": 60}, []),
        ({"TIMEOUT": {"total": 600}, "DEADLINE": 60}, ["E025"]),
        ({"TIMEOUT": {"total": 656}, "DEADLINE": 1000}, []),
    ],
)
def test_create_call_must_not_outlast_a_render(
    options: dict[str, object], expected: list[str]
) -> None:
    """A killed worker's job must not wait for longer than a render takes."""
    assert settings_ids(RIGHT | options) == expected


@pytest.mark.check("E026")
@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        ({"https": "socks5h://127.0.0.1:1080"}, ["E026"]),
        ({"all": "SOCKS4://127.0.0.1:1080"}, ["E026"]),
        ({"http": "socks5://127.0.0.1:1080"}, []),
        ({"https": "http://127.0.0.1:3128"}, []),
    ],
)
def test_socks_proxy_needs_a_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxies: dict[str, str], expected: list[str]
) -> None:
    """A SOCKS proxy for DocRaptor's URL is an error, until its package is installed."""
    assert settings_ids(RIGHT | {"PROXIES": proxies}) == expected
    (tmp_path / "socks.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert settings_ids(RIGHT | {"PROXIES": proxies}) == []


@pytest.mark.check("E007")
@pytest.mark.parametrize("path", ["nodots", "shop.nowhere.Client", "django_docraptor.client.Clien"])
def test_client_class_must_be_importable(path: str) -> None:
    """A client class that cannot be imported is an error."""
    assert settings_ids(RIGHT | {"CLIENT": path}) == ["E007"]


@pytest.mark.check("E020")
@pytest.mark.parametrize(
    ("base", "static_url", "found"),
    [
        ("", "/static/", ["E020"]),
        ("", None, ["E020"]),
        ("", "https://cdn.example/", []),
        ("https://shop.example", "/static/", []),
    ],
)
def test_absolute_assets_need_a_base_url(
    base: str, static_url: str | None, found: list[str]
) -> None:
    """Absolute asset URLs need a base URL."""
    with override_settings(STATIC_URL=static_url):
        docraptor = RIGHT | {"ASSETS": "absolute", "ASSETS_BASE_URL": base}
        assert settings_ids(docraptor) == found
        assert settings_ids(docraptor | {"ASSETS": "inline"}) == []


@pytest.mark.check("E008")
def test_urls_must_be_included() -> None:
    """The package's URLs must be included."""
    with override_settings(ROOT_URLCONF=__name__):
        assert ids(checks.check_urls(None)) == ["E008"]


@pytest.mark.check("E008")
def test_included_urls_give_no_message() -> None:
    """With the URLs included, or without any URLs at all, there is no message."""
    assert checks.check_urls(None) == []
    with override_settings(ROOT_URLCONF=None):
        assert checks.check_urls(None) == []


@pytest.mark.check("W001")
@pytest.mark.parametrize(
    "url",
    [
        "http://docraptor.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
    ],
)
def test_plain_http_is_a_warning(url: str) -> None:
    """Plain http to another machine is a warning, since it shows key and documents."""
    assert settings_ids(RIGHT | {"BASE_URL": url}) == ["W001"]
    with override_settings(DEBUG=True):
        assert settings_ids(RIGHT | {"BASE_URL": url}) == []


@pytest.mark.check("W001")
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001", "http://localhost", "http://[::1]:1", "https://x.example"]
)
def test_plain_http_to_this_machine_is_allowed(url: str) -> None:
    """A sandbox on this machine needs no https."""
    assert settings_ids(RIGHT | {"BASE_URL": url}) == []


@pytest.mark.check("W002")
def test_site_without_a_queue_is_a_warning_unless_chosen(monkeypatch) -> None:
    """Without a queue nothing wakes a worker: that is a warning, unless RUNNER is "none"."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    with celery_app(broker_url=None):
        with override_settings(DOCRAPTOR=RIGHT):
            (message,) = checks.check_runner(None)
        with override_settings(DOCRAPTOR=RIGHT | {"RUNNER": "none"}):
            assert checks.check_runner(None) == []
    assert ids([message]) == ["W002"]
    assert message.msg.startswith("The runner is 'none'. ")


@pytest.mark.check("W002")
@pytest.mark.parametrize(
    ("options", "limitation"),
    [({}, "Celery has no broker."), ({"task_always_eager": True}, "CELERY_TASK_ALWAYS_EAGER")],
)
def test_limitation_of_the_runner_is_a_warning(options: dict[str, bool], limitation: str) -> None:
    """The warning names the runner in force and what it lacks."""
    with (
        celery_app(broker_url=None, **options),
        override_settings(DOCRAPTOR=RIGHT | {"RUNNER": "celery"}),
    ):
        (message,) = checks.check_runner(None)
    assert ids([message]) == ["W002"]
    assert message.msg.startswith(f"The runner is 'celery'. {limitation}")


@pytest.mark.check("W009")
@pytest.mark.parametrize(
    ("options", "changes", "debug", "expected"),
    [
        ({"task_always_eager": True}, {}, False, ["W009"]),
        ({"task_always_eager": True}, {"RUNNER": "celery"}, False, ["W009"]),
        ({"task_always_eager": True}, {"RUNNER": "none"}, False, []),
        ({"task_always_eager": True}, {}, True, []),
        ({}, {}, False, []),
    ],
)
def test_eager_tasks_in_production_are_a_warning(
    options: dict[str, bool], changes: dict[str, str], debug: bool, expected: list[str]
) -> None:
    """It has an ID of its own, so that silencing W002 does not hide it."""
    with (
        celery_app(broker_url=None, **options),
        override_settings(DOCRAPTOR=RIGHT | changes, DEBUG=debug),
    ):
        found = checks.check_eager_tasks(None)
    assert ids(found) == expected


@pytest.mark.check("W002")
def test_queue_that_tasks_does_not_list_is_a_warning() -> None:
    """A queue that the backend would refuse is named before anything is sent to it."""
    backend = {"BACKEND": "tests.support.runners.RecordingTaskBackend", "QUEUES": ["default"]}
    options = {"RUNNER": "django.tasks", "DJANGO_TASKS": {"queue_name": "documents"}}
    with override_settings(DOCRAPTOR=RIGHT | options, TASKS={"default": backend}):
        (message,) = checks.check_runner(None)
    assert ids([message]) == ["W002"]
    assert "does not list the queue 'documents'" in message.msg


@pytest.mark.check("I001")
def test_deployment_check_names_the_runner_in_force() -> None:
    """The message names the runner and what it lacks, if anything."""
    with celery_app(broker_url="amqp://127.0.0.1"):
        (message,) = checks.check_runner_in_force(None)
    assert message.id == "django_docraptor.I001"
    assert message.msg == "The runner in force is 'celery'. It lacks nothing."
    with override_settings(DOCRAPTOR=RIGHT | {"RUNNER": "none"}):
        (message,) = checks.check_runner_in_force(None)
    assert message.msg.startswith("The runner in force is 'none'. No queue wakes a worker")


@pytest.mark.check("I001")
def test_deployment_check_leaves_a_broken_runner_to_its_error() -> None:
    """A runner that cannot be loaded is reported once, by E023."""
    with override_settings(DOCRAPTOR=RIGHT | {"RUNNER": "tests.test_checks.BrokenRunner"}):
        assert checks.check_runner_in_force(None) == []


@pytest.mark.check("E023")
@pytest.mark.parametrize("runner", ["shop.runners.Nowhere", "tests.test_checks.BrokenRunner"])
def test_runner_that_cannot_be_loaded_is_an_error(runner: str) -> None:
    """A class that does not exist, or raises, is reported instead of raised."""
    with override_settings(DOCRAPTOR=RIGHT | {"RUNNER": runner}):
        (message,) = checks.check_runner(None)
    assert ids([message]) == ["E023"]
    assert runner in message.msg


@pytest.mark.check("W003")
@pytest.mark.parametrize("url", ["redis://127.0.0.1", "rediss://127.0.0.1", "sentinel://127.0.0.1"])
def test_redis_without_socket_timeout_is_a_warning(url: str) -> None:
    """A Redis broker without a socket timeout could block a request for ever."""
    with celery_app(broker_url=url):
        assert ids(checks.check_runner(None)) == ["W003"]


@pytest.mark.check("W003")
def test_redis_with_socket_timeout_gives_no_message() -> None:
    """With a timeout, or with another broker, there is no message."""
    with celery_app(broker_url="redis://127.0.0.1", broker_transport_options={"socket_timeout": 5}):
        assert checks.check_runner(None) == []
    with celery_app(broker_url="amqp://127.0.0.1"):
        assert checks.check_runner(None) == []


@pytest.mark.check("W004")
@pytest.mark.skipif("connection.vendor != 'sqlite'")
@pytest.mark.parametrize("options", [{}, {"transaction_mode": None}, {"transaction_mode": "X"}])
def test_deferred_sqlite_transactions_are_a_warning(
    options: dict[str, object], monkeypatch
) -> None:
    """SQLite's deferred transactions fail if two processes write."""
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    assert ids(checks.check_sqlite(None)) == ["W004"]


@pytest.mark.check("W004")
def test_immediate_sqlite_transactions_give_no_message(monkeypatch) -> None:
    """The recommended options give no warning, in any spelling."""
    assert checks.check_sqlite(None) == []
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"transaction_mode": "immediate"})
    assert checks.check_sqlite(None) == []


@pytest.mark.check("E022")
@pytest.mark.parametrize(("use_tz", "found"), [(True, []), (False, ["E022"])])
def test_use_tz_is_required(settings, use_tz: bool, found: list[str]) -> None:
    """USE_TZ must be on."""
    settings.USE_TZ = use_tz
    assert ids(checks.check_time_zones(None)) == found


DISK = "django.core.files.storage.FileSystemStorage"


def disk(location: Path, **options: object) -> dict[str, object]:
    """Return a storage in a directory."""
    return {"BACKEND": DISK, "OPTIONS": {"location": location, **options}}


def storage_ids(storages: dict[str, object], root: object, url: str = "/media/") -> list[str]:
    """Return the check IDs for a storage beside a default one, with these media settings."""
    storages = {"default": {"BACKEND": DISK}, **storages}
    with override_settings(STORAGES=storages, MEDIA_ROOT=root, MEDIA_URL=url):
        return ids(checks.check_storage(None))


@pytest.mark.check("W006")
def test_documents_below_the_media_root_are_a_warning(tmp_path: Path) -> None:
    """Documents below MEDIA_ROOT, or in the default storage, may be public."""
    root = tmp_path / "media"
    root.mkdir()
    link = tmp_path / "link"
    link.symlink_to(root)
    assert storage_ids({}, root) == ["W006"]
    assert storage_ids({}, root, "https://media.shop.example/") == ["W006"]
    assert storage_ids({"docraptor": disk(root / "documents")}, root) == ["W006"]
    assert storage_ids({"docraptor": disk(link / "documents")}, str(root)) == ["W006"]


@pytest.mark.check("W006")
def test_documents_outside_of_the_media_root_give_no_message(tmp_path: Path) -> None:
    """Documents elsewhere, without a URL, or not on this disk are private."""
    root = tmp_path / "media"
    assert storage_ids({"docraptor": disk(tmp_path / "documents")}, root) == []
    assert storage_ids({"docraptor": disk(tmp_path / "media2")}, root) == []
    assert storage_ids({"docraptor": disk(root / "documents", base_url="")}, root) == []
    assert storage_ids({}, root, "") == []
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    assert storage_ids({"docraptor": memory}, root) == []


@pytest.mark.check("W013")
def test_documents_in_no_chosen_place_are_a_warning(tmp_path: Path) -> None:
    """Without an alias and without MEDIA_ROOT, files land where the worker was started."""
    assert storage_ids({}, "") == ["W013"]
    assert storage_ids({"docraptor": {"BACKEND": DISK}}, "") == ["W013"]
    assert storage_ids({"docraptor": disk(tmp_path / "documents")}, "") == []


@pytest.mark.check("W006")
@pytest.mark.parametrize(
    "storage", [{"BACKEND": "no.such.Storage"}, {"BACKEND": DISK, "OPTIONS": {"no_such": 1}}]
)
def test_invalid_storage_is_not_reported_here(storage: dict[str, object], tmp_path: Path) -> None:
    """A storage that cannot be created is reported by Django, not by this check."""
    assert storage_ids({"docraptor": storage}, tmp_path) == []


def spool_ids(**docraptor: object) -> list[str]:
    """Return the check IDs that check_spool finds."""
    with override_settings(DOCRAPTOR=RIGHT | docraptor):
        return ids(checks.check_spool(None))


@pytest.mark.check("W007")
def test_small_spool_disk_is_a_warning(tmp_path: Path) -> None:
    """A document of the maximum size should fit on the spool's disk, even if nothing exists yet."""
    total = shutil.disk_usage(tmp_path).total
    spool = tmp_path / "deep" / "spool"
    assert spool_ids(SPOOL_DIR=spool, MAX_DOCUMENT_BYTES=total + 1) == ["W007"]
    assert spool_ids(SPOOL_DIR=spool, MAX_DOCUMENT_BYTES=total) == []
    assert not spool.parent.exists()


@pytest.mark.check("W007")
def test_invalid_spool_settings_are_not_reported_here() -> None:
    """Settings of a wrong type are reported by E003, not by this check."""
    assert spool_ids(SPOOL_DIR=7) == spool_ids(MAX_DOCUMENT_BYTES="much") == []
