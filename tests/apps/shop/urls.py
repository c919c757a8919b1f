"""URLs of a site with the shop's own admin."""

from django.urls import include, path

from tests.apps.shop.admin import site

urlpatterns = [
    path("shop-admin/", site.urls),
    path("docraptor/", include("django_docraptor.urls")),
]
