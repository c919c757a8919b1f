"""django-ninja."""

from uuid import UUID

from billing.documents import InvoicePDF
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import NinjaAPI
from ninja.security import HttpBearer
from rest_framework.authtoken.models import Token

from django_docraptor import RenderJob, document_response, job_file_response, status_response


class TokenAuth(HttpBearer):
    """The user of a token."""

    def authenticate(self, request, token):
        """Return the user, who is request.user from now on."""
        found = Token.objects.filter(key=token, user__is_active=True).first()
        if found:
            request.user = found.user
        return found and found.user


api = NinjaAPI(auth=TokenAuth())


@api.get("/invoices/{pk}/pdf/")
def invoice_pdf(request, pk: int):
    """Return the PDF, or 202 with the state of its job."""
    invoice = get_object_or_404(request.user.invoices, pk=pk)
    return document_response(request, InvoicePDF.spec(invoice, snapshot=True), wait=0)


@api.api_operation(["GET", "POST"], "/documents/{uuid:pk}/", url_name="document-status")
def document_status(request, pk: UUID):
    """Return the state of a job, with the URLs of this API; a POST request tries again."""
    job = get_object_or_404(RenderJob, pk=pk)
    file_url = reverse("api-1.0.0:document-file", args=[pk])
    return status_response(request, job, status_url=request.path, download_url=file_url)


@api.get("/documents/{uuid:pk}/file/", url_name="document-file")
def document_file(request, pk: UUID):
    """Return the file of a job."""
    return job_file_response(request, get_object_or_404(RenderJob, pk=pk))
