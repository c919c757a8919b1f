"""Internal. The primary key of a source as text, as jobs store it; jobs of the same source."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from django.core.exceptions import ValidationError
from django.db.models import Model, Q

if TYPE_CHECKING:
    from django_docraptor.models.jobs import RenderJob

# What jobs of the same document class and object have in common.
SourceKey: TypeAlias = tuple[str, int | None, str]


def source_key(source: Model) -> str:
    """Return the text of an object's primary key.

    A key set by hand may have another type, such as ``"5"`` for 5: the text is the same.
    """
    try:
        return str(_to_python(source, source.pk))
    except ValidationError:
        return str(source.pk)


def can_restore_key(source: Model) -> bool:
    """Return whether a worker finds the object by the text of its primary key.

    It does not if the text cannot be read back, as for bytes and composite keys.
    """
    if isinstance(source.pk, tuple):
        return False
    try:
        return bool(_to_python(source, source_key(source)) == _to_python(source, source.pk))
    except (ValidationError, ValueError, TypeError):
        return False


def _to_python(source: Model, key: Any) -> Any:
    return source._meta.pk.to_python(key)


def source_of(job: "RenderJob") -> SourceKey:
    """Return the document class and the object of a job."""
    return job.document, job.content_type_id, job.object_id


def same_sources(jobs: "Iterable[RenderJob]", *, prefix: str = "") -> Q:
    """Return the condition for jobs of the same document class and object as one of the given.

    Args:
        jobs: at least one.
        prefix: the relation that leads to the jobs, such as ``"job__"``.
    """
    condition = Q()
    for document, content_type_id, object_id in {source_of(job) for job in jobs}:
        condition |= Q(
            (f"{prefix}document", document),
            (f"{prefix}content_type_id", content_type_id),
            (f"{prefix}object_id", object_id),
        )
    return condition
