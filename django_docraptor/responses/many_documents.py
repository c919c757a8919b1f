"""Internal. Which of many documents a user may download: in few queries, and never with an error.

A document's rule is a project's code. Where many documents are listed, one whose rule raises is one
that the user may not have; else it would take the whole list from its readers.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Model
from django.http import HttpRequest

from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderJob
from django_docraptor.responses.permissions import may_download

logger = logging.getLogger(__name__)

SOURCE_FIELD: Final = RenderJob._meta.get_field("source")


def may_list(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether the document lets the user download the job. An exception counts as no."""
    try:
        return may_download(request, job)
    except Exception:
        logger.exception(
            "Job %s: may_download() of its document failed", job.pk, extra=log_fields(job)
        )
        return False


def load_sources(jobs: Iterable[RenderJob]) -> None:
    """Load the jobs' sources, one query for each model: a rule may read each of them.

    A source is None if it, or its model, is gone, or if its key is none of the model any more.
    """
    by_model: dict[type[Model], list[tuple[RenderJob, Any]]] = {}
    for job in jobs:
        model = _source_model(job)
        if model is None:
            SOURCE_FIELD.set_cached_value(job, None)
            continue
        try:
            key = model._meta.pk.to_python(job.object_id)
        except ValidationError:  # the type of the primary key has changed
            SOURCE_FIELD.set_cached_value(job, None)
            continue
        by_model.setdefault(model, []).append((job, key))
    for model, keyed_jobs in by_model.items():
        rows = model._base_manager.using(router.db_for_write(model))
        sources = rows.in_bulk({key for _job, key in keyed_jobs})
        for job, key in keyed_jobs:
            SOURCE_FIELD.set_cached_value(job, sources.get(key))


def _source_model(job: RenderJob) -> type[Model] | None:
    if job.content_type_id is None:
        return None
    model: type[Model] | None = ContentType.objects.get_for_id(job.content_type_id).model_class()
    return model
