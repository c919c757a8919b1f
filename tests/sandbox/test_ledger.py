"""The ledger counts what the service would bill, by tag."""

from django_docraptor.sandbox import Ledger


def test_production_is_billed_and_tests_are_not(caller, sandbox):
    """Test documents are free."""
    caller.create_and_finish(tag="job:1", test=True)
    caller.create_and_finish(tag="job:2", test=False)
    assert [entry.tag for entry in sandbox.ledger.accepted()] == ["job:1", "job:2"]
    assert [entry.tag for entry in sandbox.ledger.billed()] == ["job:2"]


def test_an_unfinished_document_is_billed(caller, sandbox):
    """What was accepted will be paid for, so a duplicate shows at once."""
    sandbox.change_settings(delay=30)
    caller.create()
    assert len(sandbox.ledger.billed()) == 1
    assert sandbox.ledger.entries[0].finished_at is None


def test_duplicates_are_found_by_key(caller, sandbox):
    """The same job with two attempts is one duplicate."""
    for tag in ("job:1:1", "job:2:1", "job:1:2"):
        caller.create(tag=tag)
    assert sandbox.ledger.duplicates() == {}
    found = sandbox.ledger.duplicates(lambda tag: tag.rsplit(":", 1)[0])
    assert {job: len(entries) for job, entries in found.items()} == {"job:1": 2}


def test_prefixes_select(caller, sandbox):
    """accepted(prefix) has the tags that begin so."""
    for tag in ("a:1", "a:2", "b:1"):
        caller.create(tag=tag)
    assert len(sandbox.ledger.accepted("a:")) == 2


def test_calls_are_counted(caller, sandbox):
    """Creates, also refused ones, status calls and downloads."""
    status_id = caller.create().json()["status_id"]
    caller.create(auth=None)
    url = caller.finish(status_id)["download_url"]
    caller.send("GET", url)
    caller.send("GET", url)
    ledger = sandbox.ledger
    assert (ledger.create_calls, ledger.download_calls) == (2, 2)
    assert ledger.status_calls >= 1
    assert ledger.entries[0].downloads == 2


def test_a_ledger_travels_as_json(caller, sandbox):
    """What arrives is what was sent, times included."""
    caller.create_and_finish(tag="t")
    ledger = sandbox.ledger
    assert Ledger.from_json(ledger.as_json()) == ledger
