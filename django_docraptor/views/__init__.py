"""Internal. The package's views: callback, download and status page.

Projects subclass `DocumentView` or `DocumentMixin` to return a document, and decorate with
`document_page` what DocRaptor may fetch.
"""

from django_docraptor.views.callbacks import callback
from django_docraptor.views.document_pages import document_page
from django_docraptor.views.documents import DocumentMixin, DocumentView
from django_docraptor.views.pages import document_status, download

__all__ = [
    "DocumentMixin",
    "DocumentView",
    "callback",
    "document_page",
    "document_status",
    "download",
]
