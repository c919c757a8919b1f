"""Strict markup: tags that are not closed where they should be."""

import pytest

from django_docraptor.preflight import check_content
from tests.support.document_requests import make_request, validation_messages
from tests.support.preflight import found, slowdown


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ("<div>\n<p>x", "Line 1 of content: <div> is not closed before the end of the document"),
        ("<div>\n<b>x</div>", "Line 2 of content: <b> is not closed before </div>"),
        ("<p>x</p>\n</div>", "Line 2 of content: </div> has no matching <div>"),
        ("<b><i>x</b></i>", "<i> is not closed before </b>"),
        ("<table><tr><td><span></td></tr></table>", "<span> is not closed before </td>"),
    ],
)
def test_find_problems_strict(html, wrong):
    """Strict "html" refuses a tag that is not closed where it should be; each is named."""
    assert wrong in found(html, strict="html")[0].message
    assert found(html) == []


@pytest.mark.parametrize(
    "html",
    [
        "<!DOCTYPE html><html><head><meta charset=utf-8><title>x</title><body><p>a<br><p>b",
        "<ul><li>a<li>b</ul><dl><dt>a<dd>b</dl>",
        "<table><thead><tr><th>a<tbody><tr><td>b<td>c<tr><td>d</table>",
        "<select><option>a<option>b</select><ruby>a<rt>b</ruby>",
        '<svg><path d="M0"/><g></g></svg><hr/><img alt=""></br>',
        "<p>a</p></body></html>",
        '<script>if (1 < 2) document.write("<div>")</script>',
    ],
)
def test_find_problems_strict_lets_html_pass(html):
    """Void elements and end tags that may be left out are no mistakes."""
    assert found(html, strict="html") == []


def test_check_content_strict():
    """The request's own option decides."""
    request = make_request(content="<div>", strict="html")
    assert (
        "<div> is not closed"
        in validation_messages(check_content, request, max_bytes=100)["content"][0]
    )


def test_find_problems_strict_reads_deep_markup_in_proportion():
    """The time is proportional to the length, however wrong the tags are."""

    def look(count: int) -> None:
        html = "<p><b>" * count + "</p>" * count + "</i>" * count
        assert len(found(html, strict="html")) == 2 * count

    assert slowdown(look, 2_000) < 24
