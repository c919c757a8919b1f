"""What a browser loads with the HTML of a preview."""

import pytest

from django_docraptor.payloads import DocumentRequest, PrinceOptions
from django_docraptor.previews.loading import html_with_base, other_hosts


def request(html: str, baseurl: str | None = None) -> DocumentRequest:
    """Return a request with this HTML."""
    options = PrinceOptions(baseurl=baseurl)
    return DocumentRequest(name="a.pdf", content=html, prince_options=options)


def test_base_is_the_options() -> None:
    """Relative URLs are loaded as DocRaptor loads them."""
    html = html_with_base(request("<head lang='en'><p>", 'https://a.example/?a=1&b="'))
    assert html.startswith("<head lang='en'><base href=\"https://a.example/?a=1&amp;b=&quot;\">")


@pytest.mark.parametrize(
    ("html", "baseurl"),
    [
        ("<head><base href='/'>", "https://a.example/"),
        ("<h1>", "https://a.example/"),
        ("<head>", None),
    ],
    ids=["own base", "no head", "no option"],
)
def test_html_is_unchanged(html: str, baseurl: str | None) -> None:
    """A document with a base of its own, without a head or without the option has no other base."""
    assert html_with_base(request(html, baseurl)) == html


def test_base_with_a_backslash_is_no_pattern() -> None:
    """The base is inserted as it is."""
    html = html_with_base(request("<head>"), r"https://a.example/\1")
    assert html == r'<head><base href="https://a.example/\1">'


@pytest.mark.parametrize(
    ("html", "hosts"),
    [
        ("<img src='https://b.example/'><img src='http://a.example:8000/'>", ["b.example"]),
        ("<link rel=stylesheet href='//cdn.example/x.css'>", []),
        ("<style>@font-face {src: url(https://fonts.example/a)}</style>", ["fonts.example"]),
        ("<img src='https://user:password@b.example/'>", ["b.example"]),
        ("<img src='https://[::1'><img src='data:,'><img src='logo.png'>", []),
        ("<a href='https://b.example/'>", []),
    ],
)
def test_hosts_of_other_sites_are_named(html: str, hosts: list[str]) -> None:
    """Only what is loaded counts; credentials are not shown."""
    assert other_hosts(request(html), "a.example:8000") == hosts


def test_relative_urls_are_of_the_base() -> None:
    """What is relative to another site is loaded from there."""
    found = other_hosts(request("<img src='logo.png'>", "https://b.example/"), "a.example")
    assert found == ["b.example"]
