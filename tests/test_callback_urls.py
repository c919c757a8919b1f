"""Callback tokens: only this site can create one, for one job and one attempt."""

import sys
import time
import uuid
from collections.abc import Iterator

import pytest
from django.core import signing
from django.core.signing import b62_encode
from django.test import override_settings
from django.urls import get_script_prefix, resolve, set_script_prefix

from django_docraptor.callback_urls import (
    CALLBACK_SALT,
    TOKEN_MAX_AGE,
    TOKEN_MAX_LENGTH,
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


def sign(value: str, *, age: int = 0, salt: str = CALLBACK_SALT, key: str | None = None) -> str:
    """Return a token for any value, created ``age`` seconds ago."""
    signer = PastSigner(key=key, salt=salt, sep=".")
    signer.age = age
    return signer.sign(value)


@pytest.fixture
def script_prefix() -> Iterator[str]:
    """A path prefix, which a web process knows from WSGI, but a worker does not."""
    before = get_script_prefix()
    set_script_prefix("/app/")
    yield "/app/"
    set_script_prefix(before)


@pytest.mark.parametrize("attempt", [1, 2, 32767])
def test_token_returns_its_job_and_attempt(attempt: int) -> None:
    """Reading a token returns the job ID and the attempt that it was made for."""
    assert read_token(make_token(JOB, attempt)) == (JOB, attempt)


def test_longest_token_is_below_the_length_limit() -> None:
    """The longest token is shorter than the longest one that is read."""
    assert len(make_token(JOB, 32767)) < TOKEN_MAX_LENGTH


def test_token_is_url_safe() -> None:
    """A token needs no quoting in a path."""
    assert set(make_token(JOB, 3)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )


def test_token_with_any_changed_character_is_invalid() -> None:
    """A token with one changed character is invalid."""
    token = make_token(JOB, 1)
    for place, letter in enumerate(token):
        other = "A" if letter != "A" else "B"
        # The last character of unpadded base64 carries spare bits, but the text is compared.
        assert read_token(token[:place] + other + token[place + 1 :]) is None


def test_truncated_token_is_invalid() -> None:
    """No prefix of a token is valid."""
    token = make_token(JOB, 1)
    assert [read_token(token[:length]) for length in range(len(token))] == [None] * len(token)


def test_signature_is_bound_to_job_and_attempt() -> None:
    """A signature is invalid for another job or another attempt."""
    signature = make_token(JOB, 1).partition(".")[2]
    assert read_token(f"{uuid.uuid4().hex}-1.{signature}") is None
    assert read_token(f"{JOB.hex}-2.{signature}") is None
    assert read_token(f"{JOB.hex}-1.{signature}") == (JOB, 1)


def test_token_expires_at_its_maximum_age() -> None:
    """A token is valid until it reaches its maximum age."""
    assert read_token(sign(f"{JOB.hex}-1", age=TOKEN_MAX_AGE - 60)) == (JOB, 1)
    assert read_token(sign(f"{JOB.hex}-1", age=TOKEN_MAX_AGE + 60)) is None


def test_token_of_another_secret_key_is_invalid() -> None:
    """A token that was signed with another SECRET_KEY is invalid."""
    with override_settings(SECRET_KEY="another site's"):
        token = make_token(JOB, 1)
        assert read_token(token) == (JOB, 1)
    assert read_token(token) is None


def test_token_of_another_salt_is_invalid() -> None:
    """A value that another part of the site signed is not a callback token."""
    assert read_token(sign(f"{JOB.hex}-1", salt="django.core.signing")) is None


def test_token_survives_a_secret_key_rotation() -> None:
    """Tokens remain valid while their key is in SECRET_KEY_FALLBACKS."""
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
def test_arbitrary_text_is_an_invalid_token(token: str) -> None:
    """Arbitrary text is an invalid token and raises no error."""
    assert read_token(token) is None


@pytest.mark.parametrize("value", ["", "x", f"{JOB.hex}", f"{JOB.hex}-", f"{JOB.hex}-x", "x-1"])
def test_signed_value_without_job_and_attempt_is_invalid(value: str) -> None:
    """A signed value that names no job and attempt is invalid."""
    assert read_token(sign(value)) is None


def test_callback_url_is_blank_without_a_base_url() -> None:
    """Without CALLBACK_BASE_URL there is no callback URL."""
    with override_settings(DOCRAPTOR={}):
        assert callback_url(JOB, 1) == ""


@pytest.mark.parametrize("base", ["https://shop.example", "https://shop.example/"])
def test_callback_url_joins_base_url_and_path(base: str) -> None:
    """The URL is the base and the path, with one slash between them."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": base}):
        url = callback_url(JOB, 7)
    assert url.startswith("https://shop.example/docraptor/callback/")
    match = resolve(url.removeprefix("https://shop.example"))
    assert match.view_name == "django_docraptor:callback"
    assert read_token(match.kwargs["token"]) == (JOB, 7)


def test_base_url_may_be_computed() -> None:
    """A callable returns the URL of the site that is in force."""
    sites = iter(["https://anna.example", "https://bert.example"])
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": lambda: next(sites)}):
        urls = [callback_url(JOB, 1), callback_url(JOB, 1)]
    assert [url.partition("/docraptor/")[0] for url in urls] == [
        "https://anna.example",
        "https://bert.example",
    ]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: {}["no tenant"], "'CALLBACK_BASE_URL'] raised an exception: there is no URL"),
        (sys.exit, "'CALLBACK_BASE_URL'] raised an exception: there is no URL"),
        (lambda: None, "'CALLBACK_BASE_URL'] returned None, which must be str, not NoneType"),
        (lambda: "shop.example", "returned 'shop.example', which must begin with https://"),
    ],
)
def test_base_url_that_cannot_be_computed_is_logged(compute, message, caplog) -> None:
    """Without a URL, the result is polled for: an error would cost the attempt."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": compute}):
        assert callback_url(JOB, 1) == ""
    assert message in caplog.text


def test_callback_url_has_the_script_prefix(script_prefix: str) -> None:
    """The URL has the process's script prefix."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": "https://shop.example"}):
        assert callback_url(JOB, 1).startswith("https://shop.example/app/docraptor/callback/")


def test_callback_url_has_the_path_of_the_base_url() -> None:
    """A worker, which has no script prefix, takes the path from the setting."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": "https://shop.example/app/"}):
        assert callback_url(JOB, 1).startswith("https://shop.example/app/docraptor/callback/")


def test_callback_url_has_the_prefix_only_once(script_prefix: str) -> None:
    """If both the setting and the process have the prefix, the URL has it once."""
    with override_settings(DOCRAPTOR={"CALLBACK_BASE_URL": "https://shop.example/app"}):
        assert callback_url(JOB, 1).startswith("https://shop.example/app/docraptor/callback/")
