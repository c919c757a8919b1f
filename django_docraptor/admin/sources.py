"""The object that a document was made from, for those who may see it.

A source is loaded only for a user who may view it, by the rows of its own admin; all sources of a
page together. So a cached source is one to show, and a column need not ask again.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from django_docraptor.admin.display import NOTHING
from django_docraptor.models import RenderJob

SOURCE = RenderJob._meta.get_field("source")


def load_sources(site: AdminSite, request: HttpRequest, jobs: Iterable[RenderJob]) -> None:
    """Load what the user may view, with one query for each model; one more if some are not there.

    It is the rows of the model's own admin that are asked, which may show each user others.
    """
    asked: dict[type[Model], list[RenderJob]] = {}
    for job in jobs:
        model = job.content_type.model_class() if job.content_type else None
        if model and _may_view(site, request, model) and _is_key(model, job.object_id):
            asked.setdefault(model, []).append(job)
    for model, theirs in asked.items():
        _load(site.get_model_admin(model), request, theirs)


def source_link(site: AdminSite, job: RenderJob) -> str:
    """A loaded source as a link to its admin page; of any other, its kind and key."""
    if job.content_type is None:
        return NOTHING
    named = f"{job.content_type.name} {job.object_id}"
    if not SOURCE.is_cached(job):
        return named
    source: Model | None = SOURCE.get_cached_value(job)
    if source is None:
        return _("%(source)s (deleted)") % {"source": named}
    text = Truncator(str(source) or named).chars(60)
    url = _admin_url(site, source)
    return format_html('<a href="{}">{}</a>', url, text) if url else text


def _may_view(site: AdminSite, request: HttpRequest, model: type[Model]) -> bool:
    return site.is_registered(model) and site.get_model_admin(model).has_view_permission(request)


def _load(model_admin: "ModelAdmin[Any]", request: HttpRequest, jobs: list[RenderJob]) -> None:
    """Load the sources of one model; what is not there for this user alone stays unloaded."""
    keys = [model_admin.model._meta.pk.to_python(job.object_id) for job in jobs]
    rows = model_admin.get_queryset(request).filter(pk__in=set(keys))
    found = {source.pk: source for source in rows}
    hidden = _existing(model_admin.model, set(keys) - set(found))
    for job, key in zip(jobs, keys, strict=True):
        source = found.get(key)
        if source is None and key not in hidden:
            SOURCE.set_cached_value(job, None)
        elif source is not None and model_admin.has_view_permission(request, source):
            SOURCE.set_cached_value(job, source)


def _existing(model: type[Model], keys: set[Any]) -> set[Any]:
    """Those of the keys that have a row, whoever may see it."""
    if not keys:
        return set()
    return set(model._base_manager.filter(pk__in=keys).values_list("pk", flat=True))


def _is_key(model: type[Model], key: str) -> bool:
    """Whether the key is one of the model's: its primary key may have changed its type."""
    try:
        model._meta.pk.to_python(key)
    except ValidationError:
        return False
    return True


def _admin_url(site: AdminSite, source: Model) -> str:
    names = source._meta.app_label, source._meta.model_name
    try:
        return reverse(
            "admin:{}_{}_change".format(*names), args=[quote(source.pk)], current_app=site.name
        )
    except NoReverseMatch:  # a ModelAdmin with URLs of its own
        return ""
