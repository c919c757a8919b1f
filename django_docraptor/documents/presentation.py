"""Internal. Document classes as people meet them: titles, sample objects, data of forms."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet

if TYPE_CHECKING:
    from django_docraptor.documents.declaration import Document

_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def document_title(document: "type[Document[Any]]") -> str:
    """Return the document's ``verbose_name``, or else its class name as words."""
    return str(document.verbose_name or _WORD_BOUNDARY.sub(" ", document.__name__))


def newest_objects(model: type[Model], count: int) -> QuerySet[Any]:
    """Return the newest objects of a model: by its ``get_latest_by``, or else by primary key."""
    latest_by = model._meta.get_latest_by or "pk"
    fields = [latest_by] if isinstance(latest_by, str) else latest_by
    return model._default_manager.order_by(*fields).reverse()[:count]


def form_params(cleaned_data: Mapping[str, Any]) -> dict[str, Any]:
    """Convert cleaned form data to job parameters.

    Dates become ISO 8601, decimals strings, and objects primary keys.

    Raises:
        TypeError: a value cannot be stored with a job, such as an uploaded file.
    """
    params: dict[str, Any] = json.loads(json.dumps(dict(cleaned_data), cls=_Encoder))
    return params


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, Model):
            return o.pk
        if isinstance(o, QuerySet):
            return list(o.values_list("pk", flat=True))
        return super().default(o)
