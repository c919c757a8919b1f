"""URLs that DocRaptor cannot reach, and signed URLs that have expired."""

import pytest

from django_docraptor.preflight import Severity, find_problems
from tests.support.preflight import problems_in

# Hosts.


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST.",
        "app.localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1:8080",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[fe80::1%25eth0]",
        "[fd00::1]",
        "printer.local",
        "db.internal",
        "web",
        "user:pass@web",
    ],
)
def test_private_host_is_reported(host):
    """A host of this machine or its network is reported, in any notation."""
    (problem,) = problems_in(f'<img src="http://{host}/a.png">')
    assert problem.severity == Severity.ERROR
    assert "DocRaptor cannot reach" in problem.message


@pytest.mark.parametrize(
    "host",
    ["[::1", "shop.example", "8.8.8.8", "[2606:4700::1111]", "local.example", "1.2.3.4.example"],
)
def test_public_host_is_allowed(host):
    """A host that may be public is allowed."""
    assert problems_in(f'<img src="https://{host}/a.png">') == []


def test_url_relative_to_a_private_host_is_reported():
    """A URL that is relative to a private base URL is private, by baseurl and by <base>."""
    assert "is on web" in problems_in('<img src="a.png">', baseurl="http://web/")[0].message
    assert "is on web" in problems_in('<base href="http://web/"><img src="a.png">')[0].message


def test_link_to_a_private_host_is_allowed():
    """A link is not loaded."""
    assert problems_in('<a href="http://localhost/">x</a><p>http://localhost</p>') == []


@pytest.mark.parametrize(
    ("base_url", "count"), [("http://127.0.0.1:9", 0), ("https://api.docraptor.com", 1)]
)
def test_private_host_is_allowed_for_the_sandbox(settings, base_url, count):
    """The sandbox runs on this machine and can reach it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": base_url}
    assert len(find_problems('<img src="http://localhost/a.png">')) == count


# Signed URLs.


@pytest.mark.parametrize(
    ("query", "is_over"),
    [
        ("X-Amz-Date=20260301T110000Z&X-Amz-Expires=3599&X-Amz-Signature=s", True),
        ("X-Amz-Date=20260301T110000Z&X-Amz-Expires=3600&X-Amz-Signature=s", True),
        ("X-Amz-Date=20260301T110000Z&X-Amz-Expires=3601&X-Amz-Signature=s", False),
        ("X-Goog-Date=20260301T110000Z&X-Goog-Expires=60", True),
        ("Expires=1772366399&Signature=s&Key-Pair-Id=k", True),
        ("Expires=1772366401&Signature=s&Key-Pair-Id=k", False),
        ("Expires=17", False),
        ("Expires=never&Signature=s", False),
        ("Expires=99999999999999999999&Signature=s", False),
        ("X-Amz-Date=yesterday&X-Amz-Expires=1", False),
        ("X-Amz-Date=20260301T110000Z&X-Amz-Expires=99999999999999", False),
    ],
)
def test_expired_signed_url_is_reported(query, is_over):
    """A signed URL that has expired gets 403."""
    html = f'<img src="https://bucket.example/a.png?{query.replace("&", "&amp;")}">'
    assert ["expired at" in problem.message for problem in problems_in(html)] == [True] * is_over


@pytest.mark.fault("X7")
def test_signature_is_not_in_the_message():
    """A message is stored and logged, so it must not contain a signature."""
    query = "X-Amz-Date=20200101T000000Z&X-Amz-Expires=1&X-Amz-Signature=s3cr3t"
    (problem,) = problems_in(f'<img src="https://b.example/a.png?{query}">')
    assert "https://b.example/a.png?…" in problem.message
    assert "s3cr3t" not in problem.message
