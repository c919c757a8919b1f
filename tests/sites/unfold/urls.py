"""The admin, and the documents."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("docraptor/", include("django_docraptor.urls")),
]
