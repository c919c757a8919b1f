"""Wagtail's admin, Django's, the documents, and last the pages."""

from django.contrib import admin
from django.urls import include, path
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls

urlpatterns = [
    path("admin/", admin.site.urls),
    path("cms/", include(wagtailadmin_urls)),
    path("docraptor/", include("django_docraptor.urls")),
    path("", include(wagtail_urls)),
]
