"""The sandbox's ledger: accepted documents, billed documents and calls.

Plain data that can be converted to JSON and back. No HTTP here.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """An accepted create call."""

    tag: str
    name: str
    document_type: str
    test: bool
    asynchronous: bool
    hosted: bool
    status_id: str
    # True for production documents that have not failed: DocRaptor does not bill failures.
    billed: bool
    state: str
    created_at: datetime
    finished_at: datetime | None
    downloads: int
    callbacks: int
    # Of the finished document; empty until then.
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object, times as ISO 8601."""
        finished = self.finished_at and self.finished_at.isoformat()
        return asdict(self) | {
            "created_at": self.created_at.isoformat(),
            "finished_at": finished,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "LedgerEntry":
        """Convert the result of `as_json` to an entry."""
        finished = data["finished_at"] and datetime.fromisoformat(data["finished_at"])
        created = datetime.fromisoformat(data["created_at"])
        return cls(**(data | {"created_at": created, "finished_at": finished}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """An HTTP request received by the sandbox, without credentials."""

    method: str
    path: str
    query: str
    time: datetime
    headers: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the call as a JSON object, the time as ISO 8601."""
        return asdict(self) | {"time": self.time.isoformat()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ApiCall":
        """Convert the result of `as_json` to a call."""
        return cls(**(data | {"time": datetime.fromisoformat(data["time"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A snapshot of all accepted create calls, in order, and of the counters."""

    entries: tuple[LedgerEntry, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)

    def accepted(self, tag_prefix: str = "") -> list[LedgerEntry]:
        """Return the accepted create calls whose tag begins with `tag_prefix`."""
        return [entry for entry in self.entries if entry.tag.startswith(tag_prefix)]

    def billed(self, tag_prefix: str = "") -> list[LedgerEntry]:
        """Return the accepted create calls that DocRaptor would bill."""
        return [entry for entry in self.accepted(tag_prefix) if entry.billed]

    def duplicates(self, key: Callable[[str], object] = str) -> dict[object, list[LedgerEntry]]:
        """Return the entries that were accepted more than once, grouped by `key(tag)`.

        With tags like `<job>:<attempt>`, `key=lambda tag: tag.rsplit(":", 1)[0]` finds jobs with
        several attempts.
        """
        groups: dict[object, list[LedgerEntry]] = defaultdict(list)
        for entry in self.entries:
            groups[key(entry.tag)].append(entry)
        return {group: entries for group, entries in groups.items() if len(entries) > 1}

    @property
    def create_calls(self) -> int:
        """Create calls received, including rejected ones."""
        return self.counters.get("create_calls", 0)

    @property
    def status_calls(self) -> int:
        """Status calls received."""
        return self.counters.get("status_calls", 0)

    @property
    def download_calls(self) -> int:
        """Download calls received, including rejected ones."""
        return self.counters.get("download_calls", 0)

    @property
    def callback_calls(self) -> int:
        """Callbacks sent, including unanswered ones."""
        return self.counters.get("callback_calls", 0)

    @property
    def peak_concurrency(self) -> int:
        """Maximum number of documents in progress at a time."""
        return self.counters.get("peak_concurrency", 0)

    def as_json(self) -> dict[str, Any]:
        """Return the ledger as a JSON object."""
        return {
            "entries": [entry.as_json() for entry in self.entries],
            "counters": dict(self.counters),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Ledger":
        """Convert the result of `as_json` to a ledger."""
        entries = tuple(LedgerEntry.from_json(entry) for entry in data["entries"])
        return cls(entries=entries, counters=data["counters"])
