"""URLs of the shop's site."""

from django.contrib import admin
from django.urls import include, path

from example_project.shop.views import DocumentList

urlpatterns = [
    path("", DocumentList.as_view(), name="documents"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    path("docraptor/", include("django_docraptor.urls")),
]
