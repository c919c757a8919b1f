"""Internal. Enqueue, retry and cancel groups of documents.

Projects import these functions from ``django_docraptor``. A group's jobs are ordinary jobs;
`lifecycle.grouping` gives the group its outcome and its file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, router, transaction

from django_docraptor import lifecycle, wakeups
from django_docraptor.bulk_retry import retry_in_batches
from django_docraptor.job_specs import EnqueueContext, JobSpec, build_job, read_specs, validate_spec
from django_docraptor.keywords import owner_errors, storage_errors, text_errors
from django_docraptor.migrated import tables_required
from django_docraptor.models import (
    GroupState,
    RenderGroup,
    RenderInput,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.groups import MIN_CHECK_SECONDS, Merge, OnFailure
from django_docraptor.runners import Step
from django_docraptor.shortcuts import AnyUser, cancel
from django_docraptor.stored_jobs import store_new_jobs

# Documents of one group.
MAX_DOCUMENTS: Final = 10_000
# Of ``prince_options``: with one of them, the PDF is encrypted.
ENCRYPTING_OPTIONS: Final = ("encrypt", "user_password", "owner_password")


@tables_required()
def enqueue_group(
    requests: Iterable[JobSpec],
    *,
    name: str,
    merge: str | None = None,
    owner: AbstractBaseUser | None = None,
    on_failure: str = "no_file",
    storage: str = "",
    idempotency_key: str | None = None,
) -> RenderGroup:
    """Enqueue documents that belong together, with one progress, one outcome and one file.

    All in one transaction: as many statements as ``enqueue_many()`` has, and one more.

    Args:
        requests: 1 to 10,000 documents, in the order of the file. They have no idempotency keys.
            Those without an owner get the group's.
        name: of the file, at most 200 characters; the type is appended.
        merge: ``"zip"`` for a ZIP of all files, ``"pdf"`` for one PDF with all pages (with the
            extra ``merge``), ``None`` for no file.
        owner: the user who may download the file.
        on_failure: ``"no_file"``: if a document fails, there is no file until it is retried with
            success. ``"partial"``: the file has the others, and a ZIP names the missing ones.
        storage: alias in ``STORAGES`` for the file; blank for the default document storage.
        idempotency_key: at most one group ever has it; another call returns that group.

    Returns:
        The group: see ``group.progress()``, ``group.state`` and ``group.file``.

    Raises:
        ValidationError: a field is invalid, or a document; nothing was saved.
    """
    options = {
        "name": name,
        "merge": merge,
        "owner": owner,
        "on_failure": on_failure,
        "storage": storage,
        "idempotency_key": idempotency_key,
    }
    _raise(_group_errors(**options))
    specs = read_specs("requests", requests, limit=MAX_DOCUMENTS + 1)
    specs = [replace(spec, owner=spec.owner or owner) for spec in specs]
    _raise(_request_errors(specs, merge))
    if found := _find(idempotency_key):
        return found
    group = RenderGroup(**options | {"merge": merge or "", "total": len(specs)})
    try:
        _store(group, specs)
    except IntegrityError:  # another process was faster
        if not (found := _find(idempotency_key)):
            raise
        return found
    return group


def _find(key: str | None) -> RenderGroup | None:
    return None if key is None else RenderGroup.objects.filter(idempotency_key=key).first()


def _store(group: RenderGroup, specs: list[JobSpec]) -> None:
    context = EnqueueContext()
    pairs: dict[object, tuple[RenderJob, RenderInput]] = {}
    for position, spec in enumerate(specs):
        job, job_input = build_job(spec, context)
        job.group_id, job.group_position = group.pk, position
        if group.merge == Merge.PDF:
            _raise(_encryption_errors(position, spec.name, job_input.options))
        pairs[position] = job, job_input
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        group.due_at = seconds_from_now(MIN_CHECK_SECONDS)
        group.save(force_insert=True)
        del group.due_at  # set by the database: loaded on access
        store_new_jobs(pairs, savepoint=False)


def _raise(errors: Iterator[tuple[str, str]]) -> None:
    found = {field: [message] for field, message in errors}
    if found:
        raise ValidationError(found)


def _group_errors(**options: Any) -> Iterator[tuple[str, str]]:
    merge, on_failure, key = (options[n] for n in ("merge", "on_failure", "idempotency_key"))
    yield from text_errors("name", options["name"], blank=False)
    if merge not in (None, *Merge.values):
        yield "merge", f"{merge!r} is not a kind of file. Choose 'zip', 'pdf' or None."
    elif merge == Merge.PDF and find_spec("pikepdf") is None:
        yield "merge", "'pdf' needs pikepdf: pip install 'django-docraptor[merge]'."
    yield from owner_errors(options["owner"])
    if on_failure not in OnFailure.values:
        yield "on_failure", f"{on_failure!r} is not valid. Choose 'no_file' or 'partial'."
    if key is not None:
        yield from text_errors("idempotency_key", key, blank=False)
    yield from storage_errors(options["storage"])


def _request_errors(specs: list[JobSpec], merge: str | None) -> Iterator[tuple[str, str]]:
    if not 0 < len(specs) <= MAX_DOCUMENTS:
        count = len(specs) if len(specs) <= MAX_DOCUMENTS else f"more than {MAX_DOCUMENTS:,}"
        yield "requests", f"There are {count}, but a group has 1 to {MAX_DOCUMENTS:,}."
        return
    for number, spec in enumerate(specs):
        if problem := _request_problem(spec, merge):
            yield "requests", f"requests[{number}] ({spec.name!r}): {problem}"
            return
        validate_spec(spec)


def _encryption_errors(
    number: int, name: str, options: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield an error if a document would be billed, and then could not be merged."""
    given = options.get("prince_options") or {}
    if found := [option for option in ENCRYPTING_OPTIONS if given.get(option)]:
        problem = (
            f"{', '.join(found)}: an encrypted PDF cannot be merged. Use merge='zip', or leave it "
            "out."
        )
        yield "requests", f"requests[{number}] ({name!r}): {problem}"


def _request_problem(spec: JobSpec, merge: str | None) -> str:
    """Return why a document cannot be in the group, or ""."""
    if spec.idempotency_key is not None:
        return "a document of a group has no idempotency_key. Give one to enqueue_group()."
    if merge and spec.hosted:
        return "a hosted document has no file to merge. Use merge=None, or hosted=False."
    if merge == Merge.PDF and spec.document_type != "pdf":
        return f"an {spec.document_type} file cannot be merged to a PDF. Use merge='zip'."
    return ""


def retry_group(group: RenderGroup, *, by: AnyUser | None = None) -> int:
    """Retry the failed documents of a group, each as ``retry()`` does. It may be billed.

    The file is made anew when all of them are final again. If only the file could not be made,
    that is tried again.

    Args:
        group: the group.
        by: the acting user, for the history.

    Returns:
        How many documents were retried.
    """
    results = retry_in_batches(group.jobs.all(), by=by)
    count = sum(result.retried for result in results)
    if not count:
        with transaction.atomic(using=router.db_for_write(RenderGroup)):
            rows = RenderGroup.objects.filter(pk=group.pk, state=GroupState.FAILED)
            lifecycle.reopen(rows.select_for_update().values_list("pk", flat=True))
        wakeups.notify_on_commit(Step.DISPATCH)
    group.refresh_from_db()
    return count


def cancel_group(group: RenderGroup, *, by: AnyUser | None = None) -> int:
    """Cancel the unfinished documents of a group, each as ``cancel()`` does.

    Args:
        group: the group.
        by: the acting user, for the history.

    Returns:
        How many documents were cancelled.
    """
    keys = list(group.jobs.active().order_by().values_list("pk", flat=True))
    jobs = (RenderJob.objects.filter(pk=key).first() for key in keys)
    count = sum(cancel(job, by=by) for job in jobs if job is not None)
    wakeups.notify_on_commit(Step.DISPATCH)
    return count
