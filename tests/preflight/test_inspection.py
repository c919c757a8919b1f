"""What would fail at DocRaptor is found before it is sent, and what would not is left alone."""

import datetime as dt
import logging
import time
from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage
from hypothesis import given
from hypothesis import strategies as st

from django_docraptor.payloads import DocumentRequest, PrinceOptions
from django_docraptor.preflight import Severity, check_content, find_problems

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def build(**changes):
    return DocumentRequest(**{"name": "a.pdf", "content": "<p>Hi</p>"} | changes)


def problems(make, *arguments, **changes):
    """The messages of the ValidationError that is raised, by field."""
    with pytest.raises(ValidationError) as caught:
        make(*arguments, **changes)
    return caught.value.message_dict


def refusal(content, **options):
    """What check_content says against the content, blank if nothing."""
    try:
        request = build(content=content, prince_options=PrinceOptions(**options))
        check_content(request, max_bytes=10_000_000)
    except ValidationError as error:
        (message,) = error.message_dict["content"]
        return message
    return ""


def found(html, **options):
    """The problems of HTML that goes to DocRaptor itself."""
    return find_problems(html, **{"allow_private": False, "now": NOW} | options)


# Relative addresses and size: certain to fail.


def test_check_content_counts_bytes():
    """The limit is in bytes of UTF-8, and allowed itself."""
    check_content(build(content="é" * 50), max_bytes=100)
    found = problems(check_content, build(content="é" * 50 + "x"), max_bytes=100)
    assert "101 bytes, more than the 100 allowed" in found["content"][0]


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


def test_check_content_shortens_a_long_address():
    """The message stays readable."""
    assert len(refusal(f'<img src="{"a" * 5000}">')) < 500


def test_check_content_ignores_a_url():
    """There is no content to check."""
    check_content(build(content="", url="https://shop.test/"), max_bytes=0)


def slowdown(look: Callable[[int], object], count: int) -> float:
    """How many times longer eight times as much takes: 8 where time goes with length, 64 with its
    square.
    """
    spent = []
    for size in (count, 8 * count):
        started = time.process_time()
        look(size)
        spent.append(time.process_time() - started)
    return spent[1] / spent[0]


def test_check_content_reads_large_content_in_proportion():
    """Megabytes of table rows take a time proportional to their length."""
    row = "<tr><td class='a'>x</td><td>y &amp; z</td></tr>\n"
    assert refusal(row * 100) == ""
    assert slowdown(lambda count: refusal(row * count), 4_000) < 24


@given(st.text(alphabet="<>/='\" ;&#!-[]sryleimgu()@*\n", max_size=80))
def test_check_content_never_fails_on_odd_markup(content):
    """Whatever stands in the HTML, the answer is a message or none."""
    assert isinstance(refusal(f"x{content}"), str)


@pytest.mark.parametrize("html", ["<p title='{}'><img src=a>", "{}<img src=a>"])
def test_find_problems_after_a_number_without_end(html):
    """A character reference that Python cannot read is no character, and reading goes on."""
    number = f"&#{'1' * 5000};"
    (problem,) = found(html.format(number))
    assert problem.column == html.format(number).index("<img") + 1


def test_check_content_names_all_mistakes_at_once():
    """Nobody has to find them one after the other, nor read a thousand."""
    content = '<img src="a.png">\n' * 12
    messages = problems(check_content, build(content=content), max_bytes=10_000)["content"]
    assert [message.split(" of ")[0] for message in messages[:2]] == ["Line 1", "Line 2"]
    assert messages[10:] == ["There are 2 more."]


def test_check_content_names_the_template():
    """The line is that of the rendered HTML; the template is where it can be corrected."""
    content = build(content='\n<img src="a.png">')
    (message,) = problems(check_content, content, max_bytes=100, template="shop/a.html")["content"]
    assert message.startswith("Line 2 of content, as rendered from shop/a.html: <img")


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
    assert ["ended at" in problem.message for problem in found(html)] == [True] * is_over


def test_find_problems_keeps_signatures_out_of_messages():
    """A message is stored and logged; a signature is a secret."""
    query = "X-Amz-Date=20200101T000000Z&X-Amz-Expires=1&X-Amz-Signature=s3cr3t"
    (problem,) = found(f'<img src="https://b.example/a.png?{query}">')
    assert "https://b.example/a.png?…" in problem.message
    assert "s3cr3t" not in problem.message


# Files of this site.


def test_find_problems_missing_static_file(settings):
    """An address below STATIC_URL without a file: a warning, since another host may have it."""
    html = '<img src="/static/no.png"><link rel="icon" href="/static/admin/img/icon-yes.svg">'
    (problem,) = found(html, baseurl="https://shop.example/")
    assert problem.severity == Severity.WARNING
    assert "the static file 'no.png', which there is not" in problem.message


def test_find_problems_impossible_static_file():
    """An address that leads out of STATIC_URL, or that is none, has no file."""
    for url, name in (("/static/../a", "'../a'"), ("/static///[x", "")):
        messages = [
            problem.message for problem in found(f'<img src="{url}">', baseurl="https://a.example")
        ]
        assert [name in message for message in messages] == [True] * bool(name)


def test_find_problems_missing_media_file(settings, tmp_path):
    """An address below MEDIA_URL, full or not, without a file in the storage."""
    settings.MEDIA_URL = "/media/"
    backend = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": backend, "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"default": default}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS_BASE_URL": "https://shop.example"}
    default_storage.save("a b.png", ContentFile(b"x"))
    html = "".join(
        f'<img src="https://shop.example/media/{name}">'
        for name in ("a%20b.png", "c.png", "%2e%2e/d", "a%00b")
    )
    messages = [problem.message for problem in found(html)]
    assert ["'c.png'" in messages[0], "'../d'" in messages[1]] == [True, True]
    assert len(messages) == 3


def test_check_content_logs_a_warning_once(caplog):
    """A warning refuses nothing, and the same one is not told for each document."""
    html = '<img src="/static/nothing-here.png">'
    request = build(content=html, prince_options=PrinceOptions(baseurl="https://shop.example/"))
    with caplog.at_level(logging.WARNING, logger="django_docraptor"):
        check_content(request, max_bytes=1000)
        check_content(request, max_bytes=1000)
    assert [record.getMessage() for record in caplog.records] == [
        'Line 1 of content: <img src="/static/nothing-here.png"> names the static file '
        "'nothing-here.png', which there is not. Correct the path, or run collectstatic where "
        "the file is served."
    ]


# Strict markup.


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ("<div>\n<p>x", "Line 1 of content: <div> is not closed before the end"),
        ("<div>\n<b>x</div>", "Line 2 of content: <b> is not closed before </div>"),
        ("<p>x</p>\n</div>", "Line 2 of content: </div> closes no open <div>"),
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
    request = build(content="<div>", strict="html")
    assert "<div> is not closed" in problems(check_content, request, max_bytes=100)["content"][0]


def test_find_problems_strict_reads_deep_markup_in_proportion():
    """The time is proportional to the length, however wrong the tags are."""

    def look(count: int) -> None:
        html = "<p><b>" * count + "</p>" * count + "</i>" * count
        assert len(found(html, strict="html")) == 2 * count

    assert slowdown(look, 2_000) < 24


def test_find_problems_reads_embedded_files_in_proportion():
    """Megabytes in one address, in an attribute and in CSS."""

    def look(count: int) -> None:
        uri = "data:image/png;base64," + "A" * count
        html = f'<img src="{uri}"><style>p {{ background: url("{uri}") }}</style>'
        assert found(html) == []

    assert slowdown(look, 2_000_000) < 24


def marks(count: int) -> str:
    """What takes Unicode's normal form the longest: marks in the wrong order."""
    return "\u0301" * count + "\u0327" * count


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


def test_find_problems_asks_no_remote_storage(settings):
    """Static files on another machine are not looked for: nothing is known of them."""
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": f"{__name__}.Remote"}}
    assert found('<img src="/static/no.png">', baseurl="https://shop.example/") == []


def test_find_problems_asks_no_remote_media_storage(settings):
    """Nor is another storage asked for a media file."""
    settings.MEDIA_URL = "/media/"
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": f"{__name__}.Remote"}}
    assert found('<img src="/media/no.png">', baseurl="https://shop.example/") == []


class Remote(Storage):
    """A storage that must not be asked."""

    def exists(self, name):
        raise AssertionError("asked")
