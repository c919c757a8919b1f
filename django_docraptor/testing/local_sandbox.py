"""Internal. The sandbox in threads of the test's process: real HTTP, and real PDFs if wanted."""

from contextlib import ExitStack
from typing import Self, Unpack

from django_docraptor.conf import Conf
from django_docraptor.models import RenderJob
from django_docraptor.sandbox.local import Sandbox
from django_docraptor.sandbox.settings import SettingValues
from django_docraptor.testing import engine
from django_docraptor.testing.commit_hooks import once_each
from django_docraptor.testing.settings import settings_for_test


class SandboxDocRaptor(Sandbox):
    """A sandbox for one test, and the engine that your jobs need.

    The fixture ``docraptor_sandbox`` provides one; elsewhere use it as a context manager.
    Meanwhile ``DOCRAPTOR`` points to it and has no runner, and files are stored in memory. It
    makes tiny ready-made PDFs until ``change_settings(renderer="weasyprint")``.
    """

    def __init__(self, **settings: Unpack[SettingValues]) -> None:
        """Take the settings of the sandbox."""
        super().__init__(**settings)

    def __enter__(self) -> Self:
        """Start the sandbox, and change the settings."""
        with ExitStack() as stack:
            stack.enter_context(once_each())
            self.start()
            stack.callback(self.stop)
            client = Conf.client.default
            keys = {"CLIENT": client, "API_KEY": "sandbox", "BASE_URL": self.url}
            stack.enter_context(settings_for_test(**keys, PROXIES={}, CA_BUNDLE=""))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Undo it."""
        self._stack.close()

    def render(self, timeout: float = 60.0) -> list[RenderJob]:
        """Run the engine until nothing is due, and no document is being rendered.

        Args:
            timeout: seconds to wait for documents that are being rendered.

        Returns:
            The jobs that were finished, oldest first.
        """
        return engine.run(patience=timeout)

    def advance(self, seconds: float) -> None:
        """Let time pass for the package's tables and for the sandbox: see `InMemoryDocRaptor`."""
        engine.advance(seconds)
        self.change_settings(clock_offset=self._settings.clock_offset + seconds)
