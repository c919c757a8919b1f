"""The admin with a plain list of jobs in place of ours: what Django's own list costs.

It is a URLconf; the other models are as they are registered.
"""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.urls import path

from django_docraptor.models import RenderJob

if TYPE_CHECKING:
    PlainModelAdmin = admin.ModelAdmin[RenderJob]
else:
    PlainModelAdmin = admin.ModelAdmin


class PlainJobAdmin(PlainModelAdmin):
    """As many columns as our list, and nothing above it."""

    change_list_template = "admin/change_list.html"
    list_display = ("name", "state", "created_at", "document", "document_type")
    list_filter = ("state", "test", "document_type")
    search_fields = ("name",)
    show_full_result_count = False


site = admin.AdminSite(name="admin")
site.register(RenderJob, PlainJobAdmin)
for model, model_admin in admin.site._registry.items():
    if model is not RenderJob:
        site.register(model, type(model_admin))

urlpatterns = [path("admin/", site.urls)]
