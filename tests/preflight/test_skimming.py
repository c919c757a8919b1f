"""What is skipped changes nothing: the parser finds the same resources in all of the HTML."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_docraptor.preflight.loading import RELEVANT, Engine
from django_docraptor.preflight.resources import _ResourceParser, visit_resources
from django_docraptor.preflight.skimming import FOREIGN, read_relevant
from tests.support.preflight import LINEAR, slowdown

NAMES = [*sorted(RELEVANT | FOREIGN), "p", "td", "a", "h1", "IMG", "sTyle", "imgx", "x-img", "x.y"]
NAMES += ["lin\u212a", "\u017ftyle"]  # lower() and re.IGNORECASE disagree
ATTRIBUTES = [
    'src="a.png"', "src='b.png'", "src=c.png?a=b", "href=d.css", "rel=stylesheet", 'data="o.svg"',
    "type=image", 'srcset="q.png 2x"', "media=screen", 'xlink:href="y"', "srcdoc", "nomodule",
    'style="background:url(e.png)"', "style='color:red'", "style=\"font:'x' rgb(1,2,3)\"",
    'style="x:&#117;rl(f.png)"', "style=url(g)", "style=\"@import 'h'\"", 'style="u\\72l(i)"',
    'STYLE="background:URL(j)"', 'style = "k:url(k)"', "style", 'style="hsl(1)"',
    'class="a > b"', "title='<img src=z>'", 'alt = "a > b"', "checked", "a=b/", "@click='a'",
    'title="', "alt='", "x=>", "x= '", "=", '"', "/", "x=a\u00a0style=url(l)",
    'x=1\x1cstyle="t:url(m)"', 'x=\x00style="t:url(n)"',
]  # fmt: skip
FRAGMENTS = [
    "text\nmore", "a < b & c", "url(o.png)", "&lt;img src=x>", "<", ">", '"', "'", "\r\n", "&",
    "&#",
    "<!doctype html>", "<!-- a > b -->", "<!-- ---- c ---- -->", "<!--", "-->", "--!>", "<!-->",
    "<!--->", "-- >", "<![CDATA[", "]]>", "<![endif]>", "<![if x]>", "<?xml ?>", "<!x", "</", "</>",
    "</ p>", "<a<b", "<1", '<a href="x"class="y">', "</script >", "</style", "</title\n>",
    "<style>p{background:url(p.png)}</style>", "<script>if(a<b){'<img src=q>'}</script>",
    "<svg><style>a{b:url(r)}</style><p></svg>", "<svg><image href=s></svg>", "<math><mi></math>",
    "&#" + "1" * 650 + ";", '</p title="<img src=t>">', "<title>a < b</title>", "<svg><!--></svg>",
]  # fmt: skip
ENGINES = [Engine(), Engine(javascript=True, iframes=True), Engine(author_style=False)]

start_tags = st.builds(
    lambda name, attributes, space, end: f"<{name}{''.join(space + a for a in attributes)}{end}",
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(ATTRIBUTES), max_size=3),
    st.sampled_from([" ", " ", " ", "\n", "", "/", "\u00a0"]),
    st.sampled_from([">", ">", ">", "/>", " />", ""]),
)
end_tags = st.builds("</{}{}".format, st.sampled_from(NAMES), st.sampled_from([">", ">", " >", ""]))
documents = st.lists(
    st.one_of(start_tags, end_tags, st.sampled_from(FRAGMENTS), st.text(max_size=5)), max_size=12
).map("".join)


def resources_of_parser(html, engine):
    """Return the resources that the parser finds if it reads everything."""
    found = []
    parser = _ResourceParser(found.append, engine)
    parser.feed(html)
    parser.close()
    return found


def resources_of(html, engine):
    """Return the resources that are found."""
    found = []
    visit_resources(html, found.append, engine)
    return found


@settings(max_examples=400, deadline=None)
@given(documents, st.sampled_from(ENGINES))
@example("<script/\"/alt='><noembed style=\"@import 'h'\" = \" ></script>' alt='>", Engine())
@example('<!--><img src="a">--><img src="b">', Engine())
@example('<p>\n<b>\n</b><img src = "a > b"><p style="x:url(c)">', Engine())
def test_same_resources_as_the_parser(html, engine):
    """Names, attributes and positions are those that the parser finds by itself."""
    assert resources_of(html, engine) == resources_of_parser(html, engine)


TIDY = """<!DOCTYPE html>
<html lang="de"><head><title>A &amp; B</title><!-- ---- Kopf ---- -->
<style>p { color: red }</style><link rel="stylesheet" href="https://a.test/a.css"></head>
<body class="x"><p style="font: bold 'A' ; color: rgb(1, 2, 3)" title="1 > 0">1 < 2</p>
<svg viewBox="0 0 1 1"><path d="M0 0"/></svg><br/><a href=b?c=d>e</a><input type=text disabled>
<noscript><p>f</p></noscript><script>if (1 < 2) { "</p>" }</script></body></html>
"""


def test_parser_reads_only_what_is_relevant():
    """The parser is given none of the text and tags that cannot load anything."""
    read = []

    class Recorder(_ResourceParser):
        def feed(self, data):
            read.append(data)
            super().feed(data)

    read_relevant(Recorder(lambda resource: None, Engine()), TIDY * 3)
    assert "".join(read).count("<style>") == 3
    assert not re.search(r"<(?:html|body|p|br)\b", "".join(read))


HOSTILE = {
    "unclosed tags": "<p ",
    "unclosed relevant tags": "<img ",
    "unclosed attributes": '<p a="',
    "unclosed styles": '<p style="a',
    "quotes": "<b a='>'",
    "unclosed comments": "<!-- -",
    "declarations": "<![CDATA[",
    "unclosed end tags": "</script",
    "open foreign elements": "<svg>",
    "foreign elements": "<svg><p></svg>",
    "slashes": "<p/",
    "relevant tags": "<img src=a>",
}


@pytest.mark.once
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_html_is_read_in_linear_time(kind):
    """What is never complete does not take more time than what is."""

    def look(count):
        resources_of("<img>" * count + HOSTILE[kind] * count, Engine())

    assert slowdown(look, 2_000) < LINEAR


def test_incomplete_end_is_dropped():
    """A tag or comment that does not end loads nothing, as in browsers."""
    html = '<img src="a.png"><!-- <img src="b.png"> <img src="c.png"'
    assert [resource.url for resource in resources_of(html, Engine())] == ["a.png"]
    html = '<img src="a.png"><img src="b.png'
    assert [resource.url for resource in resources_of(html, Engine())] == ["a.png"]
