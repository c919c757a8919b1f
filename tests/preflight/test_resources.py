"""The resources that a document loads, and the time that it takes to find them."""

import pytest

from django_docraptor.preflight import Severity
from tests.support.preflight import LINEAR, content_error, problems_in, slowdown, unordered_marks


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('<p>\n<img src="logo.png">', 'Line 2 of content: <img src="logo.png">'),
        ("<IMG SRC=/logo.png />", '<img src="/logo.png">'),
        ('<img src="//cdn.test/a.png">', '<img src="//cdn.test/a.png">'),
        ('<img src=" ../a.png ">', '<img src="../a.png">'),
        ('<img src="C:\\a.png">', "C:\\a.png"),
        ('<img src="?a=1">', "?a=1"),
        ('<link rel="stylesheet" href="a.css">', '<link href="a.css">'),
        ('<link rel=stylesheet media="screen, Print" href="a.css">', '<link href="a.css">'),
        ('<img loading="lazy" data-src="b.png" src="a.png">', '<img src="a.png">'),
        ('<template></template><img src="a.png">', '<img src="a.png">'),
        ('<object data="a.svg"></object>', '<object data="a.svg">'),
        ('<svg><image xlink:href="a.png"/></svg>', '<image xlink:href="a.png">'),
        ('<input type="image" src="a.png">', '<input src="a.png">'),
        ("<style>\n\np { background: url( 'a.png' ) }</style>", "Line 3 of content: <style>"),
        ("<style>/* \n */ @font-face { src: url(a.woff) }</style>", "Line 2 of content: <style>"),
        ("<style>@import 'a.css';</style>", "url(a.css)"),
        ('<style>@import url("a.css");</style>', "url(a.css)"),
        ('<p style="background:url(a.png)">', '<p style="… url(a.png) …">'),
        ('<base href="/x/"><img src="a.png">', '<img src="a.png">'),
    ],
)
def test_relative_resources_are_reported(content, where):
    """The message has the tag, the URL, the line and the remedy."""
    message = content_error(content)
    assert where in message
    assert "baseurl" in message
    assert "File system access is not allowed" in message
    assert content_error(content, baseurl="https://shop.test/") == ""


@pytest.mark.parametrize(
    "content",
    [
        "<p>Hi</p>",
        '<a href="/cart">x</a><a href="cart">y</a>',
        '<img src="https://a.test/a.png"><img src="HTTP://a.test/a.png">',
        '<img src="data:image/png;base64,AAAA">',
        '<img srcset="data:image/png;base64,AA== 1x, https://a.test/2.png 2x">',
        '<img src=""><img src><img alt="a.png">',
        '<svg><image href="#part"/></svg><p style="fill:url(#part)">',
        '<link rel="canonical" href="/a"><link rel="next" href="b">',
        '<input type="text" src="a.png">',
        "<!-- <img src='a.png'> -->",
        "<style>/* url(a.png) */ p { background: url(data:image/png;base64,AA==) }</style>",
        "<style>@import 'https://a.test/a.css';</style><p>url(a.png)</p>",
        "<script>var a = '<img src=\"a.png\">';</script>",
        '<base href="https://shop.test/"><img src="a.png">',
        "<p>< <<a <![CDATA[ </p",
        "<p><![if IE]>x<![endif]></p><![unknown[ x ]>",
    ],
)
def test_other_urls_are_allowed(content):
    """Links, fragments, data, absolute URLs, comments and scripts are allowed."""
    assert content_error(content) == ""


def test_large_content_is_read_in_linear_time():
    """The time for megabytes of table rows is proportional to their length."""
    row = "<tr><td class='a'>x</td><td>y &amp; z</td></tr>\n"
    assert content_error(row * 100) == ""
    assert slowdown(lambda count: content_error(row * count), 4_000) < LINEAR


@pytest.mark.parametrize("html", ["<p title='{}'><img src=a>", "{}<img src=a>"])
def test_endless_character_reference_is_skipped(html):
    """A character reference that Python cannot convert is skipped, and parsing continues."""
    number = f"&#{'1' * 5000};"
    (problem,) = problems_in(html.format(number))
    assert problem.column == html.format(number).index("<img") + 1


def test_file_url_is_refused_whatever_the_baseurl():
    """No base URL makes a file of this machine reachable."""
    for options in ({}, {"baseurl": "https://shop.test/"}):
        message = content_error('<img src="FILE:///etc/passwd">', **options)
        assert '<img src="FILE:///etc/passwd">' in message
        assert "File system access is not allowed" in message


# Locations.


def test_problem_has_its_location():
    """A problem has line, column, tag, attribute and URL."""
    (problem,) = problems_in('<p>\n  <img alt="" src="logo.png">')
    assert (problem.line, problem.column) == (2, 3)
    assert (problem.tag, problem.attribute, problem.url) == ("img", "src", "logo.png")
    assert problem.severity == Severity.ERROR


def test_problems_are_sorted_by_line():
    """Unclosed tags are sorted among the other problems."""
    html = '<div>\n<img src="a.png">\n<b>'
    assert [problem.line for problem in problems_in(html, strict="html")] == [1, 2, 3]


def test_embedded_files_are_read_in_linear_time():
    """The time for megabytes in one data: URI is proportional to its length."""

    def look(count: int) -> None:
        uri = "data:image/png;base64," + "A" * count
        html = f'<img src="{uri}"><style>p {{ background: url("{uri}") }}</style>'
        assert problems_in(html) == []

    assert slowdown(look, 2_000_000) < LINEAR


HOSTILE = {
    "escaped quotes": lambda count: "<style>" + '\\"' * count + "</style>",
    "unclosed string": lambda count: "<style>'" + "\\'" * count + "</style>",
    "unclosed string in an attribute": lambda count: "<p style='\"" + '\\"' * count + "'>",
    "unclosed string in url()": lambda count: "<style>" + 'url("\\"' * count + "</style>",
    "unclosed url()": lambda count: "<style>" + "url(" * count + "</style>",
    "unclosed comment": lambda count: "<style>" + "/*" * count + "</style>",
    "lines": lambda count: "<style>" + "url(https://cdn.example/a)\n" * count + "</style>",
    "base": lambda count: (
        f'<base href="https://web/{"a/" * count}">' + "<img src=a>" * (count // 4)
    ),
    "host of digits": lambda count: f'<img src="https://{"1" * count}z/">',
    "host of marks": lambda count: f'<img src="https://a{unordered_marks(count)}/">',
    "host of marks below STATIC_URL": lambda count: (
        f'<img src="/static///a{unordered_marks(count)}">'
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_content_is_read_in_linear_time(kind):
    """Content may contain text from users, which must not block a worker."""

    def look(count: int) -> None:
        problems_in(
            "<p>x</p>" * count + HOSTILE[kind](count), baseurl="https://a.example", strict="html"
        )

    assert slowdown(look, 10_000) < LINEAR


def test_long_tag_is_shortened_in_the_message():
    """The message stays readable."""
    tag = "a" * 1000
    html = f'</{tag}><{tag} style="background: url(b.png)"><b></{tag}><{tag}>'
    messages = [problem.message for problem in problems_in(html, strict="html")]
    assert len(messages) == 4
    assert max(map(len, messages)) < 400


def test_unclosed_css_string_ends_with_its_line():
    """An unclosed string ends with its line, and an escaped quote starts none."""
    css = "p::before { content: 'x url(no.png) }\n.a\\\"b { background: url(a.png) }"
    (problem,) = problems_in(f"<style>{css}</style>")
    assert (problem.url, problem.line) == ("a.png", 2)
