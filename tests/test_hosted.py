"""Hosted documents: made by one call, public, ended on request."""

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


def fetch(url: str) -> tuple[int, bytes]:
    """What the public gets."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, b""


def test_host_now(sandbox: Sandbox) -> None:
    """The document is at an address that anybody may read; it is a test one, and hosted."""
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


def test_host_now_production(sandbox: Sandbox) -> None:
    """Only who says so gets a document on the bill."""
    render_hosted_now(name="hello.pdf", content=HTML, test=False)
    assert [entry.billed for entry in sandbox.ledger.accepted()] == [True]


def test_download_limit(sandbox: Sandbox) -> None:
    """After so many downloads there is nothing to see."""
    options = {"hosted_download_limit": 1}
    url = render_hosted_now(name="hello.pdf", content=HTML, options=options).public_url
    assert [fetch(url)[0], fetch(url)[0]] == [200, 404]


def test_expires_at(sandbox: Sandbox) -> None:
    """After its time there is nothing to see."""
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
def test_host_now_refuses(sandbox: Sandbox, field: str, changes: dict[str, Any]) -> None:
    """What is wrong is refused under its name; nothing is sent."""
    with pytest.raises(ValidationError) as caught:
        render_hosted_now(**{"name": "hello.pdf", "content": HTML, **changes})
    assert list(caught.value.message_dict) == [field]
    assert sandbox.calls == []


def test_naive_time(sandbox: Sandbox) -> None:
    """A time without a zone is no time at which something public ends."""
    naive = datetime(2031, 1, 1)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValidationError) as caught:
        render_hosted_now(name="hello.pdf", content=HTML, options={"hosted_expires_at": naive})
    assert list(caught.value.message_dict) == ["hosted_expires_at"]


def test_host_now_lost_answer(sandbox: Sandbox) -> None:
    """An error says whether the document may be on the bill."""
    sandbox.add_fault(Fault(on="create", action="close", accept=True))
    with pytest.raises(CallError) as caught:
        render_hosted_now(name="hello.pdf", content=HTML)
    assert caught.value.sent == Sent.MAYBE
    assert len(sandbox.ledger.accepted()) == 1


def test_expire(sandbox: Sandbox) -> None:
    """A document that was ended is no longer public."""
    hosted = render_hosted_now(name="hello.pdf", content=HTML)
    expire_hosted(hosted.download_id, account=hosted.account)
    assert fetch(hosted.public_url)[0] == 404


def test_expire_unknown(sandbox: Sandbox) -> None:
    """What DocRaptor does not know cannot be ended: an error, since something may be public."""
    with pytest.raises(CallError):
        expire_hosted("no-such-document")
