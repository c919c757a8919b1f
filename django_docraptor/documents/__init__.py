"""Declare documents as classes, in an app's ``documents.py``; they are found like ``admin.py``.

``declaration``  :class:`Document`: what is made from what, and the verbs to make it
``triggers``     signals that order a document
``delivery``     finished documents go into a file field of their source
``latest``       the newest document of an object, and of many objects
``reports``      :class:`QuerysetDocument`: one document over many rows
``checks``       mistakes in a class, found by ``manage.py check``
"""

from django_docraptor.documents import checks
from django_docraptor.documents.declaration import Document, SourceGoneError
from django_docraptor.documents.latest import attach_latest_documents, latest_document
from django_docraptor.documents.reports import QuerysetDocument, Rows
from django_docraptor.documents.triggers import Trigger

__all__ = [
    "Document",
    "QuerysetDocument",
    "Rows",
    "SourceGoneError",
    "Trigger",
    "attach_latest_documents",
    "checks",
    "latest_document",
]
