"""Internal. Store all rows of an admin list as a query that a worker can repeat.

The query consists of the list, its filters and search, and the user; the keys of the rows are not
stored. The worker repeats it with a minimal request that has only this user and these filters. If
the list depends on anything else (a tenant, the session, the time of day), that is detected when
the report is enqueued, and the keys are stored instead.
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

from django_docraptor.documents.reports import QUERY_RESOLVERS, StoredQuery
from django_docraptor.exceptions import ConfigurationError

RESOLVER = "changelist"


def store_query(
    model_admin: "ModelAdmin[Any]", request: HttpRequest, queryset: QuerySet[Any]
) -> StoredQuery | None:
    """Return a query that finds the rows of a list, or ``None`` if a worker would find others."""
    query = request.GET.copy()
    for page in (PAGE_VAR, ALL_VAR):
        query.pop(page, None)
    arguments = {
        "site": model_admin.admin_site.name,
        "model": model_admin.opts.label_lower,
        "query": query.urlencode(),
        "user": str(request.user.pk),
    }
    try:
        is_same = str(resolve_query(arguments).query) == str(queryset.query)
    except Exception:  # noqa: BLE001 - a project's list may need anything that a request has
        return None
    return StoredQuery(resolver=RESOLVER, arguments=arguments) if is_same else None


def resolve_query(arguments: Mapping[str, Any]) -> QuerySet[Any]:
    """Return the rows that the list shows to the user now.

    Raises:
        PermissionDenied: the user may no longer see the list or generate the report.
        ConfigurationError: this process has no such list.
    """
    model = apps.get_model(arguments["model"])
    model_admin: Any = _site(arguments["site"], model).get_model_admin(model)
    request = _request(model_admin, arguments)
    if not (
        model_admin.admin_site.has_permission(request)
        and model_admin.has_view_or_change_permission(request)
        and model_admin.has_document_permission(request)
    ):
        raise PermissionDenied(
            f"User {arguments['user']} requested this report but no longer has permission to "
            "generate it."
        )
    rows: QuerySet[Any] = model_admin.get_changelist_instance(request).get_queryset(request)
    return rows


def _site(name: str, model: type[Model]) -> AdminSite:
    sites = [site for site in all_sites if site.name == name and site.is_registered(model)]
    if len(sites) != 1:
        raise ConfigurationError(
            f"Expected exactly one admin site named {name!r} with {model._meta.label} registered, "
            f"found {len(sites)}. Give every site a unique name, and add django.contrib.admin to "
            "the workers' INSTALLED_APPS."
        )
    return sites[0]


def _request(model_admin: "ModelAdmin[Any]", arguments: Mapping[str, Any]) -> HttpRequest:
    """Return a minimal GET request for the list by the user."""
    user = get_user_model()._default_manager.filter(pk=arguments["user"]).first()
    if user is None:
        raise PermissionDenied(
            f"The user who requested this report ({arguments['user']}) no longer exists."
        )
    request = HttpRequest()
    request.method = "GET"
    request.GET = QueryDict(arguments["query"])
    request.user = user
    names = model_admin.opts.app_label, model_admin.opts.model_name
    request.path = request.path_info = reverse(
        "admin:{}_{}_changelist".format(*names), current_app=model_admin.admin_site.name
    )
    return request


QUERY_RESOLVERS[RESOLVER] = resolve_query
