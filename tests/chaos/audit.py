"""Audit of a run: compare what DocRaptor would bill with what the site has stored.

The sandbox's ledger and the stored files are the reference; the database rows are only claims.
"""

import hashlib
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from django_docraptor.sandbox.ledger import Ledger, LedgerEntry
from django_docraptor.states import ACTIVE_STATES, ErrorCode, EventKind, State
from tests.chaos.accounts import LOCKED_ACCOUNT, LOCKED_JOBS
from tests.chaos.site import Site
from tests.support.documents import is_intact

COLUMNS = (
    *("id", "name", "state", "attempt", "file", "file_size", "sha256", "error_code", "errors"),
    "account",
)
# Free test documents with which the engine dates DocRaptor's log.
PROBE_TAG = "probe"
# Failures explained by an injected fault; any other failure is a lost document.
EXPECTED_FAILURES = (
    ErrorCode.RENDER_FAILED,
    ErrorCode.REJECTED,
    ErrorCode.TIMED_OUT,
    ErrorCode.DOWNLOAD_REFUSED,
    ErrorCode.DOCUMENT_GONE,
)
# Events that allow a second accepted attempt: a retry by a person, or proof that the first was not
# accepted.
RESUBMIT_EVENTS = (EventKind.RETRIED, EventKind.NEVER_ACCEPTED)
RETRY_EVENTS = (
    EventKind.RETRIED,
    EventKind.NEVER_ACCEPTED,
    EventKind.NOT_ACCEPTED,
    EventKind.STEP_FAILED,
)


@dataclass(kw_only=True)
class Verdict:
    """Counts, and a description of each problem."""

    jobs: int = 0
    # Documents that the site has not confirmed.
    not_enqueued: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    # Failed jobs that DocRaptor has accepted, without proof for the site: left for a person.
    unconfirmed: int = 0
    # Jobs of the account whose key is wrong: they wait, and nothing else.
    waiting: int = 0
    accepted: int = 0
    probes: int = 0
    billed: int = 0
    allowed_resubmits: int = 0
    duplicates: int = 0
    stuck: int = 0
    lost: int = 0
    corrupt: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    orphaned_files: int = 0
    # What DocRaptor has billed, minus what the site accounts for; `None` if it cannot tell.
    bill_difference: int | None = 0
    problems: list[str] = field(default_factory=list)
    # The error of each unconfirmed job.
    unconfirmed_jobs: list[str] = field(default_factory=list)
    # What only one of the two knows of the bill.
    bill_lines: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether none is missing, duplicated, stuck, lost or corrupt, and the bill agrees."""
        problems = self.duplicates or self.stuck or self.lost or self.corrupt
        return not (problems or self.not_enqueued) and self.bill_difference == 0

    def as_json(self) -> dict[str, Any]:
        """Return the counts in types that JSON has."""
        counts = {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
        }
        return counts | {"clean": self.is_clean}


class Audit:
    """Audit of a run of django-docraptor.

    Args:
        site: the site after the run.
        names: the names of the documents that the site has confirmed.
    """

    def __init__(self, site: Site, names: Iterable[str]) -> None:
        self.site = site
        self.names = list(names)
        self.ledger: Ledger = site.control.ledger
        self.verdict = Verdict(
            jobs=len(self.names),
            accepted=len(self.ledger.entries),
            probes=len(self.ledger.accepted(PROBE_TAG)),
            billed=len(self.ledger.billed()),
        )

    def run(self) -> Verdict:
        """Check every job."""
        jobs, events = self._jobs(), self._events()
        self.verdict.retries = Counter(
            kind for history in events.values() for _, kind, *_ in history if kind in RETRY_EVENTS
        )
        entries: dict[str, list[LedgerEntry]] = defaultdict(list)
        for entry in self.ledger.entries:
            entries[entry.tag.partition(":")[0]].append(entry)
        for job in jobs:
            self._check_job(job, entries[job["id"]], events[job["id"]])
        self._check_unknown_documents(entries, {job["id"] for job in jobs})
        self._check_missing_jobs(Counter(job["name"] for job in jobs))
        if self.verdict.waiting != LOCKED_JOBS:
            self.verdict.lost += 1
            self.verdict.problems.append(f"{self.verdict.waiting} of {LOCKED_JOBS} jobs wait")
        files = {job["file"] for job in jobs}
        self.verdict.orphaned_files = count_orphaned_files(self.site.scratch, files)
        return self.verdict

    def _jobs(self) -> list[dict[str, Any]]:
        sql = f"SELECT {', '.join(COLUMNS)} FROM django_docraptor_renderjob"
        rows = self.site.database.query(sql)
        jobs = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        return [job | {"id": uuid.UUID(str(job["id"])).hex} for job in jobs]

    def _events(self) -> Mapping[str, list[tuple[Any, ...]]]:
        sql = (
            "SELECT job_id, attempt, kind, at, from_state, to_state, message "
            "FROM django_docraptor_renderevent ORDER BY id"
        )
        events: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for job, *event in self.site.database.query(sql):
            events[uuid.UUID(str(job)).hex].append(tuple(event))
        return events

    def _check_missing_jobs(self, rows: Counter[str]) -> None:
        for name in self.names:
            if rows[name] != 1:
                self.verdict.lost += 1
                self.verdict.problems.append(f"lost: {name} has {rows[name]} rows")

    def _check_unknown_documents(
        self, entries: Mapping[str, list[LedgerEntry]], jobs: set[str]
    ) -> None:
        """Count billed documents that belong to no job, and probes that are billed."""
        for owner, found in entries.items():
            billed = [entry for entry in found if entry.billed]
            if owner not in jobs and billed:
                self.verdict.duplicates += len(billed)
                self.verdict.problems.append(f"billed without a job: {[e.tag for e in billed]}")

    def _check_job(
        self, job: dict[str, Any], entries: list[LedgerEntry], events: list[Any]
    ) -> None:
        is_locked = job["account"] == LOCKED_ACCOUNT
        check = self._check_locked if is_locked else self._check_outcome
        problems = [*self._check_creates(entries, events), *check(job, entries)]
        if problems:
            history = [f"    {' | '.join(map(str, event))}" for event in events]
            ledger = [f"    accepted {entry.as_json()}" for entry in entries]
            summary = f"{job['id']} {job['name']} {job['state']} {job['errors']}"
            lines = [f"{'; '.join(problems)}: {summary}", *history, *ledger]
            self.verdict.problems.append("\n".join(lines))

    def _check_creates(self, entries: list[LedgerEntry], events: list[Any]) -> Iterable[str]:
        """Yield accepted attempts after the first without an event that allows them."""
        attempts = sorted(int(entry.tag.split()[0].rpartition(":")[2]) for entry in entries)
        # An event that allows another attempt has the number of the attempt before it.
        given_up = {
            attempt
            for attempt, kind, _at, _from, to, _message in events
            if kind in RESUBMIT_EVENTS and to == State.PENDING
        }
        for earlier, later in pairwise(attempts):
            if earlier in given_up and earlier != later:
                self.verdict.allowed_resubmits += 1
            else:
                self.verdict.duplicates += 1
                yield f"duplicate: attempts {earlier} and {later} were accepted"

    def _check_locked(self, job: dict[str, Any], entries: list[LedgerEntry]) -> Iterable[str]:
        """Yield what is wrong with a job whose key is wrong: it must wait, never be sent."""
        if job["state"] in ACTIVE_STATES and not entries:
            self.verdict.waiting += 1
        else:
            self.verdict.lost += 1
            yield f"not waiting for a key: {job['error_code'] or job['state']}"

    def _check_outcome(self, job: dict[str, Any], entries: list[LedgerEntry]) -> Iterable[str]:
        verdict, state, code = self.verdict, job["state"], job["error_code"]
        latest = [entry for entry in entries if entry.tag.endswith(f":{job['attempt']}")]
        if state == "completed":
            verdict.completed += 1
            yield from self._check_file(job)
        elif state != "failed":
            verdict.stuck += 1
            yield "stuck"
        elif code == ErrorCode.SUBMIT_UNCONFIRMED and latest:
            verdict.unconfirmed += 1
            verdict.unconfirmed_jobs.append(f"{job['id']}: {job['errors']}")
        elif code in EXPECTED_FAILURES and not (code == ErrorCode.REJECTED and latest):
            verdict.failed[code] += 1
            if code == ErrorCode.RENDER_FAILED and latest and latest[-1].state == "completed":
                verdict.lost += 1
                yield "lost: DocRaptor has rendered the document, but the job has failed"
        else:
            verdict.lost += 1
            yield f"lost: {code}"

    def _check_file(self, job: dict[str, Any]) -> Iterable[str]:
        path = self.site.scratch / "documents" / job["file"]
        data = path.read_bytes() if path.is_file() else b""
        actual = (len(data), hashlib.sha256(data).hexdigest())
        if not is_intact(data, job["name"]) or actual != (job["file_size"], job["sha256"]):
            self.verdict.corrupt += 1
            yield f"corrupt: {len(data)} bytes in {job['file']}"


class BaselineAudit:
    """Audit of a run of the baseline: DocRaptor's log, and rows with a file or an error.

    Args:
        site: the site after the run.
        names: the names of the documents that the site has confirmed.
    """

    def __init__(self, site: Site, names: Iterable[str]) -> None:
        self.site = site
        self.names = list(names)

    def run(self) -> Verdict:
        """Check every document.

        DocRaptor does not bill documents that it failed to render, so another attempt after such
        a failure is no duplicate.
        """
        ledger = self.site.control.ledger
        verdict = Verdict(
            jobs=len(self.names), accepted=len(ledger.entries), billed=len(ledger.billed())
        )
        rendered = Counter(entry.name for entry in ledger.entries if entry.state != "failed")
        verdict.duplicates = sum(count - 1 for count in rendered.values() if count > 1)
        rows = self.site.database.query("SELECT name, file, error FROM baseline_document")
        outcomes = {name: (file, error) for name, file, error in rows}
        for name in self.names:
            self._check_document(verdict, name, *outcomes.get(name, (None, None)))
        files = {file for _, file, _ in rows}
        verdict.orphaned_files = count_orphaned_files(self.site.scratch, files)
        return verdict

    def _check_document(
        self, verdict: Verdict, name: str, file: str | None, error: str | None
    ) -> None:
        if file is None:
            verdict.lost += 1
        elif file:
            path = self.site.scratch / "documents" / file
            verdict.completed += 1
            verdict.corrupt += not (path.is_file() and is_intact(path.read_bytes(), name))
        elif error:
            verdict.failed[error.partition("(")[0]] += 1
        else:
            verdict.stuck += 1


def count_orphaned_files(scratch: Path, referenced: set[str]) -> int:
    """Return the number of stored files without a row."""
    folder = scratch / "documents"
    stored = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return len(stored - referenced)


def format_table(
    verdict: Verdict,
    events: Mapping[str, int],
    triggered: Mapping[str, int],
    by_operator: Mapping[str, int],
) -> str:
    """Return the table that ends a run.

    Args:
        verdict: the result of the audit.
        events: how often each fault was injected into processes, broker and database.
        triggered: how often each fault of the sandbox, the storage and the database was triggered.
        by_operator: how often a person had to retry a job, by its error code.
    """
    missing = f"{verdict.not_enqueued} not requested" if verdict.not_enqueued else ""
    rows = [
        ("jobs", verdict.jobs, missing),
        ("  completed", verdict.completed, ""),
        ("  failed, by error code", verdict.failed.total(), _join(verdict.failed)),
        ("  left for a person", verdict.unconfirmed, "accepted, but not provable"),
        ("waiting for a valid key", verdict.waiting, "of another account"),
        ("kills", sum(n for name, n in events.items() if "kill" in name or "TERM" in name), ""),
        *[(f"  {name}", number, "") for name, number in sorted(events.items())],
        ("faults", sum(triggered.values()), ""),
        *_fault_rows(triggered),
        ("creates accepted", verdict.accepted, f"{verdict.probes} probes, which are free"),
        ("billed creates", verdict.billed, f"{verdict.allowed_resubmits} second attempts allowed"),
        ("billed - accounted for", _figure(verdict), f"{len(verdict.bill_lines)} doubts remain"),
        ("duplicates", verdict.duplicates, ""),
        ("stuck", verdict.stuck, ""),
        ("lost", verdict.lost, ""),
        ("corrupt files", verdict.corrupt, ""),
        ("retries recorded", verdict.retries.total(), _join(verdict.retries)),
        ("retried by a person", sum(by_operator.values()), _join(by_operator)),
        ("orphaned files", verdict.orphaned_files, ""),
    ]
    return "\n".join(f"{name:<34}{number:>6}  {note}".rstrip() for name, number, note in rows)


def _figure(verdict: Verdict) -> str:
    return "?" if verdict.bill_difference is None else str(verdict.bill_difference)


def _fault_rows(triggered: Mapping[str, int]) -> Iterable[tuple[str, int, str]]:
    """Yield a row for each call and part of the site that had faults."""
    calls: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, number in triggered.items():
        call, _, fault = kind.partition(".")
        if number:
            calls[call][fault] += number
    for call, faults in calls.items():
        yield f"  {call}", faults.total(), _join(faults)


def _join(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write the result of a run as JSON."""
    path.write_text(json.dumps(data, indent=2, default=str) + "\n")
