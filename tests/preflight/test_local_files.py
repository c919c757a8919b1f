"""Static and media files of this site that are missing."""

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage

from django_docraptor.preflight import Severity
from tests.support.preflight import found

# Files of this site.


def test_find_problems_missing_static_file(settings):
    """An address below STATIC_URL without a file: a warning, since another host may have it."""
    html = '<img src="/static/no.png"><link rel="icon" href="/static/admin/img/icon-yes.svg">'
    (problem,) = found(html, baseurl="https://shop.example/")
    assert problem.severity == Severity.WARNING
    assert "the static file 'no.png', which does not exist" in problem.message


def test_find_problems_impossible_static_file():
    """An address that leads out of STATIC_URL, or that is none, has no file."""
    for url, name in (("/static/../a", "'../a'"), ("/static///[x", "")):
        messages = [
            problem.message for problem in found(f'<img src="{url}">', baseurl="https://a.example")
        ]
        assert [name in message for message in messages] == [True] * bool(name)


def test_find_problems_missing_media_file(settings, tmp_path):
    """An address below MEDIA_URL, full or not, without a file in the storage."""
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
    messages = [problem.message for problem in found(html)]
    assert ["'c.png'" in messages[0], "'../d'" in messages[1]] == [True, True]
    assert len(messages) == 3


def test_find_problems_asks_no_remote_storage(settings):
    """Static files on another machine are not looked for: nothing is known of them."""
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": f"{__name__}.Remote"}}
    assert found('<img src="/static/no.png">', baseurl="https://shop.example/") == []


def test_find_problems_asks_no_remote_media_storage(settings):
    """Nor is another storage asked for a media file."""
    settings.MEDIA_URL = "/media/"
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": f"{__name__}.Remote"}}
    assert found('<img src="/media/no.png">', baseurl="https://shop.example/") == []


class Remote(Storage):
    """A storage that must not be asked."""

    def exists(self, name):
        raise AssertionError("asked")
