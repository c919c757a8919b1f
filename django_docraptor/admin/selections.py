"""All rows that a list of the admin shows, found again in a worker: not their keys are stored, but
which list, with which filters and search, and who looked at it.

The worker asks the list anew, by a request of its own that has nothing but that user and those
filters. A list whose rows depend on more (a tenant in the request, the session, the time of day)
is noticed when the report is ordered, and then the keys are stored after all.
"""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.sites import all_sites
from django.contrib.admin.views.main import ALL_VAR, PAGE_VAR
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from django_docraptor.documents.reports import FINDERS, Search
from django_docraptor.exceptions import ConfigurationError

FINDER = "changelist"


def search_of(
    model_admin: "ModelAdmin[Any]", request: HttpRequest, queryset: QuerySet[Any]
) -> Search | None:
    """How a worker finds all rows of a list; ``None`` if it would not find the same ones."""
    query = request.GET.copy()
    for page in (PAGE_VAR, ALL_VAR):
        query.pop(page, None)
    facts = {
        "site": model_admin.admin_site.name,
        "model": model_admin.opts.label_lower,
        "query": query.urlencode(),
        "user": str(request.user.pk),
    }
    try:
        same = str(find(facts).query) == str(queryset.query)
    except Exception:  # noqa: BLE001 - a project's list may need anything that a request has
        return None
    return Search(finder=FINDER, facts=facts) if same else None


def find(facts: Mapping[str, Any]) -> QuerySet[Any]:
    """The rows, as the list would show them to that user now.

    Raises:
        PermissionDenied: not any more.
        ConfigurationError: there is no such list here.
    """
    model = apps.get_model(facts["model"])
    model_admin: Any = _site(facts["site"], model).get_model_admin(model)
    request = _request(model_admin, facts)
    if not (
        model_admin.admin_site.has_permission(request)
        and model_admin.has_view_or_change_permission(request)
        and model_admin.has_document_permission(request)
    ):
        raise PermissionDenied(
            f"User {facts['user']}, who ordered this report, may no longer order it."
        )
    rows: QuerySet[Any] = model_admin.get_changelist_instance(request).get_queryset(request)
    return rows


def _site(name: str, model: type[Model]) -> AdminSite:
    found = [site for site in all_sites if site.name == name and site.is_registered(model)]
    if len(found) != 1:
        raise ConfigurationError(
            f"There are {len(found)} admin sites named {name!r} with {model._meta.label} here: "
            "give each site its own name, and install django.contrib.admin for workers, too."
        )
    return found[0]


def _request(model_admin: "ModelAdmin[Any]", facts: Mapping[str, Any]) -> HttpRequest:
    """A visit to the list by that user, and no more."""
    user = get_user_model()._default_manager.filter(pk=facts["user"]).first()
    if user is None:
        raise PermissionDenied(f"User {facts['user']}, who ordered this report, is gone.")
    request = HttpRequest()
    request.method = "GET"
    request.GET = QueryDict(facts["query"])
    request.user = user
    names = model_admin.opts.app_label, model_admin.opts.model_name
    request.path = request.path_info = reverse(
        "admin:{}_{}_changelist".format(*names), current_app=model_admin.admin_site.name
    )
    return request


FINDERS[FINDER] = find
