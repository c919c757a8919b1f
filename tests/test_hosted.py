"""Hosted documents: rendered by one call, public, expired on request."""

import urllib.request
from datetime import datetime, timedelta
from typing import Any
from urllib.error import HTTPError

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_docraptor.exceptions import CallError, Sent
from django_docraptor.hosted import expire_hosted, render_hosted_now
from django_docraptor.sandbox import Fault, Sandbox
from tests.support.jobs import HTML

pytestmark = pytest.mark.django_db


def fetch(url: str) -> tuple[int, bytes]:
    """Return the status code and the content that anyone gets."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, b""


def test_render_hosted_now_publishes_a_test_document(sandbox: Sandbox) -> None:
    """The document is public at its URL; it is a test document and hosted."""
    hosted = render_hosted_now(name="hello.pdf", content=HTML)
    status, content = fetch(hosted.public_url)
    assert (status, content[:5]) == (200, b"%PDF-")
    (entry,) = sandbox.ledger.accepted()
    assert (entry.hosted, entry.asynchronous, entry.test, entry.name) == (
        True,
        False,
        True,
        "hello.pdf",
    )
    assert hosted.account == "default"


def test_production_document_must_be_requested(sandbox: Sandbox) -> None:
    """Only `test=False` renders a document that is billed."""
    render_hosted_now(name="hello.pdf", content=HTML, test=False)
    assert [entry.billed for entry in sandbox.ledger.accepted()] == [True]


def test_document_ends_after_its_download_limit(sandbox: Sandbox) -> None:
    """After the last allowed download the URL gets 404."""
    options = {"hosted_download_limit": 1}
    hosted = render_hosted_now(name="hello.pdf", content=HTML, test=False, options=options)
    url = hosted.public_url
    assert [fetch(url)[0], fetch(url)[0]] == [200, 404]


def test_document_ends_at_its_expiry_time(sandbox: Sandbox) -> None:
    """After the expiry time the URL gets 404."""
    options = {"hosted_expires_at": timezone.now() - timedelta(minutes=1)}
    assert (
        fetch(render_hosted_now(name="hello.pdf", content=HTML, options=options).public_url)[0]
        == 404
    )


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("hosted_download_limit", {"options": {"hosted_download_limit": 0}}),
        ("hosted_expires_at", {"options": {"hosted_expires_at": "soon"}}),
        ("hosted_expires_at", {"options": {"hosted_expires_at": "2031-01-01T00:00:00"}}),
        ("callback_url", {"options": {"callback_url": "https://shop.example/"}}),
        ("content", {"content": '<img src="/logo.png">'}),
        ("name", {"name": ""}),
    ],
)
def test_render_hosted_now_validates_its_arguments(
    sandbox: Sandbox, field: str, changes: dict[str, Any]
) -> None:
    """An invalid argument is reported under its name, and nothing is sent."""
    with pytest.raises(ValidationError) as caught:
        render_hosted_now(**{"name": "hello.pdf", "content": HTML, **changes})
    assert list(caught.value.message_dict) == [field]
    assert sandbox.calls == []


def test_naive_expiry_time_is_refused(sandbox: Sandbox) -> None:
    """An expiry time needs a time zone."""
    naive = datetime(2031, 1, 1)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValidationError) as caught:
        render_hosted_now(name="hello.pdf", content=HTML, options={"hosted_expires_at": naive})
    assert list(caught.value.message_dict) == ["hosted_expires_at"]


def test_lost_response_says_that_it_may_be_billed(sandbox: Sandbox) -> None:
    """The error says that the document may have been billed."""
    sandbox.add_fault(Fault(on="create", action="close", accept=True))
    with pytest.raises(CallError) as caught:
        render_hosted_now(name="hello.pdf", content=HTML)
    assert caught.value.sent == Sent.MAYBE
    assert len(sandbox.ledger.accepted()) == 1


def test_expired_document_is_not_public(sandbox: Sandbox) -> None:
    """An expired document is not public."""
    hosted = render_hosted_now(name="hello.pdf", content=HTML)
    expire_hosted(hosted.download_id, account=hosted.account)
    assert fetch(hosted.public_url)[0] == 404


def test_expire_of_an_unknown_document_raises(sandbox: Sandbox) -> None:
    """An unknown document cannot be expired, which raises since something may be public."""
    with pytest.raises(CallError):
        expire_hosted("no-such-document")
