from django.contrib import admin
from django.urls import include, path

from shop.views import InvoiceDocument, InvoiceList, share_invoice

urlpatterns = [
    path("", InvoiceList.as_view(), name="invoices"),
    path("invoices/<int:pk>/pdf/", InvoiceDocument.as_view(), name="invoice"),
    path("invoices/<int:pk>/share/", share_invoice, name="share"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    path("docraptor/", include("django_docraptor.urls")),
]
