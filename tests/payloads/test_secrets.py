"""Options that are secrets: encrypted with SECRET_KEY, and compared by a keyed hash."""

import json
import sys
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import override_settings

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.payloads import options_to_json
from django_docraptor.payloads.secrets import decrypt_secrets, encrypt_secrets, hash_secrets

SECRETS: dict[str, Any] = {
    "tag": "shown",
    "vendor_token": {"any": ["canary"]},
    "list": [{"api_key": "canary"}],
    "prince_options": {
        "media": "print",
        "user_password": "canary é",
        "owner_password": "canary",
        "http_password": "canary",
        "http_proxy": "http://canary",
        "no_password": None,
        "blank_password": "",
    },
}
PLAIN = {"tag": "shown", "prince_options": {"media": "print", "user_password": None}}


def test_secrets_are_encrypted_and_decrypted() -> None:
    """Every secret is encrypted at any depth, everything else stays as it is."""
    encrypted = encrypt_secrets(SECRETS)
    assert "canary" not in json.dumps(encrypted)
    assert encrypted["tag"] == "shown"
    assert encrypted["prince_options"]["media"] == "print"
    assert encrypted["prince_options"]["no_password"] is None
    assert encrypted["prince_options"]["blank_password"] == ""
    assert decrypt_secrets(json.loads(json.dumps(encrypted))) == SECRETS
    assert encrypt_secrets(SECRETS) != encrypted  # equal passwords look different


def test_value_that_looks_encrypted_is_a_password_like_others() -> None:
    """A password may begin as an encrypted value does."""
    options = {"user_password": "encrypted:canary"}
    assert decrypt_secrets(encrypt_secrets(options)) == options


def test_former_key_still_decrypts() -> None:
    """After a rotation, SECRET_KEY_FALLBACKS has the former key; without it, the remedy is told."""
    with override_settings(SECRET_KEY="former"):
        encrypted = encrypt_secrets(SECRETS)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["other", "former"]):
        assert decrypt_secrets(encrypted) == SECRETS
    with (
        override_settings(SECRET_KEY="new"),
        pytest.raises(ConfigurationError, match="SECRET_KEY_FALLBACKS"),
    ):
        decrypt_secrets(encrypted)


def test_changed_value_is_not_decrypted() -> None:
    """A value that was changed in the database is refused, instead of being sent."""
    encrypted = encrypt_secrets({"user_password": "canary"})
    encrypted["user_password"] = encrypted["user_password"][:-8] + "AAAAAAA="
    with pytest.raises(ConfigurationError):
        decrypt_secrets(encrypted)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cryptography, secrets are refused by name, and other options are not."""
    encrypted = encrypt_secrets(SECRETS)
    for name in ("cryptography", "cryptography.fernet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert encrypt_secrets(PLAIN) == decrypt_secrets(PLAIN) == PLAIN
    with pytest.raises(ValidationError) as caught:
        encrypt_secrets(SECRETS)
    (message,) = caught.value.message_dict["options"]
    for part in ("prince_options.user_password", "django-docraptor[passwords]", "vendor_token"):
        assert part in message
    assert "canary" not in message
    with pytest.raises(ConfigurationError, match="passwords"):
        decrypt_secrets(encrypted)


def test_hash_is_keyed() -> None:
    """A hash tells secrets apart, depends on SECRET_KEY, and leaves other options as they are."""
    hashed = hash_secrets(SECRETS)
    assert hashed == hash_secrets(SECRETS)
    assert "canary" not in json.dumps(hashed)
    assert hash_secrets(PLAIN) == PLAIN
    first, second = (hash_secrets({"user_password": text}) for text in "ab")
    assert first != second
    with override_settings(SECRET_KEY="another"):
        assert hash_secrets({"user_password": "a"}) != first


@pytest.mark.fault("X7")
@pytest.mark.parametrize(
    "options",
    [
        {"prince_options": {"user_password": b"canary"}},
        {"vendor_token": b"canary"},
        {"new": {"api_key": {b"canary"}}},
    ],
)
def test_secret_that_is_no_json_is_not_repeated(options: dict[str, Any]) -> None:
    """The message names the option and the type, not the value."""
    with pytest.raises(ValidationError) as caught:
        options_to_json(options)
    assert "canary" not in str(caught.value)
    assert next(iter(options)) in str(caught.value)
