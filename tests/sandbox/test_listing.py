"""The two lists of documents: their fields, pages, dates and filters."""

from datetime import UTC, datetime, timedelta

from django_docraptor.sandbox import Sandbox


def test_logs_list_all_documents_latest_first(client):
    """Completed, failed and rejected documents are listed with tag and status ID."""
    made = client.create(tag="job:1")
    client.finish(made.json()["status_id"])
    client.create_and_finish(name="", tag="job:2")
    client.create("/docs", type="odt", tag="job:3")
    logs = client.logs()
    assert [entry["tag"] for entry in logs] == ["job:3", "job:2", "job:1"]
    assert [entry["success"] for entry in logs] == [False, False, True]
    assert logs[2]["status_id"] == made.json()["status_id"]
    assert logs[1]["validation_errors"] == "Name can't be blank"
    assert set(logs[2]) >= {
        *("id", "name", "document_type", "document_url", "test", "javascript", "async"),
        *("strict", "created_at", "generation_time", "input_size", "output_size"),
        *("prince_options", "generation_log"),
    }


def test_docs_list_completed_documents_only(client):
    """docs.json omits failed documents."""
    client.create_and_finish(name="good")
    client.create_and_finish(type="odt", name="bad")
    listed = client.send("GET", "/docs.json").json()
    assert [entry["name"] for entry in listed] == ["good"]


def test_lists_have_pages_of_at_most_100(make_client):
    """Pages do not overlap and omit nothing."""
    with Sandbox(max_concurrent=200) as sandbox:
        client = make_client(sandbox)
        for number in range(105):
            client.create(tag=str(number))
        pages = [client.logs(page=page, per_page=500) for page in (1, 2, 3)]
        assert [len(page) for page in pages] == [100, 5, 0]
        tags = [int(entry["tag"]) for page in pages for entry in page]
        assert tags == list(range(104, -1, -1))
        assert [entry["tag"] for entry in client.logs(page=2, per_page=2)] == ["102", "101"]


def test_logs_are_filtered_by_time(client):
    """search[start] and search[end] are limits for created_at."""
    client.create(tag="now")
    now = datetime.now(UTC)
    before, after = now - timedelta(minutes=1), now + timedelta(minutes=1)
    assert len(client.logs(**{"search[start]": before.isoformat()})) == 1
    assert client.logs(**{"search[end]": before.isoformat()}) == []
    assert client.logs(**{"search[start]": f"{after:%Y-%m-%d %H:%M:%S} UTC"}) == []


def test_invalid_time_is_rejected(client):
    """A search for an invalid time must not look like an empty list."""
    response = client.send("GET", "/doc_logs.json", params={"search[start]": "yesterday"})
    assert response.status_code == 400


def test_list_unfinished_decides_about_unfinished_documents(make_client):
    """Whether DocRaptor lists unfinished documents is not documented, so both can be simulated."""
    with Sandbox(delay=30) as sandbox:
        client = make_client(sandbox)
        client.create(tag="unfinished")
        assert [entry["success"] for entry in client.logs()] == [False]
        sandbox.change_settings(list_unfinished=False)
        assert client.logs() == []
