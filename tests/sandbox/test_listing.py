"""The two lists of documents: fields, pages, dates, and what is left out."""

from datetime import UTC, datetime, timedelta

from django_docraptor.sandbox import Sandbox


def test_logs_have_every_attempt_newest_first(caller):
    """Successes, late failures and refusals are all there, with tag and status id."""
    made = caller.create(tag="job:1")
    caller.finish(made.json()["status_id"])
    caller.create_and_finish(name="", tag="job:2")
    caller.create("/docs", type="odt", tag="job:3")
    logs = caller.logs()
    assert [entry["tag"] for entry in logs] == ["job:3", "job:2", "job:1"]
    assert [entry["success"] for entry in logs] == [False, False, True]
    assert logs[2]["status_id"] == made.json()["status_id"]
    assert logs[1]["validation_errors"] == "Name can't be blank"
    assert set(logs[2]) >= {
        *("id", "name", "document_type", "document_url", "test", "javascript", "async"),
        *("strict", "created_at", "generation_time", "input_size", "output_size"),
        *("prince_options", "generation_log"),
    }


def test_docs_have_successes_only(caller):
    """docs.json leaves failures out."""
    caller.create_and_finish(name="good")
    caller.create_and_finish(type="odt", name="bad")
    listed = caller.send("GET", "/docs.json").json()
    assert [entry["name"] for entry in listed] == ["good"]


def test_lists_are_paged_and_pages_have_100_at_most(call_to):
    """Pages do not overlap, do not skip, and are never longer than 100."""
    with Sandbox(max_concurrent=200) as sandbox:
        caller = call_to(sandbox)
        for number in range(105):
            caller.create(tag=str(number))
        pages = [caller.logs(page=page, per_page=500) for page in (1, 2, 3)]
        assert [len(page) for page in pages] == [100, 5, 0]
        tags = [int(entry["tag"]) for page in pages for entry in page]
        assert tags == list(range(104, -1, -1))
        assert [entry["tag"] for entry in caller.logs(page=2, per_page=2)] == ["102", "101"]


def test_logs_are_searched_by_time(caller):
    """search[start] and search[end] bound created_at."""
    caller.create(tag="now")
    now = datetime.now(UTC)
    before, after = now - timedelta(minutes=1), now + timedelta(minutes=1)
    assert len(caller.logs(**{"search[start]": before.isoformat()})) == 1
    assert caller.logs(**{"search[end]": before.isoformat()}) == []
    assert caller.logs(**{"search[start]": f"{after:%Y-%m-%d %H:%M:%S} UTC"}) == []


def test_a_bad_time_is_refused(caller):
    """A search that is no time must not look like an empty list."""
    response = caller.send("GET", "/doc_logs.json", params={"search[start]": "yesterday"})
    assert response.status_code == 400


def test_unfinished_documents_are_listed_or_not(call_to):
    """Both guesses about the service can be played."""
    with Sandbox(delay=30) as sandbox:
        caller = call_to(sandbox)
        caller.create(tag="unfinished")
        assert [entry["success"] for entry in caller.logs()] == [False]
        sandbox.change_settings(list_unfinished=False)
        assert caller.logs() == []
