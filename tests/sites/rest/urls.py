"""The same document from an API, from another one, and from a page."""

from billing.api import InvoicePDFView
from billing.htmx import generate, progress
from billing.ninja_api import api
from billing.status_api import DocumentFile, DocumentStatus
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("docraptor/", include("django_docraptor.urls")),
    path("api/invoices/<int:pk>/pdf/", InvoicePDFView.as_view()),
    path("api/documents/<uuid:pk>/", DocumentStatus.as_view()),
    path("api/documents/<uuid:pk>/file/", DocumentFile.as_view(), name="api-document-file"),
    path("ninja/", api.urls),
    path("invoices/<int:pk>/pdf/", generate, name="generate"),
    path("jobs/<uuid:pk>/", progress, name="progress"),
]
