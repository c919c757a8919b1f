"""Internal. One key for one content and owner, so that reloading a page is never billed."""

import hashlib
import json
from dataclasses import replace

from django.core.exceptions import ValidationError
from django.db.models import Q

from django_docraptor.account_settings import account_settings
from django_docraptor.job_specs import JobSpec
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.payloads import merge_options, options_to_json
from django_docraptor.payloads.secrets import hash_secrets
from django_docraptor.states import State


def with_idempotency_key(spec: JobSpec) -> JobSpec:
    """Add an idempotency key derived from the content and the owner, unless the spec has a key.

    Raises:
        ValidationError: there is neither content (but a URL, or a template rendered in a worker)
            nor an idempotency key.
    """
    if spec.idempotency_key is not None:
        return spec
    if not spec.content:
        raise ValidationError(
            {
                "idempotency_key": [
                    "Every page load would create a billed document. Pass content, or an "
                    "idempotency_key that changes when the document changes."
                ]
            }
        )
    key = f"response:{_content_digest(spec)}"
    expired = Q(public_url="") | Q(hosted_expires_at__lte=Now())
    unusable = Q(state=State.CANCELLED) | (Q(state=State.COMPLETED, file="") & expired)
    jobs = RenderJob.objects.filter(account=spec.account).with_key_prefix(key)
    generation = jobs.filter(unusable).count()
    return replace(spec, idempotency_key=f"{key}:{generation}")


def _content_digest(spec: JobSpec) -> str:
    settings = account_settings(spec.account)
    parts = {
        "owner": str(spec.owner.pk) if spec.owner else None,
        "account": spec.account,
        "document": spec.document,
        "name": spec.name,
        "type": str(spec.document_type),
        "test": settings.test_mode if spec.test is None else spec.test,
        "options": hash_secrets(options_to_json(merge_options(settings.defaults, spec.options))),
        "content": spec.content,
        "hosted": spec.hosted,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
