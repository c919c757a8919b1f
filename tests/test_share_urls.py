"""Tokens and URLs of share links."""

import uuid

import pytest
from django.test import override_settings

from django_docraptor.callback_urls import make_token
from django_docraptor.client.failures import REDACTED, Redactor
from django_docraptor.page_urls import PAGE_SALT
from django_docraptor.secret_text import HIDDEN, SecretText
from django_docraptor.share_urls import make_share_token, read_share_token, share_path, share_url

LINK = uuid.UUID("8c41e07b-0000-4000-8000-000000000001")


def test_token_is_read() -> None:
    """A token leads back to its link, and is always the same."""
    token = make_share_token(LINK)
    assert read_share_token(token) == LINK
    assert make_share_token(LINK) == token


@pytest.mark.parametrize("index", range(0, 76, 5))
def test_changed_token_is_refused(index: int) -> None:
    """Each character of a token counts, of the ID and of the signature."""
    token = str(make_share_token(LINK))
    changed = token[:index] + ("0" if token[index] != "0" else "1") + token[index + 1 :]
    assert read_share_token(changed) is None


@pytest.mark.parametrize(
    "token",
    [
        *(
            "",
            ".",
            "x",
            LINK.hex,
            f"{LINK.hex}.",
            "é" * 76,
            "a" * 100_000,
            "0" * 32 + "." + "A" * 43,
        ),
        *("\x00", "../../etc/passwd"),
    ],
)
def test_other_text_is_refused(token: str) -> None:
    """What is no token of a share link is refused."""
    assert read_share_token(token) is None


def test_tokens_of_callbacks_and_pages_are_refused() -> None:
    """Each kind is signed with a salt of its own."""
    for token in (make_token(LINK, 0), make_token(LINK, 1, salt=PAGE_SALT)):
        assert read_share_token(token) is None


def test_token_of_another_key_is_refused() -> None:
    """A new SECRET_KEY ends all links, unless the old one is among the fallbacks."""
    token = str(make_share_token(LINK))
    with override_settings(SECRET_KEY="new"):
        assert read_share_token(token) is None
    with override_settings(SECRET_KEY_FALLBACKS=["old"], SECRET_KEY="new"):
        assert read_share_token(token) is None
    with override_settings(SECRET_KEY="old"):
        token = str(make_share_token(LINK))
    with override_settings(SECRET_KEY_FALLBACKS=["old"], SECRET_KEY="new"):
        assert read_share_token(token) == LINK


def test_url_is_absolute(settings) -> None:
    """The URL begins with the site's public address."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example/app/"}
    assert share_url(LINK) == f"https://shop.example/app{share_path(LINK)}"
    assert share_path(LINK) == f"/docraptor/shared/{make_share_token(LINK)}/"


def test_url_without_an_address_is_blank(settings) -> None:
    """Without the public address there is only a path."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": ""}
    assert share_url(LINK) == ""


def test_tracebacks_do_not_show_a_token(settings) -> None:
    """Variables with a token, a path or a URL are shown as asterisks."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}
    assert [repr(text) for text in (make_share_token(LINK), share_path(LINK), share_url(LINK))] == [
        HIDDEN
    ] * 3


def test_token_is_redacted_in_errors_of_docraptor() -> None:
    """An error of DocRaptor that quotes a share link is stored without its token."""
    redact = Redactor.for_key(SecretText("key"))
    path = share_path(LINK)
    assert redact(f"cannot load https://shop.example{path}?download") == (
        f"cannot load https://shop.example/docraptor/shared/{REDACTED}/?download"
    )
