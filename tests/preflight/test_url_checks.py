"""Hosts that DocRaptor cannot reach, and signed addresses that have ended."""

import pytest

from django_docraptor.preflight import Severity, find_problems
from tests.support.preflight import found

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
def test_find_problems_private_host(host):
    """DocRaptor cannot reach this machine or its network, in whichever form it is written."""
    (problem,) = found(f'<img src="http://{host}/a.png">')
    assert problem.severity == Severity.ERROR
    assert "DocRaptor cannot reach" in problem.message


@pytest.mark.parametrize(
    "host",
    ["[::1", "shop.example", "8.8.8.8", "[2606:4700::1111]", "local.example", "1.2.3.4.example"],
)
def test_find_problems_public_host(host):
    """A host that may be public is not refused."""
    assert found(f'<img src="https://{host}/a.png">') == []


def test_find_problems_private_host_by_the_base_address():
    """What is relative to a private address is private, by baseurl and by <base>."""
    assert "is on web" in found('<img src="a.png">', baseurl="http://web/")[0].message
    assert "is on web" in found('<base href="http://web/"><img src="a.png">')[0].message


def test_find_problems_private_host_that_is_not_loaded():
    """A link is not fetched."""
    assert found('<a href="http://localhost/">x</a><p>http://localhost</p>') == []


@pytest.mark.parametrize(
    ("base_url", "count"), [("http://127.0.0.1:9", 0), ("https://api.docraptor.com", 1)]
)
def test_find_problems_private_host_of_the_sandbox(settings, base_url, count):
    """The sandbox is on this machine, and can reach it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": base_url}
    assert len(find_problems('<img src="http://localhost/a.png">')) == count


# Signed addresses.


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
def test_find_problems_signed_address(query, is_over):
    """One that has ended answers 403, whoever asks."""
    html = f'<img src="https://bucket.example/a.png?{query.replace("&", "&amp;")}">'
    assert ["expired at" in problem.message for problem in found(html)] == [True] * is_over


def test_find_problems_keeps_signatures_out_of_messages():
    """A message is stored and logged; a signature is a secret."""
    query = "X-Amz-Date=20200101T000000Z&X-Amz-Expires=1&X-Amz-Signature=s3cr3t"
    (problem,) = found(f'<img src="https://b.example/a.png?{query}">')
    assert "https://b.example/a.png?…" in problem.message
    assert "s3cr3t" not in problem.message
