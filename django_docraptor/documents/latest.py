"""Internal. The latest completed document of one object, or of many without a query for each."""

from collections.abc import Iterable
from typing import TypeVar

from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model, Window
from django.db.models.functions import RowNumber

from django_docraptor.documents.declaration import Document
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.models.sources import source_key
from django_docraptor.states import State

M = TypeVar("M", bound=Model)


def latest_document(source: M, document: type[Document[M]]) -> RenderJob | None:
    """Return the latest completed job of a source, or ``None``."""
    return _completed_jobs(document).for_source(source).latest_first().first()


def attach_latest_documents(
    sources: Iterable[M], document: type[Document[M]], *, attribute: str = "latest_document"
) -> list[M]:
    """Attach the latest completed job, or ``None``, to each object.

    One query for all objects, plus one if ``sources`` is an unevaluated queryset.

    Args:
        sources: objects of one model.
        document: the document class.
        attribute: name of the attribute to set.

    Returns:
        The same objects. A queryset's own rows have the attribute, too.
    """
    objects = list(sources)
    latest_jobs = _latest_jobs(objects, document) if objects else {}
    for source in objects:
        setattr(source, attribute, latest_jobs.get(source_key(source)))
    return objects


def _completed_jobs(document: type[Document[M]]) -> RenderJobQuerySet:
    return RenderJob.objects.filter(document=document.label, state=State.COMPLETED)


def _latest_jobs(sources: list[M], document: type[Document[M]]) -> dict[str, RenderJob]:
    latest_first = [F("created_at").desc(), F("finished_at").desc(), F("pk").desc()]
    rank = Window(RowNumber(), partition_by=F("object_id"), order_by=latest_first)
    jobs = _completed_jobs(document).filter(
        content_type=ContentType.objects.get_for_model(sources[0]),
        object_id__in=[source_key(source) for source in sources],
    )
    return {job.object_id: job for job in jobs.annotate(rank=rank).filter(rank=1)}
