from django.contrib.auth.mixins import LoginRequiredMixin
from django.views.generic import DetailView, ListView

from django_docraptor import DocumentMixin, attach_latest_documents
from shop.documents import InvoicePDF
from shop.models import Invoice


class InvoiceList(LoginRequiredMixin, ListView):
    template_name = "shop/invoices.html"
    paginate_by = 25

    def get_queryset(self):
        return self.request.user.invoices.exclude(issued_on=None)

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        attach_latest_documents(context["object_list"], InvoicePDF)
        return context


class InvoiceDocument(DocumentMixin, DetailView):
    document = InvoicePDF

    def get_queryset(self):
        issued = Invoice.objects.exclude(issued_on=None)
        user = self.request.user
        return issued if user.is_staff else issued.filter(customer=user)
