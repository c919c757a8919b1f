"""The object that a document was made from, for those who may see it.

A source is loaded only for a user who may view it, all sources of a page together; so a cached
source is one to show, and a column need not ask again.
"""

from collections.abc import Iterable

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db.models import Model, prefetch_related_objects
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from django_docraptor.admin.display import NOTHING
from django_docraptor.models import RenderJob

SOURCE = RenderJob._meta.get_field("source")


def load_sources(site: AdminSite, request: HttpRequest, jobs: Iterable[RenderJob]) -> None:
    """Load what the user may view, with one query for each model."""
    shown = [job for job in jobs if _may_view(site, request, job)]
    prefetch_related_objects(shown, "source")


def source_link(site: AdminSite, job: RenderJob) -> str:
    """A loaded source as a link to its admin page; of any other, its kind and key."""
    if job.content_type is None:
        return NOTHING
    named = f"{job.content_type.name} {job.object_id}"
    if not SOURCE.is_cached(job):
        return named
    source: Model | None = job.source
    if source is None:
        return _("%(source)s (deleted)") % {"source": named}
    text = Truncator(str(source) or named).chars(60)
    url = _admin_url(site, source)
    return format_html('<a href="{}">{}</a>', url, text) if url else text


def _may_view(site: AdminSite, request: HttpRequest, job: RenderJob) -> bool:
    model = job.content_type.model_class() if job.content_type else None
    if model is None or not site.is_registered(model) or not _is_key(model, job.object_id):
        return False
    return site.get_model_admin(model).has_view_permission(request)


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
