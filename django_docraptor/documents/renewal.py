"""Internal. Decide again about a signal's document once the transaction of the signal is over.

A job that is enqueued in the middle of a transaction is stored at once, so that it cannot be lost,
together with a `Recheck`. After the commit, or in a worker if that is faster or the process has
died, the source is read again, and everything that is computed from it is computed again. A job
for which ``when`` no longer holds is deleted: no user has asked for it, and its key is free again.
"""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import IntegrityError, router, transaction
from django.db.models import F, Model

from django_docraptor.documents.triggers import Trigger, connected
from django_docraptor.instrumentation import log_fields
from django_docraptor.job_specs import EnqueueContext, JobSpec, build_job
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.rechecks import Recheck
from django_docraptor.states import EventKind
from django_docraptor.stored_jobs import (
    IDENTITY_FIELDS,
    INPUT_FIELDS,
    JOB_FIELDS,
    StoredJob,
    due_as_asked,
    store_or_update,
)

logger = logging.getLogger(__name__)

# Number of the latest hooks among which an earlier save of the same object is looked for.
MAX_HOOKS_SEARCHED: Final = 20


def decide_on_commit(
    trigger: Trigger, source: Model, recheck: Recheck | None, *, using: str
) -> "Decision":
    """Decide about a source's document after the current transaction commits; in autocommit, now.

    Several signals of an object share a decision if one savepoint rolls back all or none of them.

    Args:
        trigger: the trigger.
        source: the object.
        recheck: what is to be decided; ``None``: nothing, but another signal of the object writes
            nothing that this one has written.
        using: alias of the object's database.
    """
    connection = transaction.get_connection(using)
    savepoints = set(connection.savepoint_ids)
    for of_hook, hook, *_ in reversed(connection.run_on_commit[-MAX_HOOKS_SEARCHED:]):
        if isinstance(hook, Decision) and hook.is_about(trigger, source) and of_hook == savepoints:
            hook.recheck = recheck and recheck.after(hook.recheck)
            return hook
    decision = Decision(trigger, type(source), source.pk, using, recheck)
    transaction.on_commit(decision, using=using, robust=True)
    return decision


@dataclass(eq=False)
class Decision:
    """What remains to be decided about a document when a transaction has committed.

    Args:
        recheck: how; ``None`` if nothing remains.
        stored: the job that was stored in the transaction, if ``when`` held then.
        replaced: jobs that earlier signals have stored, for what is no longer the same document.
    """

    trigger: Trigger
    model: type[Model]
    key: Any
    using: str
    recheck: Recheck | None
    stored: StoredJob | None = None
    replaced: list[StoredJob] = field(default_factory=list)

    def is_about(self, trigger: Trigger, source: Model) -> bool:
        """Return whether this is the same document of the same object."""
        mine = (self.trigger, self.model, self.key)
        return mine == (trigger, type(source), source.pk)

    def store(self, spec: JobSpec) -> None:
        """Store the job in the transaction."""
        stored = store_or_update(spec, self.recheck, by_trigger=True, earlier=self.stored)
        if self.stored and self.stored.job.pk != stored.job.pk:  # another key, or another type
            self.replaced.append(self.stored)
        self.stored = stored if stored.said else None

    def __call__(self) -> None:
        """Decide. The transaction is committed, so an error must not reach its caller."""
        if self.recheck is None:
            return
        try:
            self._decide(self.recheck)
        except Exception as error:
            logger.exception("%s of %s: error after the commit", self.trigger.key, self.key)
            try:
                self._record(error)
            except Exception:
                logger.exception("%s of %s: could not be recorded", self.trigger.key, self.key)

    def _decide(self, recheck: Recheck) -> None:
        for stored in self.replaced:
            withdraw(stored)
        source = self._read_source()
        if source is None:
            if self.stored:
                withdraw(self.stored, keep_snapshot=True)
            return
        if self.stored:
            recheck = recheck.after(self.stored.recheck)
        with recheck.activate_locale():
            if self.trigger.delay:  # the jobs are in another database than the source
                store_or_update(self.trigger.build_spec(source), recheck, by_trigger=True)
                return
            known = {**connected, self.trigger.key: self.trigger}  # it may be disconnected by now
            trigger = accepted_by(recheck, source, known)
            if trigger is None and not recheck.may_withdraw:
                trigger = self.trigger
            if trigger is None and self.stored:
                withdraw(self.stored)
            elif trigger is not None and self.stored:
                renew(self.stored, trigger.build_spec(source))
            elif trigger is not None:
                store_or_update(trigger.build_spec(source), by_trigger=True)

    def _read_source(self) -> Model | None:
        """Return the object as the transaction has left it, of the class that was saved."""
        return self.model._base_manager.using(self.using).filter(pk=self.key).first()

    def _record(self, error: Exception) -> None:
        """Show an error in a job: a worker meets it again, and fails the job if it lasts."""
        if self.stored:
            job = self.stored.job
        elif source := self._read_source():
            spec = self.trigger.build_fallback_spec(source)
            job = store_or_update(spec, self.recheck, by_trigger=True).job
        else:
            return
        job.record_event(EventKind.STEP_FAILED, note="".join(traceback.format_exception(error)))


def accepted_by(recheck: Recheck, source: Model, known: Mapping[str, Trigger]) -> Trigger | None:
    """Return the latest of the known triggers whose ``when`` holds for a signal."""
    for key, arguments in recheck.latest_saves():
        trigger = known.get(key)
        if trigger is not None and trigger.accepts(source, arguments):
            return trigger
    return None


def renew(stored: StoredJob, spec: JobSpec) -> None:
    """Update a job that no worker has started, and that no later request has updated.

    Otherwise the worker, or the later request, decides. A job that others have asked for keeps what
    it is; if the source now has another document, that is enqueued.
    """
    new_job, new_input = build_job(spec, EnqueueContext(by_trigger=True))
    is_mine = stored.recheck is not None and stored.recheck.may_withdraw
    if not is_mine and any(
        getattr(stored.job, name) != getattr(new_job, name) for name in IDENTITY_FIELDS
    ):
        store_or_update(spec, by_trigger=True)
        return
    revision = {"revision": stored.revision + 1}
    columns = {name: getattr(new_job, name) for name in JOB_FIELDS} | revision
    columns |= due_as_asked(stored.job, new_job)
    input_columns = {name: getattr(new_input, name) for name in INPUT_FIELDS} | revision
    try:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            if stored.unchanged.update(**columns):
                inputs = RenderInput.objects.filter(pk=stored.job.pk)
                inputs.update(**input_columns, recheck=None)
    except IntegrityError:  # another job has its idempotency key by now
        withdraw(stored)


def withdraw(stored: StoredJob, *, keep_snapshot: bool = False) -> None:
    """Delete a job that no worker has started, and that no other request asks for.

    Args:
        keep_snapshot: keep it if it shows the source as it was.
    """
    rows = stored.unchanged
    if keep_snapshot:
        rows = rows.filter(input__content="")
    if stored.recheck is not None and stored.recheck.may_withdraw:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            if rows.update(revision=F("revision") + 1):  # this locks the row
                _delete(stored.job)


def renew_claimed(job: RenderJob, job_input: RenderInput, source: Model | None) -> bool:
    """Decide about a job that a worker has claimed.

    Args:
        source: the source as it is now; ``None`` if it no longer exists.

    Returns:
        Whether the claim is still there, and the job is to be sent.
    """
    recheck = Recheck.from_json(job_input.recheck)
    if recheck is None or any(key not in connected for key, _arguments in recheck.latest_saves()):
        return True
    if source is None:
        is_needed = bool(job_input.content) or not recheck.may_withdraw
        return is_needed or _withdraw_claimed(job)
    with recheck.activate_locale():
        trigger = accepted_by(recheck, source, connected)
        if trigger is None and recheck.may_withdraw:
            return _withdraw_claimed(job)
        spec = (trigger or connected[recheck.saves[-1]["trigger"]]).build_spec(source)
        new_job, new_input = build_job(spec, EnqueueContext(by_trigger=True))
    columns = {name: getattr(new_job, name) for name in JOB_FIELDS}
    if spec.test is None:  # this process may have another TEST_MODE
        columns["test"] = job.test
    if new_job.not_before is None:
        columns["not_before"] = job.not_before  # it has come
    if columns["account"] != job.account:  # this claim has a slot of the old one
        columns |= {"lease_token": "", "due_at": Now()}
    if new_job.not_before is not None:
        columns |= {"lease_token": "", "due_at": new_job.not_before}
    input_columns = {name: getattr(new_input, name) for name in INPUT_FIELDS} | {"recheck": None}
    try:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            if not job.update_leased(**columns):
                return False
            RenderInput.objects.filter(pk=job.pk).update(**input_columns)
    except IntegrityError:  # another job has its idempotency key
        return _withdraw_claimed(job)
    for name, value in input_columns.items():
        setattr(job_input, name, value)
    return bool(job.lease_token)


def _withdraw_claimed(job: RenderJob) -> bool:
    """Delete a claimed job, if the claim is still there.

    Returns:
        False: there is nothing to send.
    """
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        if job.update_leased(lease_token=job.lease_token):  # this locks the row
            _delete(job)
    return False


def _delete(job: RenderJob) -> None:
    logger.info(
        "Job %s: withdrawn, because the saved object does not need the document",
        job.pk,
        extra=log_fields(job),
    )
    RenderJob.objects.filter(pk=job.pk).delete()
