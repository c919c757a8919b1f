"""Faults of the log's content: what a read sees of the documents."""

import pytest

from django_docraptor.sandbox import Fault
from tests.support.sandbox_client import wait_until

START = {"search[start]": "2000-01-01 00:00:00 UTC"}


def tags(client, **query):
    """Return the tags on a page of the log."""
    return [entry["tag"] for entry in client.logs(**query)]


@pytest.fixture
def four(client):
    """The tags of four documents in the log, latest first."""
    for number in range(4):
        client.create_and_finish(tag=f"job:{number}")
    return [f"job:{number}" for number in (3, 2, 1, 0)]


def test_late_log_shows_a_document_after_some_seconds(client, sandbox, four):
    """A document is missing until it is old enough; others are not."""
    sandbox.add_fault(Fault(on="logs", action="late", match="job:3", seconds=0.3))
    assert tags(client) == four[1:]
    wait_until(lambda: tags(client) == four)


def test_patchy_log_misses_other_documents_at_each_read(client, sandbox, four):
    """Each read misses about the given share, chosen anew; the documents themselves remain."""
    sandbox.add_fault(Fault(on="logs", action="patchy", share=0.5))
    pages = [tags(client) for _ in range(60)]
    assert len({tuple(page) for page in pages}) > 3
    assert 60 < sum(map(len, pages)) < 180
    sandbox.clear_faults()
    assert tags(client) == four


def test_patchy_log_may_miss_one_document_for_some_reads(client, sandbox, four):
    """`match`, `share` and `times` together hide one document from a number of reads."""
    sandbox.add_fault(Fault(on="logs", action="patchy", match="job:2", share=1, times=2))
    pages = [tags(client) for _ in range(3)]
    assert pages == [["job:3", "job:1", "job:0"]] * 2 + [four]


@pytest.mark.parametrize(
    ("fault", "query", "expected"),
    [
        ({"window": "empty"}, START, 0),
        ({"window": "empty"}, {}, 0),
        ({"window": "all"}, {"search[start]": "2999-01-01 00:00:00 UTC"}, 4),
        ({"window": "other"}, START, 4),
        ({"window": "other", "seconds": 1e9}, START, 0),
        ({"window": "other"}, {"search[end]": "2000-01-01 00:00:00 UTC"}, 0),
        ({"window": "other", "seconds": 9e9}, {"search[end]": "2000-01-01 00:00:00 UTC"}, 4),
    ],
)
def test_log_may_misread_the_window(client, sandbox, four, fault, query, expected):
    """It returns nothing, everything, or what lies in a later window."""
    sandbox.add_fault(Fault(on="logs", action="misread", **fault))
    assert len(client.logs(**query)) == expected


def test_heavy_log_has_long_lines(client, sandbox, four):
    """Each line holds a whole generation log, with lines in Prince's form."""
    sandbox.add_fault(Fault(on="logs", action="heavy", size_bytes=100_000))
    for entry in client.logs():
        assert len(entry["generation_log"]) == 100_000
        assert entry["generation_log"].startswith("msg|inf|")
    assert [len(entry) for entry in client.send("GET", "/docs.json").json()] == [5] * 4


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (1, [["job:3"], ["job:1"], []]),
        (-1, [["job:3"], ["job:3"], ["job:3"]]),
        (0, [["job:3"], ["job:2"], ["job:1"]]),
    ],
)
def test_pages_may_shift(client, sandbox, four, offset, expected):
    """Documents that appear or vanish between two reads repeat or skip lines."""
    sandbox.add_fault(Fault(on="logs", action="shift", offset=offset))
    assert [tags(client, page=page, per_page=1) for page in (1, 2, 3)] == expected


def test_several_faults_distort_one_read(client, sandbox, four):
    """Faults of content combine, also with a fault of the response."""
    sandbox.add_fault(
        Fault(on="logs", action="omit", match="job:3"),
        Fault(on="logs", action="heavy", size_bytes=5000),
        Fault(on="logs", action="status", status_code=503, times=1),
    )
    assert client.send("GET", "/doc_logs.json").status_code == 503
    assert tags(client) == four[1:]
    assert len(client.logs()[0]["generation_log"]) == 5000


def test_render_warnings_are_in_the_log(client, sandbox):
    """A document without its logo is a success; only its generation log tells."""
    sandbox.add_fault(Fault(on="render", action="warn", reason="logo.png: not found\nno font"))
    assert client.create_and_finish()["status"] == "completed"
    warnings = [line for line in client.logs()[0]["generation_log"].splitlines() if "|wrn|" in line]
    assert warnings == ["msg|wrn||logo.png: not found", "msg|wrn||no font"]
