"""The client under test, with short timeouts, and the errors of its calls."""

import base64
import io
import traceback

import pytest

from django_docraptor.client import Client, Timeouts
from django_docraptor.exceptions import (
    CallError,
)
from django_docraptor.payloads import DocumentRequest
from tests.support.socket_server import SocketServer, respond

KEY = "s3cr3t/key+with=signs"
QUICK = Timeouts(
    connect=0.3, create_read=0.3, sync_read=0.3, status_read=0.3, download_read=0.3, total=1
)
REQUEST = DocumentRequest(name="a.pdf", content="<p>Grüße</p>", tag="t:1")
ACCEPTED = respond(b'{"status_id": "abc"}')


def make_client(url, **options):
    """Return a client with short timeouts."""
    return Client(**{"api_key": KEY, "base_url": url, "timeouts": QUICK} | options)


def create_error(*behaviours, request=REQUEST, **options):
    """Return the error of one create call, and the server that received it."""
    with SocketServer(*behaviours) as server, pytest.raises(CallError) as caught:
        make_client(server.url, **options).create_async_doc(request)
    return caught.value, server


def status_error(*behaviours):
    """Return the error of one status call."""
    with SocketServer(*behaviours) as server, pytest.raises(CallError) as caught:
        make_client(server.url).get_status("abc")
    return caught.value


def download_error(*behaviours, **options):
    """Return the error of one download."""
    with SocketServer(*behaviours) as server, pytest.raises(CallError) as caught:
        make_client(server.url, **options).download("abc", io.BytesIO())
    return caught.value


FORMS = [KEY, "s3cr3t%2Fkey%2Bwith%3Dsigns", base64.b64encode(f"{KEY}:".encode()).decode()]
DOWNLOAD_ID = "d0wnl0ad"


def all_text_of(error):
    """Return all text that an error or a report of it may show."""
    shown = "".join(traceback.format_exception(error))
    return " ".join([str(error), repr(error), repr(error.args), repr(vars(error)), shown])


def call_error(call):
    """Return the CallError that a call raises, or None."""
    try:
        call()
    except CallError as error:
        return error
    return None
