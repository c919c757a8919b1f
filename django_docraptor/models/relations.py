"""Internal. A job's references to rows that may be in another database: its owner, its source.

A database cannot check such a reference, so it has no constraint there. Django's own fields read
the other row from the database of the job, unless the router says otherwise; these read it from its
own.
"""

from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models, router
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor

if TYPE_CHECKING:
    Descriptor = ForwardManyToOneDescriptor[Any]
else:
    Descriptor = ForwardManyToOneDescriptor


def set_null(
    collector: Collector, field: "models.Field[Any, Any]", sub_objs: "QuerySet[Any]", using: str
) -> None:
    """Set the column to NULL in the database of the jobs, whatever database the row leaves."""
    jobs_database = router.db_for_write(field.model)
    models.SET_NULL(collector, field, sub_objs.using(jobs_database), using)


set_null.lazy_sub_objs = True  # type: ignore[attr-defined] # Django then reads no rows


class _RowDescriptor(Descriptor):
    """Reads the row from its own database."""

    def get_queryset(self, **hints: Any) -> "QuerySet[Any]":
        """Return the rows of the model, without a hint that they are where the job is."""
        rows: QuerySet[Any] = super().get_queryset(**hints)
        return rows.using(router.db_for_read(rows.model))

    def get_object(self, instance: Model) -> Any:
        """Return the row, or ``None`` if it no longer exists."""
        try:
            if self.field.related_model is ContentType:  # these are cached
                return ContentType.objects.get_for_id(getattr(instance, self.field.attname))
            return super().get_object(instance)
        except ObjectDoesNotExist:
            return None


class RowInAnyDatabase(models.ForeignKey[Any, Any]):
    """A foreign key to a row that may be in another database. It is NULL once the row is gone."""

    forward_related_accessor_class = _RowDescriptor

    def __init__(self, to: Any, on_delete: Any = set_null, **kwargs: Any) -> None:
        options = {"null": True, "blank": True, "db_constraint": False}
        super().__init__(to, on_delete, **{**kwargs, **options})

    def deconstruct(self) -> Any:
        """Return it as Django's own field, which is the same to a migration."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs

    def get_internal_type(self) -> str:
        """Return the name by which Django's backends know a foreign key."""
        return "ForeignKey"


class SourceInAnyDatabase(GenericForeignKey):
    """A generic foreign key to an object that may be in another database."""

    def get_content_type(
        self, obj: Any = None, id: Any = None, using: Any = None, model: Any = None
    ) -> Any:
        """Return a content type; the router chooses its database, and its objects'."""
        if id is not None:
            return _SourceType(ContentType.objects.get_for_id(id))
        return ContentType.objects.get_for_model(
            model if obj is None else obj, for_concrete_model=self.for_concrete_model
        )


class _SourceType:
    """What a generic foreign key asks a content type for."""

    def __init__(self, content_type: ContentType) -> None:
        self.id = self.pk = content_type.pk
        self.model_class = content_type.model_class
        self.get_all_objects_for_this_type = content_type.get_all_objects_for_this_type

    def get_object_for_this_type(self, using: str | None = None, **lookup: Any) -> Model:
        """Return an object from the primary database of its model.

        Raises:
            ObjectDoesNotExist: there is none, its model is gone, or its key is none of the model
                any more.
        """
        model = self.model_class()
        if model is None:
            raise ObjectDoesNotExist
        rows = model._base_manager.using(router.db_for_write(model))
        try:
            found = rows.filter(**lookup)
        except (ValueError, ValidationError) as error:  # the type of the primary key has changed
            raise ObjectDoesNotExist from error
        return found.get()
