"""Requests for documents, and their responses."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase

from django_docraptor.responses import document_response
from django_docraptor.shortcuts import JobSpec
from tests.support.jobs import HTML

PAGE = "http://testserver/invoices/?page=2"


def make_spec(**changes: Any) -> JobSpec:
    """Return a job spec for a small production document."""
    return JobSpec(**{"name": "hello.pdf", "content": HTML, "test": False, **changes})


def respond(request: HttpRequest, **changes: Any) -> HttpResponseBase:
    """Return the response to a request that does not wait."""
    return document_response(request, make_spec(**changes), wait=0)


def read_body(response: Any) -> bytes:
    """Return the streamed content and close the file, as the server does after a response."""
    content: bytes = response.getvalue()
    for close in response._resource_closers:
        close()
    return content
