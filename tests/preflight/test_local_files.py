"""URLs of static and media files of this site that are missing."""

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage

from django_docraptor.preflight import Severity
from tests.support.preflight import problems_in


def test_missing_static_file_is_a_warning(settings):
    """A URL below STATIC_URL without a file is a warning, since another host may have it."""
    html = '<img src="/static/no.png"><link rel="icon" href="/static/admin/img/icon-yes.svg">'
    (problem,) = problems_in(html, baseurl="https://shop.example/")
    assert problem.severity == Severity.WARNING
    assert "the static file 'no.png', which does not exist" in problem.message


def test_invalid_static_url_has_no_file():
    """A URL that leads out of STATIC_URL, or is invalid, has no file."""
    for url, name in (("/static/../a", "'../a'"), ("/static///[x", "")):
        messages = [
            problem.message
            for problem in problems_in(f'<img src="{url}">', baseurl="https://a.example")
        ]
        assert [name in message for message in messages] == [True] * bool(name)


def test_missing_media_file_is_a_warning(settings, tmp_path):
    """A URL below MEDIA_URL, absolute or not, without a file in the storage is a warning."""
    settings.MEDIA_URL = "/media/"
    backend = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": backend, "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"default": default}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS_BASE_URL": "https://shop.example"}
    default_storage.save("a b.png", ContentFile(b"x"))
    html = "".join(
        f'<img src="https://shop.example/media/{name}">'
        for name in ("a%20b.png", "c.png", "%2e%2e/d", "a%00b")
    )
    messages = [problem.message for problem in problems_in(html)]
    assert ["'c.png'" in messages[0], "'../d'" in messages[1]] == [True, True]
    assert len(messages) == 3


def test_remote_static_storage_is_not_asked(settings):
    """Static files in a remote storage are not looked up."""
    remote = {"BACKEND": f"{__name__}.RemoteStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": remote}
    assert problems_in('<img src="/static/no.png">', baseurl="https://shop.example/") == []


def test_remote_media_storage_is_not_asked(settings):
    """Media files in a remote storage are not looked up."""
    settings.MEDIA_URL = "/media/"
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": f"{__name__}.RemoteStorage"}}
    assert problems_in('<img src="/media/no.png">', baseurl="https://shop.example/") == []


class RemoteStorage(Storage):
    """A storage that must not be asked."""

    def exists(self, name):
        raise AssertionError("asked")
