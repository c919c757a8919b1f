"""Django REST framework: the state of a job, and its file, as docs/how-to/progress.md has it."""

from django.shortcuts import get_object_or_404
from django.urls import reverse
from rest_framework.permissions import IsAuthenticated
from rest_framework.views import APIView

from django_docraptor import RenderJob, job_file_response, status_response


class DocumentStatus(APIView):
    """The state of a job; a POST request tries again."""

    permission_classes = [IsAuthenticated]

    def get(self, request, pk):
        """Return the state, with the URLs of this API."""
        job = get_object_or_404(RenderJob, pk=pk)
        file_url = reverse("api-document-file", args=[pk])
        return status_response(request, job, status_url=request.path, download_url=file_url)

    post = get  # a POST request tries again


class DocumentFile(APIView):
    """The file of a job."""

    permission_classes = [IsAuthenticated]

    def get(self, request, pk):
        """Return the file."""
        return job_file_response(request, get_object_or_404(RenderJob, pk=pk))
