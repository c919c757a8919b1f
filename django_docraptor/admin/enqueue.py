"""Internal. Enqueue documents from the admin: forms, parameters, cost and idempotency.

No request and no page here.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from django_docraptor.account_settings import account_settings
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.documents.reports import StoredQuery
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import enqueue_many

DocumentClass = type[Document[Any]]
# Objects in memory at once.
CHUNK_SIZE = 500
# Accounts that a page asks a provider for.
MAX_ACCOUNTS = 50


def is_report(document: DocumentClass) -> bool:
    """Return whether the document is generated from many objects."""
    return issubclass(document, QuerysetDocument)


def accepts_model(document: DocumentClass, model: type[Model]) -> bool:
    """Return whether objects of this model can be the document's source."""
    own_model: Any = document.model
    if own_model is not None and not (isinstance(own_model, type) and issubclass(own_model, Model)):
        return True  # reported by documents.checks
    return document._docraptor_accepts_model(model)


def is_billed(document: DocumentClass) -> bool:
    """Return whether the document is billed, or may be. Test documents are not.

    It may be if its accounts cannot be told now, or are too many to ask for each.
    """
    if document.test is not None:
        return not document.test
    try:
        accounts = document._docraptor_accounts()
        is_unknown = len(accounts) > MAX_ACCOUNTS
        return is_unknown or not all(account_settings(name).test_mode for name in accounts)
    except ConfigurationError:
        return True


def bind_form(document: DocumentClass, data: Any = None) -> forms.Form | None:
    """Return the document's form bound to ``data``, or ``None`` if it declares none."""
    if document.form_class is None:
        return None
    # The page has other fields, so the form's need a prefix.
    form = document.form_class(data, prefix="document")
    for form_field in form.fields.values():
        if type(form_field.widget) is forms.DateInput:
            form_field.widget = AdminDateWidget(form_field.widget.attrs)
    return form


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedRequest:
    """A document request that the user has confirmed.

    ``form_token`` makes a page that is submitted twice enqueue only once. ``max_documents`` is the
    confirmed number of billed documents, or 0 if none was asked for.
    """

    document: DocumentClass
    owner: AbstractBaseUser
    form_token: str = ""
    max_documents: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)

    def enqueue(
        self, sources: QuerySet[Any] | list[Any] | StoredQuery, is_permitted: Callable[[Any], bool]
    ) -> tuple[int, RenderJob | None]:
        """Enqueue one document per source, or one for all of them; all or nothing.

        Args:
            sources: the objects, or a report's rows.
            is_permitted: returns whether the user may generate a document of a source; others are
                skipped.

        Returns:
            The number of jobs, and the last job.

        Raises:
            ValidationError: no job was created.
            ConfigurationError: the accounts cannot be told; no job was created.
        """
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            if isinstance(sources, StoredQuery) or is_report(self.document):
                return 1, self.document.enqueue(sources, **self._overrides(None))
            # Close the iterator before the transaction ends: PostgreSQL holds a cursor in it.
            with closing(_rows(sources)) as rows:
                return self._enqueue_each(source for source in rows if is_permitted(source))

    def _enqueue_each(self, sources: Iterator[Any]) -> tuple[int, RenderJob | None]:
        count, last = 0, None
        while chunk := list(islice(sources, CHUNK_SIZE)):
            jobs = enqueue_many(
                self.document.spec(source, **self._overrides(source)) for source in chunk
            )
            count, last = count + len(jobs), jobs[-1]
            if self.max_documents and count > self.max_documents:
                raise ValidationError(
                    _(
                        "More objects are selected now than you confirmed. Review the selection "
                        "and confirm again."
                    )
                )
        return count, last

    def _overrides(self, source: Model | None) -> dict[str, Any]:
        key = self._idempotency_key(source) if self.form_token else None
        return {"owner": self.owner, "params": dict(self.params), "idempotency_key": key}

    def _idempotency_key(self, source: Model | None) -> str:
        source_key = str(source.pk) if source else None
        owner_key = str(self.owner.pk)
        parts = [self.form_token, owner_key, self.document.label, self.params, source_key]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"admin:{digest}"


def _rows(sources: QuerySet[Any] | list[Any]) -> Generator[Any, None, None]:
    if isinstance(sources, list):
        yield from sources
        return
    with closing(
        cast("Generator[Any, None, None]", sources.iterator(chunk_size=CHUNK_SIZE))
    ) as rows:
        yield from rows
