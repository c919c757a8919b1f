"""A server with DocRaptor's create calls and its log, for logs that are late, patchy or misread.

Its log is a list of entries that a test may change; its clock follows the simulated time. It
renders nothing: the status of every document is "queued".
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.jobs import sandbox_offsets
from tests.support.socket_server import Exchange, Received, SocketServer, head

Entry = dict[str, Any]


class LogServer:
    """DocRaptor's create calls and its log.

    `lost`: number of create calls that get a 503, unaccepted. `swallowed`: number of create calls
    that are accepted and get a 503. `filtered`: what a listing with a filter contains, of all
    entries. `visible`: what any other listing contains. `skip`: by how many entries each page after
    the first begins too late. `date`: the header Date, or None.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.clock_offset = 0.0
        self.lost = self.swallowed = 0
        self.filtered: Callable[[list[Entry]], list[Entry]] = list
        self.visible: Callable[[list[Entry]], list[Entry]] = list
        self.date: Callable[[datetime], str | None] = format_datetime
        self.after_page: Callable[[], None] = lambda: None
        self.page_fault: Callable[[int, int], bytes | None] = lambda page, size: None
        self.skip: Callable[[dict[str, str]], int] = lambda query: 0
        self.queries: list[dict[str, str]] = []
        self.url = ""

    @property
    def now(self) -> datetime:
        """The time by the server's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.clock_offset)

    def change_settings(self, *, clock_offset: float) -> None:
        """Set the clock, as `Sandbox.change_settings` does."""
        self.clock_offset = clock_offset

    def add(self, tag: str, *, age: float = 0.0, **fields: Any) -> Entry:
        """Add an entry at its place in time, and return it."""
        number = len(self.entries) + 1
        created = self.now - timedelta(seconds=age)
        entry = {
            "id": f"{number}",
            "tag": tag,
            "status_id": f"s{number}",
            "success": True,
            "created_at": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **fields,
        }
        self.entries.append(entry)
        self.entries.sort(key=lambda entry: str(entry["created_at"]), reverse=True)
        return entry

    def tags(self) -> list[str]:
        """Return the first words of all tags, newest first."""
        return [str(entry["tag"]).partition(" ")[0] for entry in self.entries]

    def behave(self, exchange: Exchange) -> bool:
        """Handle one request."""
        received = exchange.read()
        if received is None:
            return False
        status, body = self._respond(received)
        date = self.date(self.now)
        headers = {"Content-Length": str(len(body))} | ({"Date": date} if date else {})
        exchange.send(head(status, headers) + body)
        return True

    def _respond(self, received: Received) -> tuple[int, bytes]:
        url = urlsplit(received.path)
        if received.method == "POST":
            return self._create(json.loads(received.body))
        if url.path.startswith("/status/"):
            return 200, b'{"status": "queued"}'
        return 200, self._list({name: values[0] for name, values in parse_qs(url.query).items()})

    def _create(self, options: dict[str, Any]) -> tuple[int, bytes]:
        if self.lost:
            self.lost -= 1
            return 503, b"busy"
        entry = self.add(options["tag"], test=options["test"])
        if self.swallowed:
            self.swallowed -= 1
            return 503, b"busy"
        return 200, json.dumps({"status_id": entry["status_id"]}).encode()

    def _list(self, query: dict[str, str]) -> bytes:
        self.queries.append(query)
        page, size = int(query["page"]), int(query["per_page"])
        if fault := self.page_fault(page, size):
            return fault
        is_filtered = "search[start]" in query
        listed = (self.filtered if is_filtered else self.visible)(self.entries)
        first = (page - 1) * size + (self.skip(query) if page > 1 else 0)
        body = json.dumps(listed[first : first + size]).encode()
        self.after_page()
        return body


@contextmanager
def serve_log() -> Iterator[LogServer]:
    """Run a log server whose clock follows the simulated time."""
    log = LogServer()
    with SocketServer(log.behave) as server:
        log.url = server.url
        sandbox_offsets[log] = 0.0
        yield log
    sandbox_offsets.pop(log, None)
