"""Internal. What an erasure has done and what is left, as text and as JSON. No database here."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

# What is erased, by its key in the JSON.
TITLES: Final[Mapping[str, str]] = {
    "jobs": "jobs: name, owner, source, key, errors",
    "cancelled": "of these, cancelled because they were unfinished",
    "groups": "groups of documents",
    "inputs": "stored inputs: HTML, options with passwords, parameters",
    "files": "stored files",
    "copies": "copies in file fields of your objects",
    "hosted": "documents that DocRaptor hosts",
    "spool": "files in this machine's spool directory",
    "share_links": "share links",
    "downloads": "records of downloads",
    "texts": "texts in the history",
    "log_entries": "entries in the admin's log",
    "mentions": "mentions as the user who did something with other jobs",
}
KEPT: Final = (
    "For the bill, the row of each job stays: times, account, document class, type, test or live, "
    "state, error code, number of attempts, pages, bytes, and the IDs of its attempts in "
    "DocRaptor's log. It is deleted when its RETENTION is over."
)
DOCRAPTOR: Final = (
    "DocRaptor keeps what it has received and made until the data retention period of your account "
    "ends, and its log has the name of each document. No call of its API deletes either: look at "
    "your account's settings, or ask DocRaptor's support."
)
UNKNOWN_OWNER: Final = (
    "There is no user with this primary key. If the key is right, the user was deleted, and the "
    "jobs do not know their owner any more: erase them by their source."
)
NOT_SEARCHED: Final = (
    "Not searched: the spool directories of other machines (each removes its files at its next "
    "download, once an hour), backups, the log of your site, e-mails that were sent, files that "
    "were downloaded, and what your own code has copied."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """Something that was not reached yet.

    Args:
        kind: a key of ``TITLES``.
        count: how many.
        reason: why, and what happens next.
        next_try: when a tick tries again.
    """

    kind: str
    count: int
    reason: str
    next_try: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        next_try = self.next_try and self.next_try.isoformat(timespec="seconds")
        return {"kind": self.kind, "count": self.count, "reason": self.reason} | {
            "next_try": next_try
        }

    def __str__(self) -> str:
        when = f" Next try: {self.next_try:%Y-%m-%d %H:%M %Z}." if self.next_try else ""
        return f"{TITLES[self.kind]}: {self.count:,}. {self.reason}{when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What ``erase()`` has done, for a data-protection officer.

    Args:
        subject: whose data, such as ``owner 17``.
        at: when.
        dry_run: whether ``erased`` is what would be erased, and nothing was.
        erased: numbers by kind, of this call.
        remaining: what was not reached yet, also by earlier calls.
        second_look: number of jobs that a tick looks through once more, for what was written while
            they were erased.
        is_known: whether there is such a user; of a source, nothing is asked.
    """

    subject: str
    at: datetime
    dry_run: bool = False
    erased: Mapping[str, int] = field(default_factory=dict)
    remaining: tuple[Remaining, ...] = ()
    second_look: int = 0
    is_known: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether nothing remains that this site can reach."""
        return not self.dry_run and not self.remaining

    @property
    def notes(self) -> list[str]:
        """What else an officer needs to know."""
        return [*self._open_notes(), KEPT, DOCRAPTOR, NOT_SEARCHED]

    def _open_notes(self) -> Iterator[str]:
        if not self.is_known:
            yield UNKNOWN_OWNER
        if self.erased.get("sending"):
            yield (
                f"{self.erased['sending']:,} of the jobs were being sent, or their outcome was "
                "unknown: DocRaptor may still make and bill the documents. What comes back is "
                "discarded."
            )
        if self.erased.get("unreachable"):
            yield (
                f"{self.erased['unreachable']:,} of them are hosted: they may become public at a "
                "URL that this site does not know yet. If DocRaptor's response arrives, they are "
                "expired. Otherwise look for their tags in DocRaptor's log."
            )
        if self.second_look:
            yield (
                f"{self.second_look:,} jobs are looked through once more by a tick, 15 minutes "
                "after they were erased, for what was written meanwhile."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        left = dict.fromkeys(TITLES, 0)
        for item in self.remaining:
            left[item.kind] += item.count
        return {
            "subject": self.subject,
            "at": self.at.isoformat(timespec="seconds"),
            "dry_run": self.dry_run,
            "is_complete": self.is_complete,
            "kinds": {
                name: {"title": title, "erased": self.erased.get(name, 0), "remaining": left[name]}
                for name, title in TITLES.items()
            },
            "remaining": [item.to_json() for item in self.remaining],
            "second_look": self.second_look,
            "notes": self.notes,
        }

    def __str__(self) -> str:
        verb = "Would erase" if self.dry_run else "Erased"
        lines = [f"Erasure of {self.subject}, {self.at:%Y-%m-%d %H:%M %Z}", "", f"{verb}:"]
        lines += [f"{self.erased.get(name, 0):>9,}  {title}" for name, title in TITLES.items()]
        if not self.dry_run:
            lines += ["", "Remaining:", *(f"  - {item}" for item in self.remaining)]
            lines += [] if self.remaining else ["  nothing"]
        return "\n".join([*lines, "", *(f"* {note}" for note in self.notes)])

    def to_text(self, style: str) -> str:
        """Return the report as ``text`` or ``json``."""
        return str(self) if style == "text" else json.dumps(self.to_json(), indent=2)
