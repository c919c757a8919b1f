"""The secrets of the settings are found wherever they are."""

import pytest

from django_docraptor.diagnosis.secret_values import redactor


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("SECRET_KEY", "s3cr3t-value", "s3cr3t-value"),
        ("SECRET_KEY_FALLBACKS", ["s3cr3t-value"], "s3cr3t-value"),
        ("STORAGES", {"docraptor": {"OPTIONS": {"account_key": "s3cr3t"}}}, "s3cr3t"),
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t-value", "s3cr3t-value"),
        ("CELERY_BROKER_URL", "amqp://shop:s3cr3t%21@rabbit//", "s3cr3t!"),
        ("CELERY_BROKER_URL", ["amqp://shop:s3cr3t%21@rabbit//"], "s3cr3t%21"),
        ("DOCRAPTOR", {"API_KEY": "s3cr3t-key"}, "s3cr3t-key"),
        ("DOCRAPTOR", {"PROXIES": {"https": "http://u:s3cr3t@proxy"}}, "s3cr3t"),
    ],
)
def test_secret_is_redacted(settings, name: str, value: object, secret: str) -> None:
    """It is secret by its name, however deep it is, or as the password of a URL."""
    setattr(settings, name, value)
    assert redactor()(f"<{secret}>") == "<[redacted]>"


def test_password_of_the_database_is_redacted(settings, monkeypatch) -> None:
    """Drivers quote the DSN in their errors."""
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", "s3cr3t-value")
    assert redactor()("dsn: password=s3cr3t-value") == "dsn: password=[redacted]"


def test_other_values_are_told(settings) -> None:
    """Names of queues and prefixes of caches are no secrets, nor is what is too short for one."""
    settings.CELERY_TASK_DEFAULT_ROUTING_KEY = "celery"
    settings.CACHES = {"default": {"BACKEND": "x", "KEY_PREFIX": "shop"}}
    settings.DOCRAPTOR = {"API_KEY": "a"}
    assert redactor()("a celery shop") == "a celery shop"
