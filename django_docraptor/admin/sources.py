"""Internal. Load and link the sources of jobs, for users who may view them.

Sources are loaded per page, through their own admin's queryset, and only if the user may view them.
So a cached source may be shown without another permission check.
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

from django_docraptor.admin.display import EMPTY_VALUE
from django_docraptor.models import RenderJob

SOURCE_FIELD = RenderJob._meta.get_field("source")


def load_sources(site: AdminSite, request: HttpRequest, jobs: Iterable[RenderJob]) -> None:
    """Load the sources the user may view, with one query per model.

    It takes one more query if some are missing. The model's own admin decides which rows each user
    sees.
    """
    jobs_by_model: dict[type[Model], list[RenderJob]] = {}
    for job in jobs:
        model = job.content_type.model_class() if job.content_type else None
        if model and may_view_model(site, request, model) and _is_valid_key(model, job.object_id):
            jobs_by_model.setdefault(model, []).append(job)
    for model, model_jobs in jobs_by_model.items():
        _load_visible(site.get_model_admin(model), request, model_jobs)


def loaded_source(job: RenderJob) -> Model | None:
    """Return the source that was loaded because the user may view it, or ``None``."""
    if not SOURCE_FIELD.is_cached(job):
        return None
    source: Model | None = SOURCE_FIELD.get_cached_value(job)
    return source


def source_link(site: AdminSite, job: RenderJob) -> str:
    """Return a link to a loaded source's admin page; otherwise the source's model name and key."""
    if job.content_type is None:
        return EMPTY_VALUE
    label = f"{job.content_type.name} {job.object_id}"
    if not SOURCE_FIELD.is_cached(job):
        return label
    source: Model | None = SOURCE_FIELD.get_cached_value(job)
    if source is None:
        return _("%(source)s (deleted)") % {"source": label}
    text = Truncator(str(source) or label).chars(60)
    url = _admin_url(site, source)
    return format_html('<a href="{}">{}</a>', url, text) if url else text


def may_view_model(site: AdminSite, request: HttpRequest, model: type[Model]) -> bool:
    """Return whether the user may view objects of a model in its own admin."""
    return site.is_registered(model) and site.get_model_admin(model).has_view_permission(request)


def _load_visible(
    model_admin: "ModelAdmin[Any]", request: HttpRequest, jobs: list[RenderJob]
) -> None:
    """Load the sources of one model. Rows that are hidden from this user stay unloaded."""
    keys = [model_admin.model._meta.pk.to_python(job.object_id) for job in jobs]
    rows = model_admin.get_queryset(request).filter(pk__in=set(keys))
    sources = {source.pk: source for source in rows}
    hidden = _existing_keys(model_admin.model, set(keys) - set(sources))
    for job, key in zip(jobs, keys, strict=True):
        source = sources.get(key)
        if source is None and key not in hidden:
            SOURCE_FIELD.set_cached_value(job, None)
        elif source is not None and model_admin.has_view_permission(request, source):
            SOURCE_FIELD.set_cached_value(job, source)


def _existing_keys(model: type[Model], keys: set[Any]) -> set[Any]:
    """Return the keys that exist, whether or not the user may see them."""
    if not keys:
        return set()
    return set(model._base_manager.filter(pk__in=keys).values_list("pk", flat=True))


def _is_valid_key(model: type[Model], key: str) -> bool:
    """Return whether the key is valid for the model, whose primary key type may have changed."""
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
    except NoReverseMatch:  # a ModelAdmin without the default URLs
        return ""
