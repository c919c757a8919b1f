"""System checks: each mistake gives exactly its own id, with a remedy."""

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


def ids(messages: list[CheckMessage]) -> list[str]:
    """The ids without the app's label; every message must carry a hint."""
    assert all(message.hint for message in messages)
    return [str(message.id).removeprefix("django_docraptor.") for message in messages]


def settings_ids(docraptor: object) -> list[str]:
    """What check_settings finds in that DOCRAPTOR."""
    with override_settings(DOCRAPTOR=docraptor):
        return ids(checks.check_settings(None))


@contextmanager
def celery_app(**conf: object) -> Iterator[Celery]:
    """Another current Celery app."""
    app = Celery("other")
    app.conf.update(conf)
    try:
        yield app
    finally:
        tests_app.set_current()
        app.close()


@pytest.mark.django_db  # from Django 6.1 on, the check of JSON fields asks the database
def test_all_checks_are_registered() -> None:
    """The tests' own project is set up correctly, and a mistake in it reaches ``check``."""
    ours = [message for message in run_checks() if "django_docraptor" in str(message.id)]
    assert ours == []
    with override_settings(DOCRAPTOR=[], ROOT_URLCONF=__name__):
        found = {message.id for message in run_checks()}
    assert found >= {"django_docraptor.E001", "django_docraptor.E008"}


def test_check_settings_correct() -> None:
    """A correct dict gives no message."""
    docraptor = RIGHT | {
        "BASE_URL": "https://proxy.example",
        "CALLBACK_BASE_URL": "https://shop.example/app",
        "DEFAULTS": {"javascript": True, "prince_options": {"media": "print"}},
        "TIMEOUT": {"connect": 5},
    }
    assert settings_ids(docraptor) == []


@pytest.mark.parametrize("value", [[], "key", ("API_KEY", "key"), 5])
def test_E001_not_a_dict(value: object) -> None:
    """DOCRAPTOR must be a dict."""
    assert settings_ids(value) == ["E001"]


@pytest.mark.parametrize(
    ("key", "near"),
    [("API_KEYS", "API_KEY"), ("api_key", "API_KEY"), ("CALLBACK_URL", "CALLBACK_BASE_URL")],
)
def test_E002_suggests_the_near_key(key: str, near: str) -> None:
    """An unknown key is an error that names the key that was meant."""
    with override_settings(DOCRAPTOR=RIGHT | {key: "x"}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == ["E002"]
    assert near in message.hint
    assert repr(key) in message.msg


def test_E002_nothing_near() -> None:
    """An unknown key like no other gets the list of all."""
    with override_settings(DOCRAPTOR=RIGHT | {"zzzzzz": 1}):
        (message,) = checks.check_settings(None)
    assert message.id == "django_docraptor.E002"
    assert "API_KEY" in message.hint
    assert "MAX_IN_FLIGHT" in message.hint


def test_E002_key_is_no_string() -> None:
    """A key of any type is reported, not a crash."""
    assert settings_ids(RIGHT | {5: "x"}) == ["E002"]


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
def test_E003_wrong_type(key: str, value: object) -> None:
    """A value of the wrong type is an error that names its key."""
    with override_settings(DOCRAPTOR=RIGHT | {key: value}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == ["E003"]
    assert key in message.msg


def test_E003_every_mistake_is_told() -> None:
    """Two mistakes give two messages."""
    assert settings_ids(RIGHT | {"TEST_MODE": 1, "MAX_SUBMIT_FAILURES": 0}) == ["E003", "E003"]


@pytest.mark.parametrize("docraptor", [None, {}, {"API_KEY": ""}, {"API_KEY": "  "}])
def test_E004_no_key(docraptor: object) -> None:
    """Without an API key nothing can work."""
    assert settings_ids(docraptor) == ["E004"]


def test_E004_callable() -> None:
    """A callable counts as a key, and is not called at start-up."""

    def explode(account: str) -> str:
        raise AssertionError

    assert settings_ids({"API_KEY": explode}) == []


def test_E005_callback_over_http() -> None:
    """W9: a callback address without https is an error in production, fine while debugging."""
    wrong = RIGHT | {"CALLBACK_BASE_URL": "http://shop.example"}
    assert settings_ids(wrong) == ["E005"]
    with override_settings(DEBUG=True):
        assert settings_ids(wrong) == []


@pytest.mark.parametrize(
    "defaults",
    [
        {"prince_options": {"key_bits": 41}},
        {"test": True},
        {"strict": "very"},
        {"javascript": "yes"},
        {"anything": object()},
        {"prince_options": "print"},
    ],
)
def test_E006_wrong_defaults(defaults: dict[str, object]) -> None:
    """Options that no document could be sent with are an error at start-up."""
    assert settings_ids(RIGHT | {"DEFAULTS": defaults}) == ["E006"]


@pytest.mark.parametrize(
    ("defaults", "name", "hint"),
    [
        ({"javascrpt": True}, "javascrpt", "Did you mean 'javascript'?"),
        ({"prince_options": {"medai": "print"}}, "prince_options.medai", "Did you mean 'media'?"),
        ({"brand_new": 1}, "brand_new", "It is sent to DocRaptor as it is."),
    ],
)
def test_W005_unknown_defaults(defaults: dict[str, object], name: str, hint: str) -> None:
    """A name in DEFAULTS that is not known gets the warning that a document's options get."""
    with override_settings(DOCRAPTOR=RIGHT | {"DEFAULTS": defaults}):
        (message,) = checks.check_settings(None)
    assert ids([message]) == ["W005"]
    assert message.msg == f"DOCRAPTOR['DEFAULTS'] has {name}, which this version does not know."
    assert message.hint == hint


@pytest.mark.parametrize("path", ["nodots", "shop.nowhere.Client", "django_docraptor.client.Clien"])
def test_E007_client(path: str) -> None:
    """A client class that cannot be imported is an error."""
    assert settings_ids(RIGHT | {"CLIENT": path}) == ["E007"]


@pytest.mark.parametrize(
    ("base", "static_url", "found"),
    [
        ("", "/static/", ["E020"]),
        ("", None, ["E020"]),
        ("", "https://cdn.example/", []),
        ("https://shop.example", "/static/", []),
    ],
)
def test_E020_assets_base_url(base: str, static_url: str | None, found: list[str]) -> None:
    """Absolute addresses need something to begin with."""
    with override_settings(STATIC_URL=static_url):
        docraptor = RIGHT | {"ASSETS": "absolute", "ASSETS_BASE_URL": base}
        assert settings_ids(docraptor) == found
        assert settings_ids(docraptor | {"ASSETS": "inline"}) == []


def test_E008_urls_missing() -> None:
    """Our URLs must be included."""
    with override_settings(ROOT_URLCONF=__name__):
        assert ids(checks.check_urls(None)) == ["E008"]


def test_E008_urls_included() -> None:
    """With the URLs included there is nothing to say, nor without any URLs at all."""
    assert checks.check_urls(None) == []
    with override_settings(ROOT_URLCONF=None):
        assert checks.check_urls(None) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://docraptor.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
    ],
)
def test_W001_plain_http(url: str) -> None:
    """Key and documents over plain http to another machine deserve a warning."""
    assert settings_ids(RIGHT | {"BASE_URL": url}) == ["W001"]
    with override_settings(DEBUG=True):
        assert settings_ids(RIGHT | {"BASE_URL": url}) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001", "http://localhost", "http://[::1]:1", "https://x.example"]
)
def test_W001_on_this_machine(url: str) -> None:
    """A sandbox on this machine needs no https."""
    assert settings_ids(RIGHT | {"BASE_URL": url}) == []


def test_W002_no_broker(monkeypatch) -> None:
    """Without a broker nothing is rung: that is a warning, unless rings are off."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    with celery_app(broker_url=None):
        with override_settings(DOCRAPTOR=RIGHT):
            assert ids(checks.check_celery(None)) == ["W002"]
        with override_settings(DOCRAPTOR=RIGHT | {"RUNNER": "none"}):
            assert checks.check_celery(None) == []
    with celery_app(broker_url=None, task_always_eager=True):
        assert checks.check_celery(None) == []


@pytest.mark.parametrize("url", ["redis://127.0.0.1", "rediss://127.0.0.1", "sentinel://127.0.0.1"])
def test_W003_redis_without_timeout(url: str) -> None:
    """A Redis broker without a socket timeout could block a request for ever."""
    with celery_app(broker_url=url):
        assert ids(checks.check_celery(None)) == ["W003"]


def test_W003_with_timeout() -> None:
    """With a timeout, or with another broker, there is nothing to say."""
    with celery_app(broker_url="redis://127.0.0.1", broker_transport_options={"socket_timeout": 5}):
        assert checks.check_celery(None) == []
    with celery_app(broker_url="amqp://127.0.0.1"):
        assert checks.check_celery(None) == []


@pytest.mark.skipif("connection.vendor != 'sqlite'")
@pytest.mark.parametrize("options", [{}, {"transaction_mode": None}, {"transaction_mode": "X"}])
def test_W004_sqlite_transactions(options: dict[str, object], monkeypatch) -> None:
    """SQLite's deferred transactions fail when two processes write."""
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    assert ids(checks.check_sqlite(None)) == ["W004"]


def test_W004_immediate(monkeypatch) -> None:
    """The recommended options give no warning, in any spelling."""
    assert checks.check_sqlite(None) == []
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"transaction_mode": "immediate"})
    assert checks.check_sqlite(None) == []


@pytest.mark.parametrize(("use_tz", "found"), [(True, []), (False, ["E022"])])
def test_E022_time_zones(settings, use_tz: bool, found: list[str]) -> None:
    """Aware times only."""
    settings.USE_TZ = use_tz
    assert ids(checks.check_time_zones(None)) == found


DISK = "django.core.files.storage.FileSystemStorage"


def disk(location: Path, **options: object) -> dict[str, object]:
    """A storage in a directory."""
    return {"BACKEND": DISK, "OPTIONS": {"location": location, **options}}


def storage_ids(storages: dict[str, object], root: object, url: str = "/media/") -> list[str]:
    """What check_storage finds with that storage beside a default one, and these media files."""
    storages = {"default": {"BACKEND": DISK}, **storages}
    with override_settings(STORAGES=storages, MEDIA_ROOT=root, MEDIA_URL=url):
        return ids(checks.check_storage(None))


def test_W006_documents_below_the_media_root(tmp_path: Path) -> None:
    """Without an alias documents go where everyone can read them; so they do with a wrong one."""
    root = tmp_path / "media"
    root.mkdir()
    link = tmp_path / "link"
    link.symlink_to(root)
    assert storage_ids({}, root) == ["W006"]
    assert storage_ids({}, root, "https://media.shop.example/") == ["W006"]
    assert storage_ids({"docraptor": disk(root / "documents")}, root) == ["W006"]
    assert storage_ids({"docraptor": disk(link / "documents")}, str(root)) == ["W006"]


def test_W006_documents_that_nobody_serves(tmp_path: Path) -> None:
    """Elsewhere, without an address, or not on this disk, documents are private."""
    root = tmp_path / "media"
    assert storage_ids({"docraptor": disk(tmp_path / "documents")}, root) == []
    assert storage_ids({"docraptor": disk(tmp_path / "media2")}, root) == []
    assert storage_ids({"docraptor": disk(root / "documents", base_url="")}, root) == []
    assert storage_ids({}, root, "") == []
    assert storage_ids({}, "") == []
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    assert storage_ids({"docraptor": memory}, root) == []


@pytest.mark.parametrize(
    "storage", [{"BACKEND": "no.such.Storage"}, {"BACKEND": DISK, "OPTIONS": {"no_such": 1}}]
)
def test_W006_storage_that_cannot_be_made(storage: dict[str, object], tmp_path: Path) -> None:
    """Its error is not this check's."""
    assert storage_ids({"docraptor": storage}, tmp_path) == []
