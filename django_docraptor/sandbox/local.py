"""The sandbox in this process: start it, ask it, make it misbehave, stop it."""

import threading
from dataclasses import asdict

from django_docraptor.sandbox.application import Application
from django_docraptor.sandbox.documents import Store
from django_docraptor.sandbox.faults import Fault, FaultList
from django_docraptor.sandbox.ledger import ApiCall, Ledger
from django_docraptor.sandbox.server import Server, listen
from django_docraptor.sandbox.settings import Settings


class Sandbox:
    """A server that speaks DocRaptor's protocol, in threads of this process.

    Use it as a context manager, or call `start` and `stop`:

        with Sandbox(delay=0.1) as sandbox:
            docraptor_base_url = sandbox.url
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        delay: float = 0.0,
        api_key: str | None = None,
        renderer: str = "canned",
        max_concurrent: int = 30,
        download_limit: int = 100,
        list_unfinished: bool = True,
        canned_bytes: int = 0,
        callback_hosts: tuple[str, ...] = (),
        synchronous_limit: float = 60.0,
        asynchronous_limit: float = 600.0,
    ) -> None:
        self._settings = Settings(
            delay=delay,
            api_key=api_key,
            renderer=renderer,
            max_concurrent=max_concurrent,
            download_limit=download_limit,
            list_unfinished=list_unfinished,
            canned_bytes=canned_bytes,
            callback_hosts=callback_hosts,
            synchronous_limit=synchronous_limit,
            asynchronous_limit=asynchronous_limit,
        )
        self._at_start = asdict(self._settings)
        self._host, self._port = host, port
        self._store = Store()
        self._faults = FaultList()
        self._application = Application(self._settings, self._store, self._faults)

    def start(self) -> "Sandbox":
        """Listen and serve; raise OSError if the port is taken. A sandbox starts once."""
        with listen(self._host, self._port) as listener:
            self._server = Server(listener, self._application, self.reset, self._host)
        self._application.postman.start()
        self._application.press.start()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """End all connections, drop what is unfinished, and join the threads."""
        self._application.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._application.press.stop()
        self._store.release()
        self._server.end_connections()
        self._application.postman.stop()

    def __enter__(self) -> "Sandbox":
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.port}"

    @property
    def ledger(self) -> Ledger:
        """A snapshot of what has been accepted, billed and called so far."""
        return self._store.ledger()

    @property
    def calls(self) -> list[ApiCall]:
        """The requests received so far, without credentials and without `/sandbox/` calls."""
        return self._store.calls()

    @property
    def faults(self) -> list[dict[str, object]]:
        """The planned faults, each with how often it was `matched` and `triggered`."""
        return self._faults.as_json()

    def add_fault(self, *faults: Fault) -> None:
        """Plan faults; of those that match a call, the first that is due is played."""
        self._faults.add(*faults)

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def change_settings(self, **settings: object) -> None:
        """Change settings, from now on; raise SettingError naming the one that is wrong."""
        self._settings.change(**settings)

    def reset(self) -> None:
        """Forget documents, requests and faults, and take back all changes of settings."""
        self._faults.clear()
        self._settings.change(**self._at_start)
        self._store.reset()
