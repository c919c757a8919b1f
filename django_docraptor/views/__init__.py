"""Internal. The package's views: callback, download and status page.

Projects subclass `DocumentView` or `DocumentMixin` to return a document.
"""

from django_docraptor.views.callbacks import callback
from django_docraptor.views.documents import DocumentMixin, DocumentView
from django_docraptor.views.pages import document_status, download

__all__ = ["DocumentMixin", "DocumentView", "callback", "document_status", "download"]
