"""The chaos site's addresses: DocRaptor's callback, and what customers and a person do."""

from django.urls import include, path

from tests.chaos import views

urlpatterns = [
    path("docraptor/", include("django_docraptor.urls")),
    path("order/", views.order),
    path("order-naively/", views.order_naively),
    path("retry/<uuid:key>/<int:attempt>/", views.retry),
]
