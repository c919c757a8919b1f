"""Internal. Generate the document of a finished job once more: a new job, which names the old one.

The old job stays as it is. Projects import :func:`again` from ``django_docraptor``.
"""

from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_docraptor import registry
from django_docraptor.account_settings import account_settings
from django_docraptor.documents.delivery import load_source
from django_docraptor.job_specs import HOSTING_FIELDS, EnqueueContext, JobSpec
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.payloads import merge_options, options_to_json
from django_docraptor.payloads.secrets import (
    decrypt_secrets,
    deleted_secrets,
    encrypt_secrets,
    restore_secrets,
)
from django_docraptor.shortcuts import AnyUser, describe_actor, store_specs
from django_docraptor.states import EventKind


def again(
    job: RenderJob,
    *,
    by: AnyUser | None = None,
    from_current: bool = False,
    idempotency_key: str | None = None,
) -> RenderJob:
    """Generate the document of a finished job once more, by a new job.

    The new job asks for the same, for the same owner: ``new.again_of`` is the ID of the old one,
    whose history names the new one. It is billed as any other, and nothing is copied.

    Args:
        job: a finished job, whose input is still stored.
        by: the acting user, for the old job's history.
        from_current: render the template again from the source as it is now, although HTML is
            stored. What was enqueued without stored HTML is always rendered again.
        idempotency_key: of the new job: another call with the same key returns the same job.

    Returns:
        The new job.

    Raises:
        ValidationError: the job is unfinished, its input was pruned or erased, the source is gone
            from which the document is rendered, the key belongs to a job that does not repeat this
            one, or a password was deleted when the document was completed and neither ``DEFAULTS``
            nor the class's ``options`` have it; nothing was saved.
    """
    if not job.is_final:
        message = "The job is unfinished. Wait for its document, or cancel it, before another."
        raise ValidationError({"job": [message]})
    job_input = RenderInput.objects.filter(pk=job.pk).first()
    if job_input is None:
        message = _("The input is no longer stored. Generate the document from its object.")
        raise ValidationError({"job": [message]})
    spec = _spec_of_job(job, job_input, from_current=from_current, key=idempotency_key)
    (new_job,) = store_specs([spec], EnqueueContext(again_of=job.pk))
    if new_job.again_of != job.pk:  # found by its key; nothing was stored
        message = (
            f"{idempotency_key!r} is the key of job {new_job.pk}, which does not generate this "
            "document again. Pass another key."
        )
        raise ValidationError({"idempotency_key": [message]})
    known = job.events.filter(kind=EventKind.AGAIN).values_list("detail", flat=True)
    detail = {"job": str(new_job.pk)}
    if detail not in list(known):  # the idempotency key may be that of an earlier call
        job.record_event(EventKind.AGAIN, note=describe_actor(by), detail=detail)
    return new_job


@sensitive_variables("options")
def _spec_of_job(
    job: RenderJob, job_input: RenderInput, *, from_current: bool, key: str | None
) -> JobSpec:
    """Return what asks for the document of a job once more, for the same owner."""
    stored = job_input.options
    if deleted_secrets(stored):
        stored = restore_secrets(stored, encrypt_secrets(_declared_options(job)))
    options = decrypt_secrets(stored)
    hosting = {name: options.pop(name, None) for name in HOSTING_FIELDS}
    if job.hosted:
        lifetime = job.hosted_expires_at and job.hosted_expires_at - job.wanted_at
        hosting["hosted_expires_at"] = timezone.now() + lifetime if lifetime else None
    content = "" if from_current and job.document else job_input.content
    values: dict[str, Any] = {
        name: getattr(job, name)
        for name in ("name", "document_type", "document", "test", "owner", "priority", "account")
    }
    return JobSpec(
        **values,
        content=content,
        url=job_input.url,
        options=options,
        params=job_input.params,
        source=_find_source(job, job_input, is_needed=not content),
        idempotency_key=key,
        language=job_input.language or None,
        time_zone=job_input.time_zone or None,
        storage=job.storage,
        hosted=job.hosted,
        **(hosting if job.hosted else {}),
    )


def _declared_options(job: RenderJob) -> dict[str, Any]:
    """Return what the settings and the document class say now, also of passwords."""
    defaults = account_settings(job.account).defaults
    return options_to_json(merge_options(defaults, registry.options(job.document)))


def _find_source(job: RenderJob, job_input: RenderInput, *, is_needed: bool) -> Model | None:
    """Return the source as it is now.

    Raises:
        ValidationError: it no longer exists, and the document is generated from it.
    """
    label = job_input.source_model
    try:
        source = load_source(job, apps.get_model(label) if label else None)
    except (LookupError, ObjectDoesNotExist):  # the model is gone
        source = None
    if source is None and job.object_id and is_needed:
        raise ValidationError({"job": [_("The object of this document no longer exists.")]})
    return source
