"""The store: one lock, honest counts under many threads, bounded memory."""

import threading

from django_docraptor.sandbox import documents
from django_docraptor.sandbox.documents import Document, Store
from django_docraptor.sandbox.options import from_json
from django_docraptor.sandbox.output import Output


def document(tag=""):
    """Return a document that nobody has accepted yet."""
    return Document(options=from_json({"name": "a", "type": "pdf", "tag": tag}))


def output(size):
    """Return some bytes."""
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


def test_the_limit_holds_under_a_rush():
    """Of many creates at once, as many are accepted as the limit says."""
    store = Store()
    results = at_once(20, lambda: store.accept(document(), limit=7))
    assert results.count(True) == 7
    assert store.ledger().peak_concurrency == 7


def test_one_download_is_had_once_under_a_rush():
    """Of many downloads at once, one gets the bytes."""
    store, one = Store(), document()
    store.accept(one, limit=1)
    store.complete(one, output(10))
    results = at_once(20, lambda: store.take_download(one, limit=1))
    assert sum(result is not None for result in results) == 1
    assert one.downloads == 1


def test_a_finished_document_makes_room():
    """Completed and failed documents are not in the making any more."""
    store, one, two = Store(), document(), document()
    assert store.accept(one, limit=1)
    assert not store.accept(two, limit=1)
    store.fail(one, ("why",))
    assert store.accept(two, limit=1)


def test_a_document_ends_once():
    """What has failed cannot be completed later."""
    store, one = Store(), document()
    store.accept(one, limit=1)
    store.fail(one, ("why",))
    store.complete(one, output(1))
    store.fail(one, ("other",))
    store.start(one)
    assert (one.state, one.reasons, one.output) == ("failed", ("why",), None)


def test_the_oldest_bytes_are_dropped(monkeypatch):
    """A sandbox that runs for weeks keeps the newest documents only, and the ledger of all."""
    monkeypatch.setattr(documents, "MAX_KEPT_BYTES", 250)
    store, made = Store(), [document() for _ in range(4)]
    for one in made:
        store.accept(one, limit=1)
        store.complete(one, output(100))
    got = [store.take_download(one, limit=1) is not None for one in made]
    assert got == [False, False, True, True]
    assert len(store.ledger().entries) == 4


def test_a_reset_releases_who_waits():
    """Nobody waits for a document that is forgotten."""
    store, one = Store(), document()
    store.accept(one, limit=1)
    store.reset()
    assert one.finished.is_set()
    assert store.find(one.status_id) is None
