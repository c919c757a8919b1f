"""The two lists of documents: their fields, pages, dates and filters."""

from datetime import UTC, datetime, timedelta

import pytest

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
    assert set(logs[2]) == {
        *("id", "name", "document_type", "document_url", "test", "javascript", "async", "tag"),
        *("strict", "created_at", "generation_time", "input_size", "output_size", "success"),
        *("prince_options", "generation_log", "validation_errors", "status_id", "ip_address"),
    }


def test_refused_document_is_logged_with_sizes_of_zero(client):
    """A line with success=false is a verdict: it says why, and that nothing was made."""
    client.create("/docs", type="odt", tag="refused")
    client.create("/docs", tag="made")
    made, refused = client.logs()
    assert (refused["success"], refused["input_size"], refused["output_size"]) == (False, 0, 0)
    assert refused["validation_errors"] == "Document type is not included in the list"
    assert made["success"] is True
    assert min(made["input_size"], made["output_size"]) > 0
    assert made["ip_address"] == "127.0.0.1"
    assert made["created_at"].endswith("Z")
    assert {line.split("|")[0] for line in made["generation_log"].splitlines()} == {"msg"}


def test_document_without_a_name_is_logged_without_one(client):
    """A create call needs no name."""
    assert client.create_and_finish(name=None)["status"] == "completed"
    assert client.logs()[0]["name"] is None


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
    before, after = (
        f"{now + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S} UTC" for minutes in (-1, 1)
    )
    assert len(client.logs(**{"search[start]": before, "search[end]": after})) == 1
    assert client.logs(**{"search[end]": before}) == []
    assert client.logs(**{"search[start]": after}) == []


@pytest.mark.parametrize(
    "text",
    [
        *("2999-01-01T00:00:00+00:00", "2999-01-01T00:00:00Z", "2999-01-01 00:00:00"),
        *("2999-01-01 00:00:00 CET", "2999-13-01 00:00:00 UTC", "tomorrow", "32472144000"),
    ],
)
def test_other_forms_of_time_are_misread_as_the_setting_says(client, sandbox, text):
    """DocRaptor documents one form; what it does with another is unknown, so all is played."""
    client.create(tag="now")
    query = {"search[start]": text}
    assert [entry["tag"] for entry in client.logs(**query)] == ["now"]
    sandbox.change_settings(other_time_forms="empty")
    assert client.logs(**query) == []
    sandbox.change_settings(other_time_forms="reject")
    assert client.send("GET", "/doc_logs.json", params=query).status_code == 400


def test_list_unfinished_decides_about_unfinished_documents(make_client):
    """Whether DocRaptor lists unfinished documents is not documented, so both can be simulated."""
    with Sandbox(delay=30) as sandbox:
        client = make_client(sandbox)
        client.create(tag="unfinished")
        assert [entry["success"] for entry in client.logs()] == [False]
        sandbox.change_settings(list_unfinished=False)
        assert client.logs() == []
