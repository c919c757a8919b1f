"""The shop, the admin, and the documents of orders."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path
from orders.views import OrderDocument

urlpatterns = [
    path("admin/", admin.site.urls),
    path("docraptor/", include("django_docraptor.urls")),
    path("orders/<str:number>/pdf/", OrderDocument.as_view(), name="order-pdf"),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
