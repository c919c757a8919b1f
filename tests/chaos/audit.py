"""The account of a run: what DocRaptor would bill, against what the site has and says.

The oracle is the sandbox's ledger and the stored bytes; the site's rows are only what it claims.
"""

import hashlib
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.content import is_own
from django_docraptor.sandbox.ledger import Ledger, LedgerEntry
from django_docraptor.states import ErrorCode, EventKind, State
from tests.chaos.site import Place

COLUMNS = ("id", "name", "state", "attempt", "file", "file_size", "sha256", "error_code", "errors")
# Failures that a fault of the run explains; any other leaves its customer without a document.
EXPECTED = (
    ErrorCode.RENDER_FAILED,
    ErrorCode.REJECTED,
    ErrorCode.TIMED_OUT,
    ErrorCode.DOWNLOAD_REFUSED,
)
# What may stand between two accepted attempts: a person's word, or proof and the setting's.
DECISIONS = (EventKind.RETRIED, EventKind.NEVER_ACCEPTED)
RETRIES = (
    EventKind.RETRIED,
    EventKind.NEVER_ACCEPTED,
    EventKind.NOT_ACCEPTED,
    EventKind.STEP_FAILED,
)


@dataclass(kw_only=True)
class Verdict:
    """The numbers; `problems` tells about each job that should not be."""

    jobs: int = 0
    # Documents that the site has taken no order for.
    unordered: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    held: int = 0
    accepted: int = 0
    billed: int = 0
    decided: int = 0
    duplicates: int = 0
    stuck: int = 0
    lost: int = 0
    wrong: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    leftovers: int = 0
    problems: list[str] = field(default_factory=list)
    # Why each held job is held.
    holds: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Everything ordered; nothing twice, nothing stuck, nothing lost, nothing wrong."""
        wrong = self.duplicates or self.stuck or self.lost or self.wrong
        return not (wrong or self.unordered)

    def as_json(self) -> dict[str, Any]:
        """The numbers, JSON-safe."""
        numbers = {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
        }
        return numbers | {"clean": self.is_clean}


class Account:
    """The account of the app's run."""

    def __init__(self, place: Place, names: Iterable[str]) -> None:
        self.place = place
        self.names = list(names)
        self.ledger: Ledger = place.control.ledger
        self.verdict = Verdict(
            jobs=len(self.names),
            accepted=len(self.ledger.entries),
            billed=len(self.ledger.billed()),
        )

    def settle(self) -> Verdict:
        """Judge every job."""
        jobs, history = self._jobs(), self._history()
        self.verdict.retries = Counter(
            kind for events in history.values() for _, kind, *_ in events if kind in RETRIES
        )
        entries: dict[str, list[LedgerEntry]] = defaultdict(list)
        for entry in self.ledger.entries:
            entries[entry.tag.partition(":")[0]].append(entry)
        for job in jobs:
            self._judge(job, entries[job["id"]], history[job["id"]])
        self._missing(Counter(job["name"] for job in jobs))
        self.verdict.leftovers = leftovers(self.place.scratch, {job["file"] for job in jobs})
        return self.verdict

    def _jobs(self) -> list[dict[str, Any]]:
        sql = f"SELECT {', '.join(COLUMNS)} FROM django_docraptor_renderjob"
        rows = self.place.database.query(sql)
        jobs = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        return [job | {"id": uuid.UUID(str(job["id"])).hex} for job in jobs]

    def _history(self) -> Mapping[str, list[tuple[Any, ...]]]:
        sql = (
            "SELECT job_id, attempt, kind, at, from_state, to_state, message "
            "FROM django_docraptor_renderevent ORDER BY id"
        )
        history: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for job, *event in self.place.database.query(sql):
            history[uuid.UUID(str(job)).hex].append(tuple(event))
        return history

    def _missing(self, there: Counter[str]) -> None:
        for name in self.names:
            if there[name] != 1:
                self.verdict.lost += 1
                self.verdict.problems.append(f"lost: {name} has {there[name]} rows")

    def _judge(self, job: dict[str, Any], entries: list[LedgerEntry], history: list[Any]) -> None:
        faults = [*self._bills(entries, history), *self._outcome(job, entries)]
        if faults:
            story = [f"    {' | '.join(map(str, event))}" for event in history]
            bill = [f"    accepted {entry.as_json()}" for entry in entries]
            head = f"{'; '.join(faults)}: {job['id']} {job['name']} {job['state']} {job['errors']}"
            self.verdict.problems.append("\n".join([head, *story, *bill]))

    def _bills(self, entries: list[LedgerEntry], history: list[Any]) -> Iterable[str]:
        """Every accepted create after the first needs a decision between their attempts."""
        attempts = [int(entry.tag.split()[0].rpartition(":")[2]) for entry in entries]
        # A decision carries the attempt that it gives up.
        decided = {
            attempt
            for attempt, kind, _at, _from, to, _message in history
            if kind in DECISIONS and to == State.PENDING
        }
        for earlier, later in zip(sorted(attempts), sorted(attempts)[1:], strict=False):
            if earlier in decided and earlier != later:
                self.verdict.decided += 1
            else:
                self.verdict.duplicates += 1
                yield f"duplicate: attempts {earlier} and {later} were accepted"

    def _outcome(self, job: dict[str, Any], entries: list[LedgerEntry]) -> Iterable[str]:
        verdict, state, reason = self.verdict, job["state"], job["error_code"]
        latest = [entry for entry in entries if entry.tag.endswith(f":{job['attempt']}")]
        if state == "completed":
            verdict.completed += 1
            yield from self._bytes(job)
        elif state != "failed":
            verdict.stuck += 1
            yield "stuck"
        elif reason == ErrorCode.SUBMIT_UNCONFIRMED and latest:
            verdict.held += 1
            verdict.holds.append(f"{job['id']}: {job['errors']}")
        elif reason in EXPECTED and not (reason == ErrorCode.REJECTED and latest):
            verdict.failed[reason] += 1
            if reason == ErrorCode.RENDER_FAILED and latest and latest[-1].state == "completed":
                verdict.lost += 1
                yield "lost: DocRaptor has made what is called failed"
        else:
            verdict.lost += 1
            yield f"lost: {reason}"

    def _bytes(self, job: dict[str, Any]) -> Iterable[str]:
        path = self.place.scratch / "documents" / job["file"]
        data = path.read_bytes() if path.is_file() else b""
        said = (job["file_size"], job["sha256"])
        if not is_own(data, job["name"]) or said != (len(data), hashlib.sha256(data).hexdigest()):
            self.verdict.wrong += 1
            yield f"wrong bytes: {len(data)} in {job['file']}"


class NaiveAccount:
    """The account of the usual way: DocRaptor's log, and a row with a file or an error."""

    def __init__(self, place: Place, names: Iterable[str]) -> None:
        self.place = place
        self.names = list(names)

    def settle(self) -> Verdict:
        """Judge every document. A create that DocRaptor itself failed is not billed: not counted
        against the task that made another."""
        ledger = self.place.control.ledger
        verdict = Verdict(
            jobs=len(self.names), accepted=len(ledger.entries), billed=len(ledger.billed())
        )
        made = Counter(entry.name for entry in ledger.entries if entry.state != "failed")
        verdict.duplicates = sum(count - 1 for count in made.values() if count > 1)
        rows = self.place.database.query("SELECT name, file, error FROM naive_document")
        files = {name: (file, error) for name, file, error in rows}
        for name in self.names:
            self._judge(verdict, name, *files.get(name, (None, None)))
        verdict.leftovers = leftovers(self.place.scratch, {file for _, file, _ in rows})
        return verdict

    def _judge(self, verdict: Verdict, name: str, file: str | None, error: str | None) -> None:
        if file is None:
            verdict.lost += 1
        elif file:
            path = self.place.scratch / "documents" / file
            verdict.completed += 1
            verdict.wrong += not (path.is_file() and is_own(path.read_bytes(), name))
        elif error:
            verdict.failed[error.partition("(")[0]] += 1
        else:
            verdict.stuck += 1


def leftovers(scratch: Path, wanted: set[str]) -> int:
    """Files in the storage that no row names."""
    folder = scratch / "documents"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return len(there - wanted)


def table(verdict: Verdict, events: Mapping[str, int], played: Mapping[str, int]) -> str:
    """The table that ends a run."""
    groups: dict[str, list[str]] = defaultdict(list)
    for kind, number in played.items():
        on, _, what = kind.partition(".")
        if number:
            groups[on].append(f"{what} {number}")
    retried = ", ".join(f"{kind} {number}" for kind, number in sorted(verdict.retries.items()))
    failed = ", ".join(f"{reason} {number}" for reason, number in sorted(verdict.failed.items()))
    rows = [
        ("jobs", verdict.jobs, f"{verdict.unordered} not ordered" if verdict.unordered else ""),
        ("  completed", verdict.completed, ""),
        ("  failed, with the reason", verdict.failed.total(), failed),
        ("  held for a person", verdict.held, "accepted, but not to be proved"),
        ("kills", sum(n for name, n in events.items() if "kill" in name or "TERM" in name), ""),
        *[(f"  {name}", number, "") for name, number in sorted(events.items())],
        ("faults", sum(played.values()), ""),
        *[
            (f"  {on}", sum(n for k, n in played.items() if k.startswith(f"{on}.")), ", ".join(w))
            for on, w in groups.items()
        ],
        ("creates accepted", verdict.accepted, ""),
        ("billed creates", verdict.billed, f"{verdict.decided} second ones by decision"),
        ("duplicates", verdict.duplicates, ""),
        ("stuck", verdict.stuck, ""),
        ("lost", verdict.lost, ""),
        ("wrong bytes", verdict.wrong, ""),
        ("retries recorded", verdict.retries.total(), retried),
        ("files without a row", verdict.leftovers, ""),
    ]
    return "\n".join(f"{name:<34}{number:>6}  {note}".rstrip() for name, number, note in rows)


def dump(path: Path, data: Mapping[str, Any]) -> None:
    """Write a run's account as JSON."""
    path.write_text(json.dumps(data, indent=2, default=str) + "\n")
