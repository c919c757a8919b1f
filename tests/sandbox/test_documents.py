"""The document store: its limits and counters under many threads, and its memory."""

import threading

from django_docraptor.sandbox import documents
from django_docraptor.sandbox.documents import Document, DocumentStore
from django_docraptor.sandbox.options import options_from_json
from django_docraptor.sandbox.output import Output


def make_document(tag=""):
    """Return a document that has not been accepted."""
    return Document(options=options_from_json({"name": "a", "type": "pdf", "tag": tag}))


def make_output(size):
    """Return an output of so many bytes."""
    return Output(document_type="pdf", head=b"x" * size)


def at_once(count, function):
    """Call `function` in so many threads at once, and return the results."""
    barrier, results = threading.Barrier(count), []

    def run():
        barrier.wait()
        results.append(function())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_concurrent_creates_respect_the_limit():
    """Of many concurrent create calls, as many are accepted as the limit allows."""
    store = DocumentStore()
    results = at_once(20, lambda: store.accept(make_document(), limit=7))
    assert results.count(True) == 7
    assert store.ledger().peak_concurrency == 7


def test_concurrent_downloads_respect_the_limit():
    """Of many concurrent downloads, one gets the file."""
    store, one = DocumentStore(), make_document()
    store.accept(one, limit=1)
    store.complete(one, make_output(10))
    results = at_once(20, lambda: store.take_download(one, limit=1))
    assert sum(result is not None for result in results) == 1
    assert one.downloads == 1


def test_finished_document_is_not_in_progress():
    """A finished document no longer counts towards the limit."""
    store, one, two = DocumentStore(), make_document(), make_document()
    assert store.accept(one, limit=1)
    assert not store.accept(two, limit=1)
    store.fail(one, ("why",))
    assert store.accept(two, limit=1)


def test_finished_document_does_not_change():
    """A failed document cannot be completed, failed or started again."""
    store, one = DocumentStore(), make_document()
    store.accept(one, limit=1)
    store.fail(one, ("why",))
    store.complete(one, make_output(1))
    store.fail(one, ("other",))
    store.start(one)
    assert (one.state, one.reasons, one.output) == ("failed", ("why",), None)


def test_oldest_files_are_deleted(monkeypatch):
    """A sandbox that runs for weeks keeps the latest files only, and all ledger entries."""
    monkeypatch.setattr(documents, "MAX_KEPT_BYTES", 250)
    store, made = DocumentStore(), [make_document() for _ in range(4)]
    for one in made:
        store.accept(one, limit=1)
        store.complete(one, make_output(100))
    got = [store.take_download(one, limit=1) is not None for one in made]
    assert got == [False, False, True, True]
    assert len(store.ledger().entries) == 4


def test_reset_releases_waiting_requests():
    """A request does not wait for a document that a reset has deleted."""
    store, one = DocumentStore(), make_document()
    store.accept(one, limit=1)
    store.reset()
    assert one.finished_event.is_set()
    assert store.find(one.status_id) is None
