"""The document store: its limits and counters under many threads, and its memory."""

from django_docraptor.sandbox import documents
from django_docraptor.sandbox.documents import Document, DocumentStore
from django_docraptor.sandbox.options import options_from_json
from django_docraptor.sandbox.output import Output
from tests.support.threads import run_in_threads


def make_document(tag=""):
    """Return a document that has not been accepted."""
    return Document(options=options_from_json({"name": "a", "type": "pdf", "tag": tag}))


def make_output(size):
    """Return an output of so many bytes."""
    return Output(document_type="pdf", head=b"x" * size)


def test_concurrent_creates_respect_the_limit():
    """Of many concurrent create calls, as many are accepted as the limit allows."""
    store = DocumentStore()
    results = run_in_threads(20, lambda: store.accept(make_document(), limit=7))
    assert results.count(True) == 7
    assert store.ledger().peak_concurrency == 7


def test_concurrent_downloads_respect_the_limit():
    """Of many concurrent downloads, one gets the file."""
    store, document = DocumentStore(), make_document()
    store.accept(document, limit=1)
    store.complete(document, make_output(10))
    results = run_in_threads(20, lambda: store.take_download(document, limit=1))
    assert sum(result is not None for result in results) == 1
    assert document.downloads == 1


def test_finished_document_is_not_in_progress():
    """A finished document no longer counts towards the limit."""
    store, first, second = DocumentStore(), make_document(), make_document()
    assert store.accept(first, limit=1)
    assert not store.accept(second, limit=1)
    store.fail(first, ("why",))
    assert store.accept(second, limit=1)


def test_finished_document_does_not_change():
    """A failed document cannot be completed, failed or started again."""
    store, document = DocumentStore(), make_document()
    store.accept(document, limit=1)
    store.fail(document, ("why",))
    store.complete(document, make_output(1))
    store.fail(document, ("other",))
    store.start(document)
    assert (document.state, document.reasons, document.output) == ("failed", ("why",), None)


def test_oldest_files_are_deleted(monkeypatch):
    """A sandbox that runs for weeks keeps the latest files only, and all ledger entries."""
    monkeypatch.setattr(documents, "MAX_KEPT_BYTES", 250)
    store, created = DocumentStore(), [make_document() for _ in range(4)]
    for document in created:
        store.accept(document, limit=1)
        store.complete(document, make_output(100))
    available = [store.take_download(document, limit=1) is not None for document in created]
    assert available == [False, False, True, True]
    assert len(store.ledger().entries) == 4


def test_reset_releases_waiting_requests():
    """A request does not wait for a document that a reset has deleted."""
    store, document = DocumentStore(), make_document()
    store.accept(document, limit=1)
    store.reset()
    assert document.finished_event.is_set()
    assert store.find(document.status_id) is None
