"""Internal. The settings of a test: nothing leaves the process, and no file stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.test import override_settings

from django_docraptor.storage import document_storage_aliases

MEMORY_STORAGE = {"BACKEND": "django.core.files.storage.InMemoryStorage"}


@contextmanager
def settings_for_test(**keys: Any) -> Iterator[None]:
    """Change ``DOCRAPTOR`` and ``STORAGES`` for a test.

    A test that changes ``DOCRAPTOR`` itself keeps these keys: it would use the network otherwise.

    Args:
        keys: of ``DOCRAPTOR``, beside a runner that sends nothing and a spool directory.
    """
    with TemporaryDirectory(prefix="docraptor-", ignore_cleanup_errors=True) as spool:
        own = {"RUNNER": "none", "SPOOL_DIR": spool, **keys}

        def with_own() -> dict[str, Any]:
            return {**(getattr(settings, "DOCRAPTOR", None) or {}), **own}

        def keep(*, setting: str, enter: bool, **kwargs: Any) -> None:
            if setting == "DOCRAPTOR" and enter:
                settings.DOCRAPTOR = with_own()

        storages = dict.fromkeys(document_storage_aliases(), MEMORY_STORAGE)
        with override_settings(
            DOCRAPTOR=with_own(),
            STORAGES={**settings.STORAGES, **storages},
        ):
            setting_changed.connect(keep)
            try:
                yield
            finally:
                setting_changed.disconnect(keep)
