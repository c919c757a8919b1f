"""Callback tokens: only this site can make one, and it says one job and one attempt."""

import time
import uuid
from collections.abc import Iterator

import pytest
from django.core import signing
from django.core.signing import b62_encode
from django.test import override_settings
from django.urls import get_script_prefix, resolve, set_script_prefix

from django_docraptor.callback_urls import (
    TOKEN_MAX_AGE,
    TOKEN_MAX_LENGTH,
    TOKEN_SALT,
    callback_url,
    make_token,
    read_token,
)

JOB = uuid.UUID("6f1c1d1e-6c5b-4a86-9f5e-0d5b1b6f9a11")


class PastSigner(signing.TimestampSigner):
    """A signer whose clock is behind."""

    age = 0

    def timestamp(self) -> str:
        return b62_encode(int(time.time()) - self.age)


def signed(value: str, *, age: int = 0, salt: str = TOKEN_SALT, key: str | None = None) -> str:
    """A token over any value, made so many seconds ago."""
    signer = PastSigner(key=key, salt=salt, sep=".")
    signer.age = age
    return signer.sign(value)


@pytest.fixture
def script_prefix() -> Iterator[str]:
    """The site is served below a path, as WSGI tells a web process but no worker."""
    before = get_script_prefix()
    set_script_prefix("/app/")
    yield "/app/"
    set_script_prefix(before)


@pytest.mark.parametrize("attempt", [1, 2, 32767])
def test_read_token_round_trip(attempt: int) -> None:
    """A token gives back its job and attempt."""
    assert read_token(make_token(JOB, attempt)) == (JOB, attempt)


def test_make_token_length() -> None:
    """The longest token is far from the limit on what is read at all."""
    assert len(make_token(JOB, 32767)) < TOKEN_MAX_LENGTH


def test_make_token_is_url_safe() -> None:
    """A token needs no quoting in a path."""
    assert set(make_token(JOB, 3)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )


def test_read_token_every_single_change() -> None:
    """A token with any one character changed is no token."""
    token = make_token(JOB, 1)
    for place, letter in enumerate(token):
        other = "A" if letter != "A" else "B"
        # The last character of unpadded base64 carries spare bits, but the text is compared.
        assert read_token(token[:place] + other + token[place + 1 :]) is None


def test_read_token_truncated() -> None:
    """No beginning of a token is a token."""
    token = make_token(JOB, 1)
    assert [read_token(token[:length]) for length in range(len(token))] == [None] * len(token)


def test_read_token_swapped() -> None:
    """A signature does not fit another job or another attempt."""
    signature = make_token(JOB, 1).partition(".")[2]
    assert read_token(f"{uuid.uuid4().hex}-1.{signature}") is None
    assert read_token(f"{JOB.hex}-2.{signature}") is None
    assert read_token(f"{JOB.hex}-1.{signature}") == (JOB, 1)


def test_read_token_expired() -> None:
    """A token is good until its age is past the limit."""
    assert read_token(signed(f"{JOB.hex}-1", age=TOKEN_MAX_AGE - 60)) == (JOB, 1)
    assert read_token(signed(f"{JOB.hex}-1", age=TOKEN_MAX_AGE + 60)) is None


def test_read_token_other_secret_key() -> None:
    """Another site's token is none of ours."""
    with override_settings(SECRET_KEY="another site's"):
        token = make_token(JOB, 1)
        assert read_token(token) == (JOB, 1)
    assert read_token(token) is None


def test_read_token_other_salt() -> None:
    """What another part of this site has signed is no callback token."""
    assert read_token(signed(f"{JOB.hex}-1", salt="django.core.signing")) is None


def test_read_token_fallback_keys() -> None:
    """Tokens stay valid through a rotation of SECRET_KEY."""
    token = make_token(JOB, 1)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["tests"]):
        assert read_token(token) == (JOB, 1)
        assert make_token(JOB, 1) != token
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert read_token(token) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "token",
        "é",
        make_token(JOB, 1) + "é",
        make_token(JOB, 1) + "\x00",
        "\x00" + make_token(JOB, 1),
        make_token(JOB, 1) + "\n",
        make_token(JOB, 1) + "." + make_token(JOB, 1),
        "a" * 100_000,
        "." * 100_000,
        "\ud800",
    ],
    ids=lambda token: f"{len(token)} characters",
)
def test_read_token_garbage(token: str) -> None:
    """Whatever else comes is no token, and no error."""
    assert read_token(token) is None


@pytest.mark.parametrize("value", ["", "x", f"{JOB.hex}", f"{JOB.hex}-", f"{JOB.hex}-x", "x-1"])
def test_read_token_signed_garbage(value: str) -> None:
    """Even signed, what names no job and attempt is no token."""
    assert read_token(signed(value)) is None


def test_callback_url_blank_base() -> None:
    """Without CALLBACK_BASE_URL there is no URL: polling only."""
    with override_settings(DOCRAPTOR={}):
        assert callback_url(JOB, 1) == ""


@pytest.mark.parametrize("base", ["https://shop.example", "https://shop.example/"])
def test_callback_url_plain(base: str) -> None:
    """The address is the base and our path, with one slash between."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": base}):
        url = callback_url(JOB, 7)
    assert url.startswith("https://shop.example/docraptor/callback/")
    match = resolve(url.removeprefix("https://shop.example"))
    assert match.view_name == "django_docraptor:callback"
    assert read_token(match.kwargs["token"]) == (JOB, 7)


def test_callback_url_script_prefix(script_prefix: str) -> None:
    """Where the process knows its prefix, the prefix is in the address."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": "https://shop.example"}):
        assert callback_url(JOB, 1).startswith("https://shop.example/app/docraptor/callback/")


def test_callback_url_path_in_base() -> None:
    """A worker, which knows no prefix, takes it from the setting."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": "https://shop.example/app/"}):
        assert callback_url(JOB, 1).startswith("https://shop.example/app/docraptor/callback/")


def test_callback_url_path_in_base_and_script_prefix(script_prefix: str) -> None:
    """The prefix is there once, also where both know it."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": "https://shop.example/app"}):
        assert callback_url(JOB, 1).startswith("https://shop.example/app/docraptor/callback/")
