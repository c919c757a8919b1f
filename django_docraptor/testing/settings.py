"""Internal. The settings of a test: nothing leaves the process, and no file stays."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.test import override_settings

from django_docraptor.account_settings import AccountProvider, load_provider
from django_docraptor.storage import document_storage_aliases

STORAGE = "django_docraptor.testing.storages.MemoryOverStorage"

# What each test that is running sets in DOCRAPTOR, the innermost last.
_overrides: list[dict[str, Any]] = []


@contextmanager
def settings_for_test(**keys: Any) -> Iterator[None]:
    """Change ``DOCRAPTOR`` and ``STORAGES`` for a test.

    A test that changes ``DOCRAPTOR`` itself keeps these keys: it would use the network otherwise.

    Args:
        keys: of ``DOCRAPTOR``, beside a runner that sends nothing and a spool directory.
    """
    with TemporaryDirectory(prefix="docraptor-", ignore_cleanup_errors=True) as spool:
        _overrides.append({"RUNNER": "none", "SPOOL_DIR": spool, **keys})
        setting_changed.connect(_keep_overrides)
        try:
            with override_settings(DOCRAPTOR=_with_overrides(), STORAGES=_with_memory()):
                yield
        finally:
            _overrides.pop()
            if not _overrides:
                setting_changed.disconnect(_keep_overrides)


def _with_overrides() -> dict[str, Any]:
    changed = {**(getattr(settings, "DOCRAPTOR", None) or {}), **_overrides[-1]}
    if accounts := changed.get("ACCOUNTS"):
        changed["ACCOUNTS"] = _AccountsOfTest.of(accounts)
    return changed


class _AccountsOfTest:
    """The project's accounts, without what the test sets for all of them, such as their server.

    Args:
        source: the project's ``ACCOUNTS``.
    """

    def __init__(self, source: Any) -> None:
        self.source = source

    @classmethod
    def of(cls, source: Any) -> "_AccountsOfTest":
        """Return the accounts of a test for a value of ``ACCOUNTS``."""
        return source if isinstance(source, cls) else cls(source)

    def names(self) -> list[str]:
        """Return the names of the accounts."""
        return list(self.source if isinstance(self.source, Mapping) else self._provider().names())

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Return what an account has of its own, and no test sets."""
        is_dict = isinstance(self.source, Mapping)
        own = self.source.get(name) if is_dict else self._provider().get(name)
        keys = _overrides[-1] if _overrides else {}
        return None if own is None else {k: own[k] for k in own if k not in keys}

    def _provider(self) -> AccountProvider:
        return load_provider(self.source)


def _keep_overrides(*, setting: str, enter: bool, **kwargs: Any) -> None:
    if setting == "DOCRAPTOR" and enter:
        settings.DOCRAPTOR = _with_overrides()


def _with_memory() -> dict[str, Any]:
    """Return ``STORAGES`` with storages in memory over those of the project."""
    own = {
        alias: {"BACKEND": STORAGE, "OPTIONS": {"below": settings.STORAGES[alias]}}
        for alias in document_storage_aliases()
    }
    return {**settings.STORAGES, **own}
