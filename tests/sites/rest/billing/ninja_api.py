"""django-ninja."""

from billing.documents import InvoicePDF
from django.shortcuts import get_object_or_404
from ninja import NinjaAPI
from ninja.security import HttpBearer
from rest_framework.authtoken.models import Token

from django_docraptor import document_response


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
