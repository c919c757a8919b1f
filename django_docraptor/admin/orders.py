"""What somebody orders in the admin: which document, of what, with which options, for what bill.

No request and no page here.
"""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from django_docraptor.conf import conf
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.documents.reports import Search
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import enqueue_many

DocumentClass = type[Document[Any]]
# Objects that are in memory at once.
CHUNK = 500
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def title_of(document: DocumentClass) -> str:
    """What people call it: its ``verbose_name``, else the words of the class's name."""
    return str(document.verbose_name or _WORD.sub(" ", document.__name__))


def is_report(document: DocumentClass) -> bool:
    """Whether it is one document over many objects."""
    return issubclass(document, QuerysetDocument)


def fits(document: DocumentClass, model: type[Model]) -> bool:
    """Whether it can be made from objects of that model, as its ``order`` will see it."""
    own: Any = document.model
    if own is not None and not (isinstance(own, type) and issubclass(own, Model)):
        return True  # another check reports that
    return document.is_made_from(model)


def is_billed(document: DocumentClass) -> bool:
    """Whether it costs something: a test document does not."""
    return not (conf.test_mode if document.test is None else document.test)


def form_of(document: DocumentClass, data: Any = None) -> forms.Form | None:
    """The document's options as a form, bound to ``data``; ``None`` if it declares none."""
    if document.form_class is None:
        return None
    # A prefix, since the page has fields of its own.
    form = document.form_class(data, prefix="document")
    for form_field in form.fields.values():
        if type(form_field.widget) is forms.DateInput:
            form_field.widget = AdminDateWidget(form_field.widget.attrs)
    return form


def params_from(cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """A form's values as a job's parameters: dates as ISO 8601, decimals as text, objects as keys.

    Raises:
        TypeError: a value cannot be stored with a job, such as an uploaded file.
    """
    params: dict[str, Any] = json.loads(json.dumps(dict(cleaned), cls=_Encoder))
    return params


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, Model):
            return o.pk
        if isinstance(o, QuerySet):
            return list(o.values_list("pk", flat=True))
        return super().default(o)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order that somebody has confirmed.

    ``once`` is the page's own mark: the same page sent twice orders once. ``most`` is how many
    documents were confirmed; 0 if that was not asked.
    """

    document: DocumentClass
    owner: AbstractBaseUser
    once: str = ""
    most: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)

    def place(
        self, sources: QuerySet[Any] | list[Any] | Search, may: Callable[[Any], bool]
    ) -> tuple[int, RenderJob | None]:
        """Order all or nothing: one document of each source, or one over all of them.

        Args:
            may: whether a document of that source may be ordered; others are left out.

        Returns:
            How many there are, and the last one.

        Raises:
            ValidationError: nothing was ordered.
        """
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            if isinstance(sources, Search) or is_report(self.document):
                return 1, self.document.enqueue(sources, **self._order(None))
            # Closed while the transaction lasts, in which PostgreSQL has a cursor open.
            with closing(_rows(sources)) as rows:
                return self._each(source for source in rows if may(source))

    def _each(self, sources: Iterator[Any]) -> tuple[int, RenderJob | None]:
        count, last = 0, None
        while chunk := list(islice(sources, CHUNK)):
            jobs = enqueue_many(
                self.document.order(source, **self._order(source)) for source in chunk
            )
            count, last = count + len(jobs), jobs[-1]
            if self.most and count > self.most:
                raise ValidationError(_("there are more now than you confirmed."))
        return count, last

    def _order(self, source: Model | None) -> dict[str, Any]:
        key = self._key(source) if self.once else None
        return {"owner": self.owner, "params": dict(self.params), "idempotency_key": key}

    def _key(self, source: Model | None) -> str:
        of = str(source.pk) if source else None
        facts = [self.once, str(self.owner.pk), self.document.label, self.params, of]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"admin:{digest}"


def _rows(sources: QuerySet[Any] | list[Any]) -> Generator[Any, None, None]:
    if isinstance(sources, list):
        yield from sources
        return
    with closing(cast("Generator[Any, None, None]", sources.iterator(chunk_size=CHUNK))) as rows:
        yield from rows
