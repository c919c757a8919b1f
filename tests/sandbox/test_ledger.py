"""The ledger: what DocRaptor would bill, and which calls were received."""

from django_docraptor.sandbox import Ledger


def test_only_production_documents_are_billed(client, sandbox):
    """Test documents are free."""
    client.create_and_finish(tag="job:1", test=True)
    client.create_and_finish(tag="job:2", test=False)
    assert [entry.tag for entry in sandbox.ledger.accepted()] == ["job:1", "job:2"]
    assert [entry.tag for entry in sandbox.ledger.billed()] == ["job:2"]


def test_unfinished_document_is_billed(client, sandbox):
    """Acceptance is what counts, so the ledger shows a duplicate immediately."""
    sandbox.change_settings(delay=30)
    client.create()
    assert len(sandbox.ledger.billed()) == 1
    assert sandbox.ledger.entries[0].finished_at is None


def test_duplicates_are_grouped_by_key(client, sandbox):
    """Two attempts of the same job are a duplicate."""
    for tag in ("job:1:1", "job:2:1", "job:1:2"):
        client.create(tag=tag)
    assert sandbox.ledger.duplicates() == {}
    found = sandbox.ledger.duplicates(lambda tag: tag.rsplit(":", 1)[0])
    assert {job: len(entries) for job, entries in found.items()} == {"job:1": 2}


def test_accepted_selects_by_tag_prefix(client, sandbox):
    """accepted(prefix) returns the entries whose tag begins with the prefix."""
    for tag in ("a:1", "a:2", "b:1"):
        client.create(tag=tag)
    assert len(sandbox.ledger.accepted("a:")) == 2


def test_calls_are_counted(client, sandbox):
    """Create calls (including rejected ones), status calls and downloads have counters."""
    status_id = client.create().json()["status_id"]
    client.create(auth=None)
    url = client.finish(status_id)["download_url"]
    client.send("GET", url)
    client.send("GET", url)
    ledger = sandbox.ledger
    assert (ledger.create_calls, ledger.download_calls) == (2, 2)
    assert ledger.status_calls >= 1
    assert ledger.entries[0].downloads == 2


def test_ledger_survives_json(client, sandbox):
    """Converting a ledger to JSON and back returns an equal ledger, times included."""
    client.create_and_finish(tag="t")
    ledger = sandbox.ledger
    assert Ledger.from_json(ledger.as_json()) == ledger
