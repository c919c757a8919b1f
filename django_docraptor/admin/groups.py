"""Internal. The admin for groups of documents: read-only, with links to the file and the jobs."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin.changelist import CheckedChangeList
from django_docraptor.admin.display import EMPTY_VALUE
from django_docraptor.models import RenderGroup, RenderJob
from django_docraptor.responses.permissions import has_permission
from django_docraptor.states import State

if TYPE_CHECKING:
    GroupModelAdmin = admin.ModelAdmin[RenderGroup]
else:
    GroupModelAdmin = admin.ModelAdmin


@admin.register(RenderGroup)
class RenderGroupAdmin(GroupModelAdmin):
    """Shows what became of each group. Its documents are retried and cancelled in their list."""

    list_display = ["name", "state", "documents", "file_link", "owner", "created_at"]
    list_filter = ["state", "merge"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    fields = [
        *("name", "owner", "state", "merge", "documents", "file_link", "file_size", "errors"),
        *("idempotency_key", "downloads", "created_at", "finished_at"),
    ]
    readonly_fields = ["documents", "file_link"]
    view_on_site = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CheckedChangeList]:
        """Return the list that checks its filters."""
        return CheckedChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[RenderGroup]:
        """Return the groups, with how many of their documents are there."""
        there = RenderJob.objects.filter(group=OuterRef("pk"), state=State.COMPLETED).order_by()
        counted = there.values("group").annotate(count=Count("pk")).values("count")
        rows = super().get_queryset(request).prefetch_related("owner")
        return rows.annotate(completed_count=Coalesce(Subquery(counted), 0))

    @admin.display(description=_("documents"))
    def documents(self, group: RenderGroup) -> str:
        """Show how many documents are there, with a link to the list of all."""
        url = reverse(f"{self.admin_site.name}:django_docraptor_renderjob_changelist")
        count = getattr(group, "completed_count", 0)
        return format_html(
            '<a href="{}?group__id__exact={}">{} / {}</a>', url, group.pk, count, group.total
        )

    @admin.display(description=_("file"), empty_value=EMPTY_VALUE)
    def file_link(self, group: RenderGroup) -> str:
        """Show a link to the file, which the view may refuse."""
        if not group.file:
            return ""
        return format_html('<a href="{}">{}</a>', group.get_absolute_url(), _("Download"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view jobs."""
        return has_permission(request, "django_docraptor.view_renderjob")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may view jobs."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: groups are created by code."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a group follows its jobs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a group is deleted with its jobs."""
        return False
