"""What a printed page loads surely, perhaps and never: only the first is refused."""

import pytest

from django_docraptor.preflight import Severity
from tests.support.preflight import LINEAR, content_error, problems_in, slowdown

NEVER = [
    '<link rel="stylesheet" media="screen" href="a.css">',
    '<link rel="stylesheet" media="only screen and (min-width: 9px), tv" href="a.css">',
    '<link rel="stylesheet" media="not print" href="a.css">',
    '<link rel="stylesheet" media="not all" href="a.css">',
    '<link rel="stylesheet/less" type="text/less" href="a.less">',
    '<link rel="stylesheet" type="text/less" href="a.less">',
    '<link rel="icon" href="/favicon.ico">',
    '<link rel="shortcut ICON" href="a.ico">',
    '<link rel="apple-touch-icon" href="a.png">',
    '<link rel="mask-icon" href="a.svg">',
    '<link rel="manifest" href="a.json">',
    '<link rel="preload" as="image" href="a.png">',
    '<link rel="modulepreload" href="a.js">',
    '<link rel="prefetch" href="a.html">',
    '<link rel="prerender" href="a.html">',
    '<link rel="dns-prefetch" href="//cdn.test"><link rel="preconnect" href="//cdn.test">',
    '<link rel="alternate" type="application/rss+xml" href="/feed">',
    '<link rel="canonical" href="/a"><link rel="next" href="b"><link rel="license" href="c">',
    "<style media='screen'>p { background: url(a.png) }</style>",
    "<style type='text/less'>p { background: url(a.png) }</style>",
    "<style>@media screen { p { background: url(a.png) } }</style>",
    "<style>@media screen{@media print{p{background:url(a.png)}}}</style>",
    "<style>@MEDIA not print { @font-face { src: url(a.woff) } }</style>",
    "<style>@import url(a.css) screen; @import 'b.css' layer(x) tv;</style>",
    "<style>@namespace svg url(w3/svg);</style>",
    '<video src="a.mp4" poster="a.png"><source src="a.webm"><track src="a.vtt"></video>',
    '<audio src="a.mp3"><source src="a.ogg"></audio>',
    '<object data="a.swf" type="application/x-shockwave-flash"></object>',
    '<template><img src="a.png"><template><img src="b.png"></template>'
    '<style>p { background: url(c.png) }</style><img src="d.png"></template>',
    '<textarea><img src="a.png"></textarea><title><img src="a.png"></title>',
    '<iframe srcdoc="x" src="a.html"><img src="b.png"></iframe>',
    '<noframes><img src="a.png"></noframes>',
    '<script src="a.js"></script><script type="module" src="b.js"></script>',
    '<script type="text/template"><img src="a.png"></script>',
    '<!-- <img src="a.png"> --><!--[if IE]><link rel="stylesheet" href="a.css"><![endif]-->',
    '<img loading="lazy" data-src="a.png" data-srcset="b.png 2x" src="data:image/png;base64,AA">',
    '<a href="a" ping="b"><form action="c"></form><q cite="d"></q><del cite="e"></del>',
    '<area href="a"><button formaction="b"></button><meta http-equiv="refresh" content="0;url=c">',
    '<input type="text" src="a.png">',
]
PERHAPS = [
    '<link rel="stylesheet" media="print and (color)" href="a.css">',
    '<link rel="stylesheet" media="(min-width: 9px)" href="a.css">',
    '<link rel="alternate stylesheet" href="a.css">',
    "<style>@media (color) { p { background: url(a.png) } }</style>",
    "<style>@supports (display: grid) { p { background: url(a.png) } }</style>",
    '<img srcset="https://a.test/1.png 1x, 2.png 2x">',
    '<picture><source srcset="a.webp"></picture>',
    '<noscript><img src="a.png"></noscript>',
    '<video><img src="a.png"></video>',
    '<object data="https://a.test/a.svg"><img src="a.png"></object>',
    '<canvas><img src="a.png"></canvas>',
    '<iframe src="a.html"></iframe>',
    '<embed src="a.svg">',
]
SURELY = [
    '<link rel="stylesheet" media="" href="a.css">',
    '<link rel="stylesheet" media="all" href="a.css">',
    '<link rel="stylesheet" media="not screen" href="a.css">',
    "<style>@media screen { p { color: red } } p { background: url(a.png) }</style>",
    "<style>@media print { p { background: url(a.png) } }</style>",
    "<style>@media screen, print { p { background: url(a.png) } }</style>",
    "<style>} } @media screen { } p { background: url(a.png) }</style>",
    "<style>p::before { content: '@media screen {' } p { background: url(a.png) }</style>",
    "<style>@import url(a.css) layer;</style>",
    '<object data="a.svg" type="image/svg+xml"></object>',
    '<noscript></noscript></noscript></video><img src="a.png">',
    '<template><img></template><img src="a.png">',
    "<textarea></textarea><title></title><img src='a.png'>",
]


@pytest.mark.parametrize("html", NEVER)
def test_what_print_never_loads_is_no_problem(html: str) -> None:
    """Hints, media, inert content and styles for screens may have relative URLs."""
    assert problems_in(html) == []


@pytest.mark.parametrize("html", PERHAPS)
def test_what_may_be_loaded_is_a_warning(html: str) -> None:
    """It is told, and refuses nothing."""
    (problem,) = problems_in(html)
    assert problem.severity == Severity.WARNING
    assert "not known whether it is loaded" in problem.message
    assert content_error(html) == ""


@pytest.mark.parametrize("html", SURELY)
def test_what_is_loaded_is_an_error(html: str) -> None:
    """What comes after, or beside, what is not loaded is refused as before."""
    (problem,) = problems_in(html)
    assert problem.severity == Severity.ERROR
    assert content_error(html)


@pytest.mark.parametrize(
    ("html", "options", "severities"),
    [
        ('<script src="a.js"></script>', {"javascript": True}, ["error"]),
        ('<script type="module" src="a.js"></script>', {"javascript": True}, ["warning"]),
        ('<script type="text/template" src="a.js"></script>', {"javascript": True}, []),
        ('<noscript><img src="a.png"></noscript>', {"javascript": True}, []),
        ('<iframe src="a.html"></iframe>', {"iframes": True}, ["error"]),
        ('<link rel="stylesheet" media="screen" href="a">', {"media": "screen"}, ["error"]),
        ('<link rel="stylesheet" media="print" href="a">', {"media": "screen"}, []),
        ('<p style="background: url(a)"><style>p{background:url(a)}</style>', {}, ["error"] * 2),
        (
            '<p style="background: url(a)"><style>p{background:url(a)}</style>',
            {"author_style": False},
            [],
        ),
    ],
)
def test_options_decide_what_is_loaded(
    html: str, options: dict[str, object], severities: list[str]
) -> None:
    """Scripts, frames, the type of media and the document's styles are options."""
    assert [problem.severity for problem in problems_in(html, **options)] == severities


@pytest.mark.parametrize("unit", ["@media screen {", "@media ", "} ", "<template>", "<noscript>"])
def test_nesting_is_read_in_linear_time(unit: str) -> None:
    """Nested rules and elements may come from users."""

    def look(count: int) -> None:
        head = "" if unit.startswith("<") else "<style>"
        problems_in(head + unit * count + "p { background: url(a.png) }" * (count // 10))

    assert slowdown(look, 10_000) < LINEAR
