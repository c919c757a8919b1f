"""Strict markup: tags that are not closed in the right place."""

import pytest

from django_docraptor.preflight import check_content
from tests.support.document_requests import make_request, validation_messages
from tests.support.preflight import LINEAR, problems_in, slowdown


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
def test_unclosed_tags_are_reported_if_strict(html, wrong):
    """With strict "html", each tag that is not closed in the right place is reported."""
    assert wrong in problems_in(html, strict="html")[0].message
    assert problems_in(html) == []


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
def test_optional_end_tags_are_allowed(html):
    """Void elements and optional end tags are not problems."""
    assert problems_in(html, strict="html") == []


def test_strict_option_of_the_request_decides():
    """The request's own option decides whether the markup is checked."""
    request = make_request(content="<div>", strict="html")
    assert (
        "<div> is not closed"
        in validation_messages(check_content, request, max_bytes=100)["content"][0]
    )


def test_deep_markup_is_read_in_linear_time():
    """The time is proportional to the length, whatever the tags are."""

    def look(count: int) -> None:
        html = "<p><b>" * count + "</p>" * count + "</i>" * count
        assert len(problems_in(html, strict="html")) == 2 * count

    assert slowdown(look, 2_000) < LINEAR
