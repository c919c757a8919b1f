"""Include these under any prefix: ``path("docraptor/", include("django_docraptor.urls"))``."""

from django.urls import path

from django_docraptor import views

app_name = "django_docraptor"

urlpatterns = [
    path("callback/<str:token>/", views.callback, name="callback"),
    path("documents/<uuid:pk>/", views.download, name="download"),
    path("documents/<uuid:pk>/status/", views.document_status, name="status"),
]
