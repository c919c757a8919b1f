"""Which resources a document loads, and in which time they are found."""

import pytest

from django_docraptor.preflight import Severity
from tests.support.preflight import found, marks, refusal, slowdown


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('<p>\n<img src="logo.png">', 'Line 2 of content: <img src="logo.png">'),
        ("<IMG SRC=/logo.png />", '<img src="/logo.png">'),
        ('<img src="//cdn.test/a.png">', '<img src="//cdn.test/a.png">'),
        ('<img src=" ../a.png ">', '<img src="../a.png">'),
        ('<img src="C:\\a.png">', "C:\\a.png"),
        ('<img src="?a=1">', "?a=1"),
        ('<img srcset="https://a.test/1.png 1x, 2.png 2x">', '<img srcset="2.png">'),
        ('<script src="a.js"></script>', '<script src="a.js">'),
        ('<picture><source srcset="a.webp"></picture>', '<source srcset="a.webp">'),
        ('<link rel="stylesheet" href="a.css">', '<link href="a.css">'),
        ('<link rel="shortcut ICON" href="a.ico">', '<link href="a.ico">'),
        ('<iframe src="a.html"></iframe>', '<iframe src="a.html">'),
        ('<embed src="a.svg">', '<embed src="a.svg">'),
        ('<object data="a.svg"></object>', '<object data="a.svg">'),
        ('<video poster="a.png"></video>', '<video poster="a.png">'),
        ('<audio src="a.mp3"></audio>', '<audio src="a.mp3">'),
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
def test_check_content_finds_relative_resources(content, where):
    """The first of them is named with its tag, address and line; the remedy is said."""
    message = refusal(content)
    assert where in message
    assert "baseurl" in message
    assert "File system access is not allowed" in message
    assert refusal(content, baseurl="https://shop.test/") == ""


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
def test_check_content_lets_everything_else_pass(content):
    """Links, fragments, data, full addresses, comments and scripts are no reason to refuse."""
    assert refusal(content) == ""


def test_check_content_reads_large_content_in_proportion():
    """Megabytes of table rows take a time proportional to their length."""
    row = "<tr><td class='a'>x</td><td>y &amp; z</td></tr>\n"
    assert refusal(row * 100) == ""
    assert slowdown(lambda count: refusal(row * count), 4_000) < 24


@pytest.mark.parametrize("html", ["<p title='{}'><img src=a>", "{}<img src=a>"])
def test_find_problems_after_a_number_without_end(html):
    """A character reference that Python cannot read is no character, and reading goes on."""
    number = f"&#{'1' * 5000};"
    (problem,) = found(html.format(number))
    assert problem.column == html.format(number).index("<img") + 1


def test_check_content_takes_a_file_for_relative_whatever_the_baseurl():
    """No base address makes a file of this machine reachable."""
    for options in ({}, {"baseurl": "https://shop.test/"}):
        message = refusal('<img src="FILE:///etc/passwd">', **options)
        assert '<img src="FILE:///etc/passwd">' in message
        assert "File system access is not allowed" in message


# Places.


def test_find_problems_tells_the_place():
    """Line, column, tag, attribute and address, for an editor to jump to."""
    (problem,) = found('<p>\n  <img alt="" src="logo.png">')
    assert (problem.line, problem.column) == (2, 3)
    assert (problem.tag, problem.attribute, problem.url) == ("img", "src", "logo.png")
    assert problem.severity == Severity.ERROR


def test_find_problems_sorts_by_line():
    """Tags that are not closed stand among the rest."""
    html = '<div>\n<img src="a.png">\n<b>'
    assert [problem.line for problem in found(html, strict="html")] == [1, 2, 3]


def test_find_problems_reads_embedded_files_in_proportion():
    """Megabytes in one address, in an attribute and in CSS."""

    def look(count: int) -> None:
        uri = "data:image/png;base64," + "A" * count
        html = f'<img src="{uri}"><style>p {{ background: url("{uri}") }}</style>'
        assert found(html) == []

    assert slowdown(look, 2_000_000) < 24


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
    "host of marks": lambda count: f'<img src="https://a{marks(count)}/">',
    "host of marks below STATIC_URL": lambda count: f'<img src="/static///a{marks(count)}">',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_find_problems_reads_hostile_content_in_proportion(kind):
    """Customers write some of what stands in a document: none of it holds a worker up."""

    def look(count: int) -> None:
        found("<p>x</p>" * count + HOSTILE[kind](count), baseurl="https://a.example", strict="html")

    assert slowdown(look, 10_000) < 24


def test_find_problems_shortens_a_long_tag():
    """A message stays one that can be read."""
    tag = "a" * 1000
    html = f'</{tag}><{tag} style="background: url(b.png)"><b></{tag}><{tag}>'
    messages = [problem.message for problem in found(html, strict="html")]
    assert len(messages) == 4
    assert max(map(len, messages)) < 400


def test_find_problems_after_a_string_that_is_not_closed():
    """It ends with its line, and an escaped quote begins none."""
    css = "p::before { content: 'x url(no.png) }\n.a\\\"b { background: url(a.png) }"
    (problem,) = found(f"<style>{css}</style>")
    assert (problem.url, problem.line) == ("a.png", 2)
