"""Rendering: what the ledger records, and unexpected errors."""

import hashlib

from tests.support.sandbox_client import wait_until


def test_ledger_has_the_hash_of_the_file(client, sandbox):
    """A test can compare a stored file with the rendered one."""
    content = client.send("GET", client.create_and_finish()["download_url"]).content
    assert sandbox.ledger.entries[0].sha256 == hashlib.sha256(content).hexdigest()


def test_unexpected_renderer_error_fails_the_document(client, sandbox, monkeypatch):
    """The sandbox goes on with the next document."""

    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr("django_docraptor.sandbox.canned.canned_pdf", broken)
    assert "unknown reasons" in client.create_and_finish()["validation_errors"]
    wait_until(lambda: client.create_and_finish(type="xlsx")["status"] == "completed")
