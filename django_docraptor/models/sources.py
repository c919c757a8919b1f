"""Internal. The primary key of a source as text, as jobs store it; jobs of the same source."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
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


def parse_key(model: type[Model], key: object) -> Any:
    """Return what a caller gives as a primary key, as the value of a model's key.

    A text is parsed. Anything else must be the key as it is: 2.9 and True are none of a model with
    numbers, although Python makes 2 and 1 of them.

    Raises:
        ValidationError: it is no primary key of the model.
    """
    field = model._meta.pk
    try:
        parsed = field.to_python(key)
    except (ValueError, TypeError) as error:  # a composite key parses JSON
        raise ValidationError(str(error)) from error
    field.run_validators(parsed)  # a number may be too large for the database
    if not isinstance(key, str) and str(parsed) != str(key):
        raise ValidationError(f"{key!r} would be read as {parsed!r}.")
    return parsed


def same_object(source: Model) -> Q:
    """Return the condition for jobs of an object, also of what it inherits from or is extended by.

    An inherited model shares its primary key with its parent: both are one object.
    """
    root = root_model(type(source))
    models = [model for model in apps.get_models() if root_model(model) is root]
    content_types = ContentType.objects.get_for_models(*models).values()
    keys = {content_type.pk for content_type in content_types}
    return Q(content_type__in=keys, object_id=source_key(source))


def root_model(model: type[Model]) -> type[Model]:
    """Return the model of the table in which a model's primary key is given.

    That is the parent of an inherited model, and the model of a proxy.
    """
    relation: Any = model._meta.pk.remote_field
    while relation is not None and relation.parent_link:
        model = relation.model
        relation = model._meta.pk.remote_field
    concrete: Any = model._meta.concrete_model
    return concrete  # type: ignore[no-any-return]


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
