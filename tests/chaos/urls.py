"""URLs of the chaos site: DocRaptor's callback, and the requests of the simulated users."""

from django.urls import include, path

from tests.chaos import views

urlpatterns = [
    path("docraptor/", include("django_docraptor.urls")),
    path("enqueue/", views.enqueue),
    path("enqueue-locked/", views.enqueue_locked),
    path("enqueue-baseline/", views.enqueue_baseline),
    path("enqueue-for/", views.enqueue_for),
    path("cancel-all/", views.cancel_all),
    path("resume/", views.resume),
    path("retry/<uuid:key>/<int:attempt>/", views.retry),
]
