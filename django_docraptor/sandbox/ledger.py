"""What the sandbox has counted: documents accepted, documents billed, calls made.

Plain data that travels as JSON, the same for a sandbox in this process and in another.
No HTTP here.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One create that was accepted."""

    tag: str
    name: str
    document_type: str
    test: bool
    asynchronous: bool
    hosted: bool
    status_id: str
    # True for a production document that has not failed: the service bills no failures.
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
        """Rebuild an entry from `as_json`."""
        finished = data["finished_at"] and datetime.fromisoformat(data["finished_at"])
        created = datetime.fromisoformat(data["created_at"])
        return cls(**(data | {"created_at": created, "finished_at": finished}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One HTTP request that reached the sandbox; credentials are left out."""

    method: str
    path: str
    query: str
    user_agent: str
    time: datetime
    headers: dict[str, str]
    body_size: int

    def as_json(self) -> dict[str, Any]:
        """Return the call as a JSON object, the time as ISO 8601."""
        return asdict(self) | {"time": self.time.isoformat()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ApiCall":
        """Rebuild a call from `as_json`."""
        return cls(**(data | {"time": datetime.fromisoformat(data["time"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A snapshot of all accepted creates, in order, and of the counters."""

    entries: tuple[LedgerEntry, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)

    def accepted(self, tag_prefix: str = "") -> list[LedgerEntry]:
        """Return the accepted creates whose tag begins with `tag_prefix`."""
        return [entry for entry in self.entries if entry.tag.startswith(tag_prefix)]

    def billed(self, tag_prefix: str = "") -> list[LedgerEntry]:
        """Return the accepted creates that the service would bill."""
        return [entry for entry in self.accepted(tag_prefix) if entry.billed]

    def duplicates(self, key: Callable[[str], object] = str) -> dict[object, list[LedgerEntry]]:
        """Return what was accepted more than once, by `key` of the tag.

        With tags like `<job>:<attempt>`, `key=lambda tag: tag.rsplit(":", 1)[0]` finds jobs
        that were created twice.
        """
        groups: dict[object, list[LedgerEntry]] = defaultdict(list)
        for entry in self.entries:
            groups[key(entry.tag)].append(entry)
        return {group: entries for group, entries in groups.items() if len(entries) > 1}

    @property
    def create_calls(self) -> int:
        """Creates received, also those that were refused."""
        return self.counters.get("create_calls", 0)

    @property
    def status_calls(self) -> int:
        """Status requests received."""
        return self.counters.get("status_calls", 0)

    @property
    def download_calls(self) -> int:
        """Download requests received, also those that were refused."""
        return self.counters.get("download_calls", 0)

    @property
    def callback_calls(self) -> int:
        """Callbacks sent, also those that nobody answered."""
        return self.counters.get("callback_calls", 0)

    @property
    def peak_concurrency(self) -> int:
        """Most documents that were being made at one time."""
        return self.counters.get("peak_concurrency", 0)

    def as_json(self) -> dict[str, Any]:
        """Return the ledger as a JSON object."""
        return {
            "entries": [entry.as_json() for entry in self.entries],
            "counters": dict(self.counters),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Ledger":
        """Rebuild a ledger from `as_json`."""
        entries = tuple(LedgerEntry.from_json(entry) for entry in data["entries"])
        return cls(entries=entries, counters=data["counters"])
