"""Internal. PENDING → SUBMITTING → QUEUED: the step that costs money.

The intent is committed before the request is sent. An attempt that may have been sent is never
simply sent again.
"""

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import router, transaction

from django_docraptor.exceptions import (
    CallError,
    DocRaptorError,
    NotSentError,
    ServerError,
    UnknownOutcomeError,
)
from django_docraptor.lifecycle.accounts import (
    close_broken_connections,
    connect,
    pause_after,
    release,
)
from django_docraptor.lifecycle.brake import hold_for_budget, let_through, limits_by_job
from django_docraptor.lifecycle.budgets import Places
from django_docraptor.lifecycle.claims import without_killers
from django_docraptor.lifecycle.clients import (
    MAX_THREADS,
    ConcurrentCalls,
    KeyedClient,
    NotBegunError,
)
from django_docraptor.lifecycle.composition import (
    CompositionError,
    add_tag_and_callback,
    compose_request,
    renew_input,
)
from django_docraptor.lifecycle.isolation import save_outcome
from django_docraptor.lifecycle.leases import BEGIN_SECONDS, lease_for
from django_docraptor.lifecycle.patience import Kind, Stage, kind_of
from django_docraptor.lifecycle.postponement import is_told, postpone_or_fail
from django_docraptor.lifecycle.reuse import Copy, make_copies, take_reusable
from django_docraptor.lifecycle.transitions import (
    begin_attempts,
    fail_unconfirmed,
    mark_accepted,
    mark_unconfirmed,
    return_to_pending,
)
from django_docraptor.models import Account, Pause, RenderJob
from django_docraptor.models.admission import claim_candidates, read_candidates
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.due_accounts import first_due_by_account
from django_docraptor.models.measurements import publish_step
from django_docraptor.models.querysets import claimable_together, take_within
from django_docraptor.payloads import DocumentRequest
from django_docraptor.payloads.utf8 import utf8_size
from django_docraptor.states import State

BATCH_SIZE = 16
# Bytes of HTML that a batch has in memory, and about as many again while it is sent; beyond them,
# jobs are left to the next batch.
MAX_BATCH_BYTES = 16 * 1024 * 1024
# Failed creates that count for the circuit breaker, unless the call was never begun.
SERVICE_FAILURES = (ServerError, UnknownOutcomeError, NotSentError)
# Seconds after which a run leaves the remaining jobs to the next one, so that it does not occupy
# a worker for long.
RUN_SECONDS = 5.0


@dataclass
class ClaimedBatch:
    """Jobs claimed for free slots.

    Args:
        client: the account's client; ``None`` without jobs.
        names: those that share the client's key.
        has_more: whether there may be more of them.
        needs_resume: whether a successful call must resume the account.
        has_failed: whether a failure of the service was counted: one outage meets all calls of a
            batch, and is one failure for the circuit breaker.
    """

    jobs: list[RenderJob]
    client: KeyedClient | None = None
    names: tuple[str, ...] = ()
    has_more: bool = False
    needs_resume: bool = False
    has_failed: bool = False


@dataclass
class PreparedAttempt:
    """A job whose intent is committed, with its request."""

    job: RenderJob
    request: DocumentRequest
    committed_at: float = field(default_factory=time.monotonic)

    def send_create(self, keyed: KeyedClient) -> str:
        """Send the create call.

        Args:
            keyed: the account's client.

        Returns:
            The status_id.

        Raises:
            NotBegunError: the process was suspended after the intent was committed: another attempt
                may have been sent meanwhile.
            CallError: the call failed.
        """
        if time.monotonic() - self.committed_at > BEGIN_SECONDS:
            raise NotBegunError(
                "The worker was suspended before it could send this attempt. Nothing was sent."
            )
        if self.job.hosted:
            return keyed.call(
                "create_hosted_async_doc",
                lambda client: client.create_hosted_async_doc(self.request),
                job=self.job,
            )
        return keyed.call(
            "create_async_doc", lambda client: client.create_async_doc(self.request), job=self.job
        )


def submit(limit: int = BATCH_SIZE) -> int:
    """Submit the most urgent pending jobs while slots are free, of all accounts at the same time.

    Returns:
        The number of claimed jobs.
    """
    accounts = list(first_due_by_account(State.PENDING))
    return SubmissionRun(accounts, limit).run() if accounts else 0


class SubmissionRun:
    """One run of submitting: each account has its share of the calls, and its batches in a row.

    An account whose server hangs keeps its own threads busy, and delays no other one.

    Args:
        accounts: those with due jobs, the longest waiting first.
        limit: jobs of a batch.
    """

    def __init__(self, accounts: list[str], limit: int) -> None:
        self._waiting = deque(accounts)
        self._share = max(1, min(limit, MAX_THREADS // len(accounts)))
        self._is_alone = len(accounts) == 1
        self._stop = time.monotonic() + RUN_SECONDS
        # Accounts that have had no batch yet; they are the first ones that wait.
        self._unbegun = len(accounts)
        self._in_progress: dict[str, SentBatch] = {}
        self._claimed = 0

    def run(self) -> int:
        """Claim and send batches until time is over, and handle what the calls return.

        Returns:
            The number of claimed jobs.
        """
        with ConcurrentCalls[str]() as calls:
            while True:
                while self._may_begin(calls):
                    self._begin(calls, self._waiting.popleft())
                if not calls.in_progress:
                    return self._claimed
                self._handle(*calls.next_result())

    def _may_begin(self, calls: ConcurrentCalls[str]) -> bool:
        """Return whether the next account's batch may be claimed: there is a thread for each call.

        When time is over, only an account's first batch, and others while the run has to wait for
        a call that was begun before.
        """
        if not self._waiting or calls.in_progress > MAX_THREADS - self._share:
            return False
        return (
            self._unbegun > 0
            or time.monotonic() < self._stop
            or any(sent.begun_at < self._stop for sent in self._in_progress.values())
        )

    def _begin(self, calls: ConcurrentCalls[str], account: str) -> None:
        self._unbegun -= 1
        try:
            batch = claim_for_slots(account, self._share)
            if not batch.jobs:
                return
            self._claimed += len(batch.jobs)
            sent = begin_batch(batch, calls, may_wait=self._is_alone)
        except Exception:
            while calls.in_progress:  # what the others' calls return must not be lost
                self._handle(*calls.next_result())
            raise
        self._in_progress[account] = sent
        self._end_if_done(sent, account)

    def _handle(self, job: RenderJob, outcome: str | DocRaptorError) -> None:
        sent = self._in_progress[job.account]
        sent.handle(job, outcome)
        self._end_if_done(sent, job.account)

    def _end_if_done(self, sent: "SentBatch", account: str) -> None:
        """Let an account wait for its next batch, unless its server was slow and time is over."""
        if sent.remaining:
            return
        del self._in_progress[account]
        make_copies(sent.copies)
        now = time.monotonic()
        is_quick = now - sent.begun_at < RUN_SECONDS
        if sent.batch.has_more and (now < self._stop or is_quick):
            self._waiting.append(account)


def claim_for_slots(account: str, limit: int) -> ClaimedBatch:
    """Claim pending jobs for the account's free slots, one process at a time.

    Without a key that may be used, they are left as they are, to another process.
    """
    client, using = connect(account), router.db_for_write(RenderJob)
    if client is None:
        return ClaimedBatch([])
    return repeat_conflicts(partial(_claim_with_key, client, limit), using=using)


def _claim_with_key(client: KeyedClient, limit: int) -> ClaimedBatch:
    account = client.account
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        names = Account.lock_slots(account, client.key_hash)
        sharing = names if len(names) > 1 else ()
        candidates = read_candidates(account, client.key_hash, limit, sharing)
        if not candidates:
            return ClaimedBatch([])
        limits: Any = candidates[0]  # every row carries the account's annotations
        if limits.is_paused:
            return ClaimedBatch([])
        if limits.circuit_open_until:
            pending = RenderJob.objects.filter(state=State.PENDING, account=account)
            pending.postpone(limits.circuit_open_until)
            return ClaimedBatch([])
        free_slots = client.settings.max_in_flight - limits.in_flight
        count = min(free_slots, 1 if limits.is_half_open else limit)
        chosen = take_within(claimable_together(candidates)[: max(0, count)], MAX_BATCH_BYTES)
        jobs = claim_candidates(chosen, lease=lease_for(State.PENDING))
    has_more = len(jobs) == count or (count > 0 and len(chosen) < len(candidates))
    return ClaimedBatch(jobs, client, names, has_more=has_more, needs_resume=limits.needs_resume)


@dataclass
class SentBatch:
    """A batch whose create calls are in progress.

    Args:
        batch: as it was claimed.
        remaining: calls that have not ended.
        copies: to be made when they have.
    """

    batch: ClaimedBatch
    remaining: int
    copies: list[Copy]
    begun_at: float = field(default_factory=time.monotonic)

    def handle(self, job: RenderJob, outcome: str | DocRaptorError) -> None:
        """Write what a call has returned."""
        self.remaining -= 1
        save = partial(handle_outcome, outcome=outcome, batch=self.batch)
        save_outcome(job, save, handle_create_error)


def begin_batch(
    batch: ClaimedBatch, calls: ConcurrentCalls[str], *, may_wait: bool = False
) -> SentBatch:
    """Compose the requests, commit the intents and begin the create calls."""
    keyed = batch.client
    if keyed is None:
        return SentBatch(batch, 0, [])
    jobs = without_killers(batch.jobs)
    attempts, copies = prepare_batch(jobs)
    prepared = {attempt.job.pk: attempt for attempt in attempts}
    batch.has_more |= len(prepared) < len(jobs)  # some may have been released
    sent = SentBatch(batch, len(attempts), copies)
    calls.begin(
        lambda job: prepared[job.pk].send_create(keyed),
        [attempt.job for attempt in attempts],
        may_wait=may_wait,
    )
    return sent


def send_batch(batch: ClaimedBatch) -> None:
    """Compose the requests, commit the intents, send the create calls and write the outcomes."""
    with ConcurrentCalls[str]() as calls:
        sent = begin_batch(batch, calls, may_wait=True)
        while calls.in_progress:
            sent.handle(*calls.next_result())
    make_copies(sent.copies)


def handle_outcome(job: RenderJob, *, outcome: str | DocRaptorError, batch: ClaimedBatch) -> None:
    """Act on the status_id, or on the error, that the create call returned."""
    if isinstance(outcome, DocRaptorError):
        is_begun = not isinstance(outcome, NotBegunError)
        is_failure = is_begun and isinstance(outcome, SERVICE_FAILURES)
        if is_failure and not batch.has_failed:
            Account.record_failure(job.account, str(outcome))
            batch.has_failed = batch.needs_resume = True
        handle_create_error(job, outcome)
    elif mark_accepted(job, outcome) and batch.needs_resume:
        Account.close_circuit(job.account)
        Pause.end_after_success(batch.names, batch.client.key_hash if batch.client else "")
        batch.needs_resume = False


def prepare_batch(jobs: list[RenderJob]) -> tuple[list[PreparedAttempt], list[Copy]]:
    """Compose the requests and commit the intents to send them; fail jobs that cannot be composed.

    Returns:
        The attempts whose intent is committed, and the copies that are to be made instead.
    """
    requests: dict[RenderJob, DocumentRequest] = {}
    sizes: list[int] = []
    stop = time.monotonic() + RUN_SECONDS
    jobs = let_through(jobs)
    for job in jobs:
        if job is not jobs[0] and time.monotonic() > stop:  # slow templates: release the rest
            release(job)
        elif request := compose_or_fail(job):
            requests[job] = request
            sizes.append(size_in_memory(request.content))
            if sum(sizes) + max(sizes) > MAX_BATCH_BYTES:
                stop = 0.0  # at once: the next document may be as large as the largest
    copies = take_reusable(requests)
    return commit_intents(requests), copies


def size_in_memory(text: str) -> int:
    """Return the bytes of a text in memory or in UTF-8, whichever are more."""
    return max(sys.getsizeof(text) - sys.getsizeof(""), utf8_size(text))


def commit_intents(requests: dict[RenderJob, DocumentRequest]) -> list[PreparedAttempt]:
    """Commit the intents to send the requests, and complete these with tag and callback."""
    limits = limits_by_job(requests)
    places = Places(limits) if any(limits.values()) else None
    begun = begin_attempts(limits, places) if limits else []
    for job, reached in (places.refused if places else {}).items():
        hold_for_budget(job, reached)
    return [PreparedAttempt(job, add_tag_and_callback(requests[job], job)) for job in begun]


def compose_or_fail(job: RenderJob) -> DocumentRequest | None:
    """Compose the request for a job.

    Returns:
        The request, or ``None`` if the job failed, was postponed or was withdrawn.
    """
    if job.attempt and job.callback_at:
        fail_unconfirmed(
            job, "This attempt was considered lost and was about to be submitted again."
        )
        return None
    started = time.monotonic()
    try:
        request = compose_request(job) if renew_input(job) else None
    except CompositionError as error:
        if error.retryable:
            close_broken_connections()
        postpone_or_fail(job, Stage.TEMPLATE, error)
        return None
    job.render_seconds = time.monotonic() - started
    publish_step(job, "render", job.render_seconds)
    return request


def handle_create_error(job: RenderJob, error: DocRaptorError) -> None:
    """Handle a failed create.

    Unless it was certainly not sent or certainly rejected, the outcome is unknown.
    """
    kind = kind_of(Stage.CREATE, error)
    if kind == Kind.ACCOUNT:
        pause_after(job.account, error, creates_only=True)
        is_repeated = not is_told(job, str(error), failures=0)
        return_to_pending(job, error, str(error), delay=0, is_repeated=is_repeated)
    elif isinstance(error, CallError) and kind == Kind.UNKNOWN:
        mark_unconfirmed(job, error)
    else:
        postpone_or_fail(job, Stage.CREATE, error)
