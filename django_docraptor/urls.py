"""Include these under any prefix: ``path("docraptor/", include("django_docraptor.urls"))``."""

from django.urls import path

from django_docraptor import views

app_name = "django_docraptor"

urlpatterns = [
    path("callback/<str:token>/", views.callback, name="callback"),
    path("health/", views.health, name="health"),
    path("documents/", views.my_documents, name="my-documents"),
    path("documents/<uuid:pk>/", views.download, name="download"),
    path("documents/<uuid:pk>/status/", views.document_status, name="status"),
    path("groups/<uuid:pk>/", views.group_download, name="group-download"),
    path("groups/<uuid:pk>/status/", views.group_status, name="group-status"),
    path("shared/<str:token>/", views.shared_document, name="shared"),
    path("previews/", views.preview_list, name="previews"),
    path("previews/<str:label>/", views.preview, name="preview"),
    path("previews/<str:label>/html/", views.preview_html, name="preview-html"),
    path("previews/<str:label>/file/", views.preview_file, name="preview-file"),
    path("previews/<str:label>/state/", views.preview_state, name="preview-state"),
    path("previews/<str:label>/test/", views.preview_test_document, name="preview-test-document"),
]
