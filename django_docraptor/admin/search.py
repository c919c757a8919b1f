"""Internal. Search the job list: by keys that an index finds, then among the newest jobs."""

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import chain, islice
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from django_docraptor import registry
from django_docraptor.admin.filters import (
    ALL_JOBS,
    ATTENTION,
    INDEXED_PARAMETERS,
    NEEDS_A_LOOK,
    SCOPE,
    UNFINISHED,
    indexed_jobs,
)
from django_docraptor.admin.sources import may_view_model
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.models.sources import source_key

# Newest jobs among which is searched for what no index finds.
MAX_SEARCHED = 10_000
# Maximum matches per key; only an idempotency key, of several accounts, matches more than one job.
MAX_MATCHES = 50
# Owners and sources whose texts match, at most; and keys that one statement compares.
MAX_RELATED: Final = 1000
BATCH_SIZE: Final = 2000
# Attribute of a request for the time since when the searched jobs are.
SEARCHED_SINCE: Final = "_docraptor_searched_since"
# What a customer reads on the status page: the first digits of the job's key.
SHORT_KEY: Final = re.compile(r"([0-9a-f]{4})-?([0-9a-f]{4})\Z", re.IGNORECASE)
TAG: Final = re.compile(r"([0-9a-f]{32}):\d+\Z", re.IGNORECASE)


def search_jobs(
    site: AdminSite, request: HttpRequest, queryset: QuerySet[RenderJob], term: str
) -> QuerySet[RenderJob]:
    """Return the jobs with this ID, number, status ID, tag or idempotency key.

    If there is none, return those whose name, owner or source contains the term. The lookups run
    one after the other: each uses an index, which they may not when joined by OR. What no index
    finds (a text, most filters) is searched for among the newest jobs only, unless all are asked
    for.
    """
    term = term.strip()
    for lookup in _lookups(term) if term else ():
        keys = list(queryset.filter(lookup).order_by().values_list("pk", flat=True)[:MAX_MATCHES])
        if keys:
            return queryset.filter(pk__in=keys)
    oldest = _oldest_searched(request, has_term=bool(term))
    begin = None if _lists_few(request) else oldest
    searched = queryset.filter(created_at__gt=begin) if begin else queryset
    found = searched
    if term:
        rows: Any = indexed_jobs(request, RenderJob.objects.order_by())
        rows = rows.filter(created_at__gt=oldest) if oldest else rows
        has_others = begin != oldest  # jobs that are not among the rows
        found = searched.filter(_text_condition(site, request, rows, term, has_others=has_others))
        if keys := _keys_of_source(queryset, term):
            found = queryset.filter(pk__in=[*keys, *_first_keys(found, MAX_RELATED)])
    if begin is None:
        return found
    setattr(request, SEARCHED_SINCE, begin)
    # A few are found once, not once to be counted and once more to be listed.
    keys = _first_keys(found, MAX_MATCHES + 1)
    return found if len(keys) > MAX_MATCHES else queryset.filter(pk__in=keys)


def _first_keys(found: QuerySet[RenderJob], limit: int) -> list[uuid.UUID]:
    return list(found.order_by("-created_at").values_list("pk", flat=True)[:limit])


def _oldest_searched(request: HttpRequest, *, has_term: bool) -> datetime | None:
    """Return the time after which the searched jobs are, if not all are searched.

    They are the newest of those that the list's filters with an index let through.
    """
    is_indexed = request.GET.keys() <= INDEXED_PARAMETERS or _lists_few(request)
    if (is_indexed and not has_term) or request.GET.get(SCOPE) == ALL_JOBS:
        return None
    searched = indexed_jobs(request, RenderJob.objects.order_by("-created_at"))
    times = searched.values_list("created_at", flat=True)
    return next(iter(times[MAX_SEARCHED : MAX_SEARCHED + 1]), None)


def _lists_few(request: HttpRequest) -> bool:
    """Return whether a filter has read the keys of the listed jobs: all of them are searched."""
    return request.GET.get(ATTENTION) in (NEEDS_A_LOOK, UNFINISHED)


def _lookups(term: str) -> Iterator[Q]:
    with suppress(ValueError):
        yield Q(pk=uuid.UUID(hex=term))
    if match := TAG.match(term):
        yield Q(pk=uuid.UUID(hex=match[1]))
    if (match := SHORT_KEY.match(term)) and _has_ordered_keys():
        digits = match[1] + match[2]
        yield Q(pk__range=(uuid.UUID(digits + "0" * 24), uuid.UUID(digits + "f" * 24)))
    yield Q(status_id=term)
    if connections[router.db_for_write(RenderJob)].vendor == "sqlite":
        # If most jobs have no key, it takes a scan for faster than the index; not for a range.
        yield Q(idempotency_key__range=(term, term))
    else:
        yield Q(idempotency_key=term)


def _has_ordered_keys() -> bool:
    """Return whether the database orders keys by their first digits: MariaDB by their last."""
    connection = connections[router.db_for_write(RenderJob)]
    return connection.vendor != "mysql" or not connection.features.has_native_uuid_field


def _text_condition(
    site: AdminSite,
    request: HttpRequest,
    searched: RenderJobQuerySet,
    term: str,
    *,
    has_others: bool,
) -> Q:
    """Return the condition that the name, the owner or the source of a job contains the term.

    Args:
        site: whose sources are searched.
        request: the user's.
        searched: jobs whose owners and sources are compared.
        term: what is searched for.
        has_others: whether other jobs are searched by name, too.
    """
    is_named = Q(name__icontains=term)
    rows = _different(
        searched.annotate(is_named=is_named), "owner_id", "content_type_id", "is_named"
    )
    condition = is_named if has_others or any(named for *_, named in rows) else Q(pk__in=())
    pairs = {(owner, content_type) for owner, content_type, _ in rows}
    owners = {owner for owner, _ in pairs} - {None}
    if owners and (matching := _matching_owners(site, request, owners, term)):
        condition |= Q(owner_id__in=matching)
    types = {each for _, each in pairs} - {None}
    admins = {each: found for each in types if (found := _searched_list(site, request, each))}
    sources = _different(searched, "content_type_id", "object_id") if admins else ()
    for content_type, model_admin in admins.items():
        object_ids = [object_id for kind, object_id in sources if kind == content_type]
        if matched := _matching_sources(model_admin, request, object_ids, term):
            condition |= Q(content_type_id=content_type, object_id__in=matched)
    match = None if _has_ordered_keys() else SHORT_KEY.match(term)
    if match is None:
        return condition
    digits = (match[1] + match[2]).lower()
    keys = searched.values_list("pk", flat=True)
    numbered = [key for key in keys if key.hex.startswith(digits)]
    return condition | Q(pk__in=numbered) if numbered else condition


def _different(searched: RenderJobQuerySet, *columns: str) -> set[tuple[Any, ...]]:
    """Return the different values of columns of the jobs that are searched.

    Thousands of rows take longer to read than a server takes to compare them. SQLite would compare
    those of all jobs, in the order of another index.
    """
    rows = searched.values_list(*columns)
    if connections[searched.db].vendor == "sqlite":
        return set(rows.order_by("-created_at"))
    return set(rows.distinct())


def _matching_owners(
    site: AdminSite, request: HttpRequest, owners: Iterable[Any], term: str
) -> list[Any]:
    """Return the owners whose user name contains the term, or whose e-mail address it is.

    A part of an address finds only what users who may view users search for: others must know all
    of it.
    """
    model = get_user_model()
    lookup = "icontains" if may_view_model(site, request, model) else "iexact"
    matches = _text_match(model, getattr(model, "USERNAME_FIELD", ""), "icontains", term)
    email_field = getattr(model, "get_email_field_name", str)()
    matches |= _text_match(model, email_field, lookup, term)
    if not matches:
        return []
    rows = model._default_manager.filter(matches).order_by()
    return _first(
        rows.filter(pk__in=keys).values_list("pk", flat=True) for keys in _batches(owners)
    )


def _text_match(model: type[Model], name: str, lookup: str, term: str) -> Q:
    """Return the condition for a field; none for a relation, or if there is no such field.

    A user model need not have an address, and its user name may be a foreign key.
    """
    with suppress(FieldDoesNotExist):
        if not model._meta.get_field(name).is_relation:
            return Q(**{f"{name}__{lookup}": term})
    return Q()


def _searched_list(site: AdminSite, request: HttpRequest, content_type: int) -> Any:
    """Return the admin of sources that the user may search; ``None`` if there is none."""
    model = ContentType.objects.get_for_id(content_type).model_class()
    if model is None or not may_view_model(site, request, model):
        return None
    model_admin = site.get_model_admin(model)
    return model_admin if model_admin.get_search_fields(request) else None


def _matching_sources(
    model_admin: Any, request: HttpRequest, object_ids: Iterable[str], term: str
) -> list[str]:
    """Return the sources of a model that its own admin finds, if the user may view them."""
    keys: list[Any] = []
    for object_id in object_ids:
        with suppress(Exception):  # the type of the primary key may have changed
            keys.append(model_admin.model._meta.pk.to_python(object_id))
    found = _first(
        model_admin.get_search_results(
            request, model_admin.get_queryset(request).filter(pk__in=batch), term
        )[0]
        for batch in _batches(keys)
    )
    return [
        source_key(source) for source in found if model_admin.has_view_permission(request, source)
    ]


def _batches(keys: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch


def _first(querysets: Iterable[QuerySet[Any]]) -> list[Any]:
    """Return the first rows of several querysets."""
    return list(islice(chain.from_iterable(rows[:MAX_RELATED] for rows in querysets), MAX_RELATED))


def _keys_of_source(queryset: QuerySet[RenderJob], term: str) -> list[uuid.UUID]:
    """Return the jobs whose source has this primary key, by the index of the sources."""
    models = {document.model for document in _document_classes() if document.model is not None}
    if not models:
        return []
    types = [each.pk for each in ContentType.objects.get_for_models(*models).values()]
    rows = queryset.filter(content_type_id__in=types, object_id=term)
    return list(rows.order_by().values_list("pk", flat=True)[:MAX_MATCHES])


def _document_classes() -> Iterator[Any]:
    for known in registry.all_documents().values():
        if (document := getattr(known, "document", None)) is not None:
            yield document
