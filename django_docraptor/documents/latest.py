"""The newest finished document of an object, and of many objects without a query for each."""

from collections.abc import Iterable
from typing import TypeVar

from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model, Window
from django.db.models.functions import RowNumber

from django_docraptor.documents.declaration import Document
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.states import State

M = TypeVar("M", bound=Model)


def latest_document(source: M, document: type[Document[M]]) -> RenderJob | None:
    """The finished job that was ordered last, or ``None``."""
    return _finished(document).for_source(source).newest_first().first()


def attach_latest_documents(
    sources: Iterable[M], document: type[Document[M]], *, attribute: str = "latest_document"
) -> list[M]:
    """Give each object its newest finished job, or ``None``, as an attribute.

    One query for all of them (and one for the objects, if they are a queryset not yet evaluated).

    Args:
        sources: objects of one model; a queryset keeps what it was given.
        attribute: its name.

    Returns:
        The same objects.
    """
    objects = list(sources)
    found = _latest(objects, document) if objects else {}
    for source in objects:
        setattr(source, attribute, found.get(str(source.pk)))
    return objects


def _finished(document: type[Document[M]]) -> RenderJobQuerySet:
    return RenderJob.objects.filter(document=document.label, state=State.COMPLETED)


def _latest(sources: list[M], document: type[Document[M]]) -> dict[str, RenderJob]:
    newest = [F("created_at").desc(), F("finished_at").desc(), F("pk").desc()]
    place = Window(RowNumber(), partition_by=F("object_id"), order_by=newest)
    jobs = _finished(document).filter(
        content_type=ContentType.objects.get_for_model(sources[0]),
        object_id__in=[str(source.pk) for source in sources],
    )
    return {job.object_id: job for job in jobs.annotate(place=place).filter(place=1)}
