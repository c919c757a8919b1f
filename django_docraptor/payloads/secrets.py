"""Internal. Options that are secrets, such as passwords: stored encrypted until they are used.

They are compared by a hash.

The key is derived from SECRET_KEY; what an earlier one of SECRET_KEY_FALLBACKS has encrypted can be
read. Encrypting needs the package cryptography, which is optional.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.payloads.document_request import DocumentRequest
from django_docraptor.payloads.fields import SECRET_NAME
from django_docraptor.payloads.prince_options import PrinceOptions

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

# Options whose values are hidden from repr.
SECRET_OPTIONS: Final = frozenset(
    option.name
    for options in (PrinceOptions, DocumentRequest)
    for option in fields(options)
    if not option.repr
)
SALT: Final = "django_docraptor.secret_options"
# Beginning of an encrypted value.
PREFIX: Final = "encrypted:"
# What stands for the value of a secret once the document is completed.
DELETED: Final = "deleted"


def is_secret(name: str) -> bool:
    """Return whether the option of a name is a secret."""
    return name in SECRET_OPTIONS or SECRET_NAME.search(name) is not None


def replace_secrets(
    value: Any, replace: Callable[[Any], Any], *, other: Callable[[Any], Any] = lambda value: value
) -> Any:
    """Return options, as JSON, with each secret that is set replaced, at any depth.

    Args:
        value: a dict, a list, or what these contain.
        replace: returns what is in the place of a secret.
        other: the same for each value that is no secret, dict or list.
    """
    if isinstance(value, Mapping):
        return {
            name: replace(inner)
            if is_secret(str(name)) and inner
            else replace_secrets(inner, replace, other=other)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [replace_secrets(inner, replace, other=other) for inner in value]
    return other(value)


@sensitive_variables()
def encrypt_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with their secrets encrypted.

    Raises:
        ValidationError: there is a secret, and cryptography is not installed.
    """

    @sensitive_variables()
    def encrypt(value: Any) -> str:
        return PREFIX + _fernet().encrypt(json.dumps(value).encode()).decode()

    try:
        encrypted: dict[str, Any] = replace_secrets(options, encrypt)
    except ImportError:
        raise ValidationError(
            {"options": [_not_installed(name for name, _value in _secrets(options))]}
        ) from None
    return encrypted


@sensitive_variables()
def decrypt_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with their secrets decrypted.

    Raises:
        ConfigurationError: SECRET_KEY is another, or cryptography is not installed.
    """

    @sensitive_variables()
    def decrypt(value: Any) -> Any:
        if not (isinstance(value, str) and value.startswith(PREFIX)):
            return value
        return json.loads(_decrypt(value.removeprefix(PREFIX)))

    decrypted: dict[str, Any] = replace_secrets(options, decrypt)
    return decrypted


def has_secrets(stored: Mapping[str, Any]) -> bool:
    """Return whether stored options contain an encrypted secret."""
    return next(_secrets(stored), None) is not None


def delete_secrets(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored options without the values of their secrets."""
    deleted: dict[str, Any] = replace_secrets(stored, lambda _value: DELETED)
    return deleted


def deleted_secrets(stored: Mapping[str, Any]) -> list[str]:
    """Return the names of the deleted secrets, such as ``prince_options.user_password``."""
    return [name for name, value in _secrets(stored) if value == DELETED]


def restore_secrets(stored: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored options whose deleted secrets are those that are declared now.

    Args:
        stored: secrets are encrypted or deleted.
        declared: options of the settings and the document class, with their secrets encrypted.

    Raises:
        ValidationError: a deleted secret is declared nowhere.
    """
    restored: dict[str, Any] = _restore(stored, declared)
    if missing := deleted_secrets(restored):
        message = _(
            "%(options)s: deleted when the document was completed. Enqueue the document again, "
            "with the password."
        )
        raise ValidationError({"options": [message % {"options": ", ".join(missing)}]})
    return restored


def _restore(stored: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    restored = dict(stored)
    for name, value in stored.items():
        known = declared.get(name)
        if is_secret(name) and value == DELETED:
            restored[name] = known or value
        elif isinstance(value, Mapping) and isinstance(known, Mapping):
            restored[name] = _restore(value, known)
    return restored


def hash_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with each secret replaced by a keyed hash.

    A hash of the result does not allow guessing: SECRET_KEY would have to be guessed, too.
    """

    @sensitive_variables()
    def digest(value: Any) -> str:
        text = json.dumps(value, sort_keys=True)
        return str(salted_hmac(SALT, text, algorithm="sha256").hexdigest())

    hashed: dict[str, Any] = replace_secrets(options, digest)
    return hashed


@sensitive_variables()
def _secrets(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the secrets that are set by their names, such as ``prince_options.user_password``."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if is_secret(str(name)) and inner:
                yield f"{prefix}{name}", inner
            else:
                yield from _secrets(inner, f"{prefix}{name}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, prefix)


def _not_installed(names: Iterable[str]) -> str:
    return (
        f"{', '.join(names)}: a password is stored only encrypted, which needs cryptography. "
        "Install django-docraptor[passwords], or return the password from "
        "get_secret_options() of a document class: it is called in the worker, and its result is "
        "never stored."
    )


@sensitive_variables()
def _fernet() -> "MultiFernet":
    """Return the cipher of SECRET_KEY, which also reads what its fallbacks have encrypted."""
    from cryptography.fernet import Fernet, MultiFernet

    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [salted_hmac(SALT, "key", secret=key, algorithm="sha256").digest() for key in keys]
    return MultiFernet([Fernet(urlsafe_b64encode(digest)) for digest in digests])


@sensitive_variables()
def _decrypt(token: str) -> bytes:
    try:
        from cryptography.fernet import InvalidToken
    except ImportError:
        raise ConfigurationError(
            "A stored password cannot be decrypted, because cryptography is not installed here. "
            "Install django-docraptor[passwords] for the workers, too, and retry."
        ) from None
    try:
        return _fernet().decrypt(token)
    except InvalidToken:
        raise ConfigurationError(
            "A stored password cannot be decrypted, because SECRET_KEY has changed. Add the former "
            "key to SECRET_KEY_FALLBACKS and retry, or enqueue the document again."
        ) from None
