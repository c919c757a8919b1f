"""A sandbox in this process: start it, inspect it, inject faults, stop it."""

import threading
from dataclasses import asdict
from typing import Unpack

from django_docraptor.sandbox.application import Application
from django_docraptor.sandbox.documents import DocumentStore
from django_docraptor.sandbox.faults import Fault, FaultList
from django_docraptor.sandbox.ledger import ApiCall, Ledger
from django_docraptor.sandbox.server import Server, listen
from django_docraptor.sandbox.settings import Settings, SettingValues


class Sandbox:
    """A server with DocRaptor's API, in threads of this process.

    Use it as a context manager, or call `start` and `stop`:

        with Sandbox(delay=0.1) as sandbox:
            docraptor_base_url = sandbox.url
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, **settings: Unpack[SettingValues]
    ) -> None:
        """Configure a sandbox; `Settings` describes the other arguments.

        Args:
            host: name or address to listen on.
            port: 0 stands for any free port.
            **settings: the settings that differ from their defaults.
        """
        self._settings = Settings(**settings)
        self._initial_settings = asdict(self._settings)
        self._host, self._port = host, port
        self._store = DocumentStore()
        self._faults = FaultList()
        self._application = Application(self._settings, self._store, self._faults)

    def start(self) -> "Sandbox":
        """Start listening. A sandbox can be started only once.

        Raises:
            OSError: the port is in use.
        """
        with listen(self._host, self._port) as listener:
            self._server = Server(listener, self._application, self.reset, self._host)
        self._application.callback_sender.start()
        self._application.render_queue.start()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close all connections, discard unfinished documents, and join the threads."""
        self._application.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._application.render_queue.stop()
        self._store.release_waiters()
        self._server.close_connections()
        self._application.callback_sender.stop()

    def __enter__(self) -> "Sandbox":
        """Start the sandbox."""
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        """Stop the sandbox."""
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.port}"

    @property
    def ledger(self) -> Ledger:
        """A snapshot of the accepted and billed documents and of the call counters."""
        return self._store.ledger()

    @property
    def calls(self) -> list[ApiCall]:
        """The calls received so far, without credentials, excluding those under `/sandbox/`."""
        return self._store.calls()

    @property
    def faults(self) -> list[dict[str, object]]:
        """The planned faults, with how many calls `matched` and how many `triggered` them."""
        return self._faults.as_json()

    def add_fault(self, *faults: Fault) -> None:
        """Add faults. If several match a call, the first that is due is triggered."""
        self._faults.add(*faults)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def change_settings(self, **settings: object) -> None:
        """Change settings; if one is invalid, nothing is changed.

        Raises:
            SettingError: a setting is unknown or invalid.
        """
        self._settings.change(**settings)

    def reset(self) -> None:
        """Delete documents, calls and faults, and restore the initial settings."""
        self._faults.clear()
        self._settings.change(**self._initial_settings)
        self._store.reset()
