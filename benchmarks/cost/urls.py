"""URLs of the benchmark site: DocRaptor's callback, and the views that it is compared with."""

from django.urls import include, path

from benchmarks.cost import views

urlpatterns = [
    path("docraptor/", include("django_docraptor.urls")),
    path("one-select/<uuid:key>/", views.one_select),
    path("one-update/<uuid:key>/", views.one_update),
]
