"""Django REST framework."""

from billing.documents import InvoicePDF
from django.shortcuts import get_object_or_404
from rest_framework.views import APIView

from django_docraptor import document_response


class InvoicePDFView(APIView):
    """The PDF of an invoice of the user who sends the token."""

    def get(self, request, pk):
        """Return the PDF, or 202 with the state of its job."""
        invoice = get_object_or_404(request.user.invoices, pk=pk)
        return document_response(request, InvoicePDF.spec(invoice, snapshot=True), wait=0)
