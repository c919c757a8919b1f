"""URLs of the package's static files, whatever the project's static files storage is."""

from typing import Any

import pytest

from django_docraptor.static_urls import static_url
from tests.support.assets import MANIFEST


def test_static_url() -> None:
    """The URL is that of the static files storage."""
    assert static_url("customers.css") == "/static/django_docraptor/customers.css"


def test_file_that_was_not_collected_has_a_url(
    settings: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With a manifest and without collectstatic, a page has no style; it does not fail."""
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": MANIFEST}}
    settings.DEBUG = False
    assert static_url("customers.css") == "/static/django_docraptor/customers.css"
    assert "collectstatic" in caplog.text


def test_site_without_static_files(settings: Any) -> None:
    """A site without STATIC_URL has pages without a style."""
    settings.STATIC_URL = None
    assert static_url("customers.css").endswith("django_docraptor/customers.css")
